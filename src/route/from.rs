//! The grammar of `from`: a registry in one of five forms, then a path prefix or one repository.

use std::fmt;

use crate::oci::{Registry, Repository, RepositoryName, Tag};

use super::error::RuleError;

/// The registry half of a `from`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum HostMatch {
    /// Exactly this host and port; no port means no port.
    Exact(Registry),
    /// This host with or without any port.
    AnyPort(String),
    /// Hosts with this suffix (it starts with a dot), at any depth and port.
    Suffix(String),
    /// Every registry.
    Any,
}

/// The repository half of a `from`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum PathMatch {
    /// Names that start with these whole elements; empty for all.
    Below(String),
    /// This name only; with a tag, only this tag.
    Exactly(RepositoryName, Option<Tag>),
}

/// Parses both halves.
pub(super) fn parse(text: &str) -> Result<(HostMatch, PathMatch), RuleError> {
    if let Some((_, bare)) = text.split_once("://") {
        return Err(RuleError::new("a registry is written without a scheme").hint(bare));
    }
    if text.contains('@') {
        let reason = "a digest cannot be matched; `digest` pins a tag to one";
        return Err(RuleError::new(reason));
    }
    let (hosts, paths) = match text.split_once('/') {
        Some((hosts, paths)) => (hosts, Some(paths)),
        None => (text, None),
    };
    let hosts = HostMatch::parse(hosts, text)?;
    let paths = match paths {
        None => PathMatch::Below(String::new()),
        Some(paths) => PathMatch::parse(&hosts, paths).map_err(|error| {
            let bare = text.trim_end_matches('/');
            if bare == text {
                error
            } else {
                error.hint(bare)
            }
        })?,
    };
    Ok((hosts, paths))
}

impl HostMatch {
    fn parse(text: &str, whole: &str) -> Result<Self, RuleError> {
        if text == "*" {
            return Ok(Self::Any);
        }
        if let Some(suffix) = text.strip_prefix("*.") {
            let registry: Registry = suffix.parse().map_err(RuleError::new)?;
            return match registry.port() {
                None => Ok(Self::Suffix(format!(".{registry}"))),
                Some(_) => Err(RuleError::new("*.SUFFIX matches every port; write none")),
            };
        }
        if let Some(host) = text.strip_suffix(":*") {
            let registry: Registry = host.parse().map_err(RuleError::new)?;
            return match registry.port() {
                None => Ok(Self::AnyPort(registry.host().to_owned())),
                Some(_) => Err(RuleError::new("a registry is written R, R:PORT or R:*")),
            };
        }
        let familiar = || RuleError::new(NO_REGISTRY).hint(familiar_hint(whole));
        if !(text == "localhost" || text.contains(['.', ':'])) {
            return Err(familiar());
        }
        text.parse().map(Self::Exact).map_err(|error| {
            let tagged = text
                .split_once(':')
                .is_some_and(|(host, _)| !host.contains('.'));
            if tagged {
                familiar()
            } else {
                RuleError::new(error)
            }
        })
    }

    pub(super) fn matches(&self, registry: &Registry) -> bool {
        match self {
            Self::Exact(exact) => exact == registry,
            Self::AnyPort(host) => host == registry.host(),
            Self::Suffix(suffix) => registry
                .host()
                .strip_suffix(suffix.as_str())
                .is_some_and(|rest| !rest.is_empty()),
            Self::Any => true,
        }
    }

    fn is_docker_hub(&self) -> bool {
        match self {
            Self::Exact(registry) => registry.is_docker_hub(),
            Self::AnyPort(host) => *host == Registry::docker_hub().host(),
            Self::Suffix(_) | Self::Any => false,
        }
    }
}

impl PathMatch {
    fn parse(hosts: &HostMatch, text: &str) -> Result<Self, RuleError> {
        let Some((name, tag)) = text.rsplit_once(':') else {
            let name: RepositoryName = text.parse().map_err(RuleError::new)?;
            return Ok(Self::Below(name.to_string()));
        };
        let mut name: RepositoryName = name.parse().map_err(RuleError::new)?;
        if hosts.is_docker_hub() {
            name = Repository::canonical(Registry::docker_hub(), name).name;
        }
        let tag = match tag {
            "*" => None,
            tag => Some(tag.parse().map_err(RuleError::new)?),
        };
        Ok(Self::Exactly(name, tag))
    }
}

impl fmt::Display for HostMatch {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(registry) => registry.fmt(formatter),
            Self::AnyPort(host) => write!(formatter, "{host}:*"),
            Self::Suffix(suffix) => write!(formatter, "*{suffix}"),
            Self::Any => formatter.write_str("*"),
        }
    }
}

impl fmt::Display for PathMatch {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Below(path) if path.is_empty() => Ok(()),
            Self::Below(path) => write!(formatter, "/{path}"),
            Self::Exactly(name, None) => write!(formatter, "/{name}:*"),
            Self::Exactly(name, Some(tag)) => write!(formatter, "/{name}:{tag}"),
        }
    }
}

/// The full form of a short Docker Hub name.
fn familiar_hint(text: &str) -> String {
    let path = if text.contains('/') {
        text.to_owned()
    } else {
        format!("library/{text}")
    };
    if path.contains(':') {
        format!("docker.io/{path}")
    } else {
        format!("docker.io/{path}:*")
    }
}

const NO_REGISTRY: &str =
    "starts with no registry: HOST (with a dot), HOST:PORT, HOST:*, *.SUFFIX or *";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_from_is_read() {
        let check = |text: &str, want: &str| {
            let (hosts, paths) = parse(text).unwrap();
            assert_eq!(format!("{hosts}{paths}"), want, "{text}");
        };
        check("docker.io", "docker.io");
        check("index.docker.io", "docker.io");
        check("Quay.IO", "quay.io");
        check("registry:5000", "registry:5000");
        check("localhost", "localhost");
        check("registry.corp:8443/team", "registry.corp:8443/team");
        check("registry.corp:*", "registry.corp:*");
        check("*.corp", "*.corp");
        check("*", "*");
        check("*/team", "*/team");
        check("docker.io/alpine", "docker.io/alpine");
        check("docker.io/alpine:*", "docker.io/library/alpine:*");
        check("docker.io/alpine:3", "docker.io/library/alpine:3");
        check("registry-1.docker.io/a/b:3", "docker.io/a/b:3");
        check("quay.io/alpine:3", "quay.io/alpine:3");
        check("[::1]:5000/a", "[::1]:5000/a");
    }

    #[test]
    fn an_invalid_from_says_what_to_write() {
        let check = |text: &str, hint: Option<&str>| {
            let error = parse(text).unwrap_err();
            assert_eq!(error.hint.as_deref(), hint, "{text}: {}", error.reason);
        };
        check("", Some("docker.io/library/:*"));
        check("nginx", Some("docker.io/library/nginx:*"));
        check("nginx:1.25", Some("docker.io/library/nginx:1.25"));
        check("bitnami/redis", Some("docker.io/bitnami/redis:*"));
        check("https://docker.io", Some("docker.io"));
        check("docker.io/", Some("docker.io"));
        check("docker.io//a", None);
        check("docker.io/A", None);
        check("docker.io/a:", None);
        check("docker.io/a/../b", None);
        check("docker.io/a@sha256:00", None);
        check("docker.io:99999", None);
        check("*.corp:5000", None);
        check("a.corp:5000:*", None);
        check("*corp", Some("docker.io/library/*corp:*"));
    }
}
