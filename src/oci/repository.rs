//! Registries and repository names.

use std::{fmt, str::FromStr, sync::Arc};

use thiserror::Error;

/// Longest repository name, in bytes: clients limit host and name together to 255.
const NAME_BYTES_MAX: usize = 255;

/// The host that a user writes before the first slash: lower-case, with its port if one is written.
///
/// Docker Hub's other names (`index.docker.io`, `registry-1.docker.io`) become `docker.io`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Registry(Arc<str>);

/// A repository's path inside its registry, such as `library/nginx` (distribution-spec, "Pulling
/// manifests": the `<name>` grammar).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RepositoryName(Arc<str>);

/// A registry and a repository name in it.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Repository {
    /// The host.
    pub registry: Registry,
    /// The path.
    pub name: RepositoryName,
}

/// Why text is not a valid registry or repository name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum InvalidName {
    /// The text is empty.
    #[error("a name must not be empty")]
    Empty,
    /// More than 255 bytes.
    #[error("a name has at most 255 characters")]
    TooLong,
    /// The host part is neither a host name nor an IP address.
    #[error("a registry is written HOST or HOST:PORT")]
    Host,
    /// The port is not a number from 1 to 65535.
    #[error("a port is a number from 1 to 65535")]
    Port,
    /// A path element breaks the grammar.
    #[error(
        "a repository name holds lower-case letters, digits and single separators (. _ __ -) \
         between slashes"
    )]
    Element,
}

impl Registry {
    /// Docker Hub, under the name that references use.
    pub fn docker_hub() -> Self {
        Self(Arc::from("docker.io"))
    }

    /// Host and port as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The host without its port; an IPv6 address keeps its brackets.
    pub fn host(&self) -> &str {
        split_port(&self.0).0
    }

    /// The port, if one is written.
    pub fn port(&self) -> Option<u16> {
        split_port(&self.0).1.and_then(|port| port.parse().ok())
    }

    /// Whether this is Docker Hub, where one-element names live in `library/`.
    pub fn is_docker_hub(&self) -> bool {
        &*self.0 == "docker.io"
    }

    /// Whether the first element of a reference names a registry and not a folder of Docker Hub
    /// (the rule of Docker's own reference normaliser).
    pub fn looks_like(element: &str) -> bool {
        element == "localhost"
            || element.contains(['.', ':'])
            || element.bytes().any(|byte| byte.is_ascii_uppercase())
    }
}

impl FromStr for Registry {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        if text.is_empty() {
            return Err(InvalidName::Empty);
        }
        if text.len() > NAME_BYTES_MAX {
            return Err(InvalidName::TooLong);
        }
        let lower = text.to_ascii_lowercase();
        let (host, port) = split_port(&lower);
        let host = host.strip_suffix('.').unwrap_or(host);
        let numeric = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit());
        let port = match port {
            None => None,
            Some(port) => match port.parse::<u16>() {
                Ok(number) if number > 0 && numeric(port) => Some(number),
                _ => return Err(InvalidName::Port),
            },
        };
        if !is_host(host) {
            return Err(InvalidName::Host);
        }
        Ok(match (host, port) {
            ("index.docker.io" | "registry-1.docker.io", None | Some(443)) => Self::docker_hub(),
            (host, None) => Self(Arc::from(host)),
            (host, Some(port)) => Self(Arc::from(format!("{host}:{port}"))),
        })
    }
}

impl RepositoryName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its elements between slashes; never empty.
    pub fn elements(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.split('/')
    }

    /// The name below `prefix`, if `prefix` covers whole elements; empty if they are equal.
    pub fn strip_prefix(&self, prefix: &str) -> Option<&str> {
        let rest = self.0.strip_prefix(prefix)?;
        if prefix.is_empty() || rest.is_empty() {
            Some(rest)
        } else {
            rest.strip_prefix('/')
        }
    }
}

impl FromStr for RepositoryName {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        if text.is_empty() {
            return Err(InvalidName::Empty);
        }
        if text.len() > NAME_BYTES_MAX {
            return Err(InvalidName::TooLong);
        }
        if text.split('/').all(is_element) {
            Ok(Self(Arc::from(text)))
        } else {
            Err(InvalidName::Element)
        }
    }
}

