//! The host of a place: one, a pattern, or any. Pure.

use std::fmt;

use crate::oci::Registry;

/// The port that https has without one.
const HTTPS_PORT: u16 = 443;

/// Which hosts a place is at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Host {
    /// This one; Docker Hub under the name `docker.io`.
    Exact(Address),
    /// Those of as many labels that fit one by one.
    Glob(Address),
    /// Whatever has the form of a host.
    Any,
}

/// `HOST[:PORT]` in lower case, without the port of https.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    host: String,
    port: Option<u16>,
}

impl Host {
    /// Reads a host, or a pattern of hosts. A lone `*` would be any single label, which nobody
    /// means.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let pattern = text.contains('*');
        let plain = text.replace('*', "x");
        plain.parse::<Registry>().ok()?;
        let address = Address::read(text);
        match pattern {
            false if address.is_docker_hub() => Some(Self::Exact(Address::read("docker.io"))),
            false => Some(Self::Exact(address)),
            true => Some(Self::Glob(address)).filter(|_| !text.starts_with("*:") && text != "*"),
        }
    }

    /// Whether a registry's name, `HOST[:PORT]`, is among these hosts.
    pub(super) fn fits(&self, name: &str) -> bool {
        let named = Address::read(name);
        match self {
            Self::Exact(own) => *own == named || (own.is_docker_hub() && named.is_docker_hub()),
            Self::Glob(own) => {
                let (mut patterns, mut labels) = (own.host.split('.'), named.host.split('.'));
                own.port == named.port
                    && patterns.all(|pattern| {
                        labels
                            .next()
                            .is_some_and(|label| label_fits(pattern, label))
                    })
                    && labels.next().is_none()
            }
            // An upstream may be called by a word that is nobody's host.
            Self::Any => Registry::looks_like(name),
        }
    }

    /// The greater wins.
    pub(super) fn precision(&self) -> u8 {
        match self {
            Self::Exact(_) => 2,
            Self::Glob(_) => 1,
            Self::Any => 0,
        }
    }
}

impl Address {
    /// Reads what is known to be an address, or a name that is used like one.
    pub(super) fn read(text: &str) -> Self {
        let text = text.to_ascii_lowercase();
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) => match port.parse() {
                Ok(number) => (host, Some(number)),
                Err(_) => (text.as_str(), None),
            },
            None => (text.as_str(), None),
        };
        Self {
            host: host.strip_suffix('.').unwrap_or(host).to_owned(),
            port: port.filter(|port| *port != HTTPS_PORT),
        }
    }

    /// Whether it is one of Docker Hub's names, which all mean the same.
    pub(super) fn is_docker_hub(&self) -> bool {
        let names = ["docker.io", "index.docker.io", "registry-1.docker.io"];
        self.port.is_none() && names.contains(&self.host.as_str())
    }
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.host)?;
        match self.port {
            Some(port) => write!(formatter, ":{port}"),
            None => Ok(()),
        }
    }
}

fn label_fits(pattern: &str, label: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(rest) = label.strip_prefix(first) else {
        return false;
    };
    let Some(last) = parts.next_back() else {
        return rest.is_empty();
    };
    let Some(mut rest) = rest.strip_suffix(last) else {
        return false;
    };
    parts.all(|part| match rest.split_once(part) {
        Some((_, after)) => {
            rest = after;
            true
        }
        None => false,
    })
}