impl Repository {
    /// Joins a registry and a name; a one-element name on Docker Hub gets the prefix `library/`, as
    /// in every runtime.
    pub fn canonical(registry: Registry, name: RepositoryName) -> Self {
        if registry.is_docker_hub() && !name.0.contains('/') {
            let name = RepositoryName(Arc::from(format!("library/{}", name.0)));
            return Self { registry, name };
        }
        Self { registry, name }
    }
}

macro_rules! prints_as_text {
    ($($name:ty),+) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&self.0)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&self.0)
            }
        }
    )+};
}
prints_as_text!(Registry, RepositoryName);

impl fmt::Display for Repository {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.registry, self.name)
    }
}

impl fmt::Debug for Repository {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// Splits `HOST:PORT`, leaving the colons of a bracketed IPv6 address alone.
fn split_port(text: &str) -> (&str, Option<&str>) {
    match text.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (text, None),
    }
}

fn is_host(host: &str) -> bool {
    if let Some(inner) = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
    {
        return inner.parse::<std::net::Ipv6Addr>().is_ok();
    }
    let label = |label: &str| {
        let inside = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        !label.is_empty() && label.len() <= 63 && label.bytes().all(inside)
    };
    host.split('.').all(label) && !host.starts_with('-') && !host.ends_with('-')
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`, by hand because it runs for every request.
fn is_element(element: &str) -> bool {
    let mut separator: &[u8] = b"";
    let bytes = element.as_bytes();
    let mut start = 0;
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            b'a'..=b'z' | b'0'..=b'9' => {
                if !is_separator(separator) {
                    return false;
                }
                separator = b"";
                start = at + 1;
            }
            b'.' | b'_' | b'-' if start > 0 => {
                separator = bytes.get(start..=at).unwrap_or_default();
            }
            _ => return false,
        }
    }
    start > 0 && separator.is_empty()
}

fn is_separator(text: &[u8]) -> bool {
    matches!(text, b"" | b"." | b"_" | b"__") || text.iter().all(|byte| *byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repository_names_follow_the_grammar() {
        for good in [
            "a",
            "library/nginx",
            "a/b/c",
            "a.b",
            "a_b",
            "a__b",
            "a--b",
            "a-b/0",
        ] {
            assert!(good.parse::<RepositoryName>().is_ok(), "{good}");
        }
        let bad = [
            "", "/", "a/", "/a", "a//b", "A", "a.", ".a", "-a", "a-", "a___b", "a..b", "a._b",
            "../etc", "a b", "a%2fb", "é", "a\0b", "a:b",
        ];
        for bad in bad {
            assert!(bad.parse::<RepositoryName>().is_err(), "{bad:?}");
        }
        assert!("a".repeat(255).parse::<RepositoryName>().is_ok());
        assert_eq!(
            "a".repeat(256).parse::<RepositoryName>(),
            Err(InvalidName::TooLong)
        );
    }

    #[test]
    fn registries_are_normalised() {
        let check = |text: &str, want: &str| {
            assert_eq!(text.parse::<Registry>().unwrap().as_str(), want, "{text}");
        };
        check("DOCKER.IO", "docker.io");
        check("docker.io.", "docker.io");
        check("index.docker.io", "docker.io");
        check("registry-1.docker.io", "docker.io");
        check("Registry.Waldo.com:8443", "registry.waldo.com:8443");
        check("[::1]:5000", "[::1]:5000");
        check("my_host.corp", "my_host.corp");
    }

    #[test]
    fn hostile_registries_do_not_parse() {
        let bad = [
            "",
            "http://169.254.169.254/",
            "user:pw@registry-1.docker.io",
            "docker.io:99999",
            "docker.io:",
            "docker.io:0",
            "docker.io:+5",
            "a/b",
            "a b",
            "a\r\nb",
            "..",
            ".",
            "-a",
            "[::1",
            "a..b",
            "docker.io#x",
            "docker.io?x",
            "dоcker.io",
        ];
        for bad in bad {
            assert!(bad.parse::<Registry>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn prefixes_cover_whole_elements() {
        let name: RepositoryName = "calico/node".parse().unwrap();
        assert_eq!(name.strip_prefix("calico"), Some("node"));
        assert_eq!(name.strip_prefix("calico/node"), Some(""));
        assert_eq!(name.strip_prefix(""), Some("calico/node"));
        assert_eq!(name.strip_prefix("cal"), None);
    }
}
