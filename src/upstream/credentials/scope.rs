//! The host of a place: one, a pattern, or any. Pure.

use std::fmt;

use crate::oci::Registry;

/// The port that https has without one.
const HTTPS_PORT: u16 = 443;

/// Which hosts a place is at.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::upstream) enum HostPattern {
    /// This one; Docker Hub under the name `docker.io`.
    Exact(HostPort),
    /// Those of as many labels that fit one by one.
    Glob(HostPort),
    /// Whatever has the form of a host.
    Any,
}

/// `HOST[:PORT]` in lower case, without the port of https.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::upstream) struct HostPort {
    host: String,
    port: Option<u16>,
}

impl HostPattern {
    /// Reads a host, or a pattern of hosts. A lone `*` is refused: it would be any single label.
    pub(in crate::upstream) fn parse(text: &str) -> Option<Self> {
        let address = HostPort::from_text(text);
        if text.parse::<Registry>().is_ok() {
            let is_hub = address.is_docker_hub();
            return Some(Self::Exact(if is_hub {
                HostPort::from_text("docker.io")
            } else {
                address
            }));
        }
        // With a letter in each blank it would have to be a host.
        let plain: Option<Vec<String>> = text.split('.').map(example_label).collect();
        plain?.join(".").parse::<Registry>().ok()?;
        Some(Self::Glob(address)).filter(|_| !text.starts_with("*:") && text != "*")
    }

    /// Whether a registry's name, `HOST[:PORT]`, is among these hosts.
    pub(in crate::upstream) fn matches(&self, name: &str) -> bool {
        let named = HostPort::from_text(name);
        match self {
            Self::Exact(own) => *own == named || (own.is_docker_hub() && named.is_docker_hub()),
            Self::Glob(own) => {
                let (mut patterns, mut labels) = (own.host.split('.'), named.host.split('.'));
                own.port == named.port
                    && patterns.all(|pattern| {
                        labels
                            .next()
                            .is_some_and(|label| label_matches(pattern, label))
                    })
                    && labels.next().is_none()
            }
            // An upstream may have a name that is not a host.
            Self::Any => Registry::looks_like(name),
        }
    }

    /// The greater wins.
    pub(in crate::upstream) fn specificity(&self) -> u8 {
        match self {
            Self::Exact(_) => 2,
            Self::Glob(_) => 1,
            Self::Any => 0,
        }
    }
}

impl HostPort {
    /// Reads what is known to be an address, or a name that is used like one.
    pub(in crate::upstream) fn from_text(text: &str) -> Self {
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
    pub(in crate::upstream) fn is_docker_hub(&self) -> bool {
        let names = ["docker.io", "index.docker.io", "registry-1.docker.io"];
        self.port.is_none() && names.contains(&self.host.as_str())
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.host)?;
        match self.port {
            Some(port) => write!(formatter, ":{port}"),
            None => Ok(()),
        }
    }
}

/// A part of a label's pattern.
enum GlobPart {
    /// `*`
    Any,
    /// `?`, or a letter that stands for itself, or `[a-z]`: from and to, and `[^a-z]`.
    One {
        is_not: bool,
        ranges: Vec<(char, char)>,
    },
}

impl GlobPart {
    fn takes(&self, letter: char) -> bool {
        match self {
            Self::Any => true,
            Self::One { is_not, ranges } => {
                let is_in = |(from, to): &(char, char)| (*from..=*to).contains(&letter);
                ranges.iter().any(is_in) != *is_not
            }
        }
    }
}

/// The parts of a label's pattern, as kubelet reads it; none if a bracket is not closed.
fn glob_parts(pattern: &str) -> Option<Vec<GlobPart>> {
    let mut parts = Vec::new();
    let mut letters = pattern.chars();
    while let Some(letter) = letters.next() {
        parts.push(match letter {
            '*' => GlobPart::Any,
            '?' => GlobPart::One {
                is_not: true,
                ranges: Vec::new(),
            },
            '[' => {
                let (set, rest) = letters.as_str().split_once(']')?;
                letters = rest.chars();
                character_class(set)?
            }
            letter => GlobPart::One {
                is_not: false,
                ranges: vec![(letter, letter)],
            },
        });
    }
    Some(parts)
}

/// What stands in brackets.
fn character_class(set: &str) -> Option<GlobPart> {
    let (is_not, set) = match set.strip_prefix('^') {
        Some(set) => (true, set),
        None => (false, set),
    };
    let mut ranges = Vec::new();
    let mut letters = set.chars();
    while let Some(from) = letters.next() {
        let to = match letters.as_str().strip_prefix('-') {
            Some(rest) => {
                letters = rest.chars();
                letters.next()?
            }
            None => from,
        };
        ranges.push((from, to));
    }
    (!ranges.is_empty()).then_some(GlobPart::One { is_not, ranges })
}

/// A label that fits a pattern, more or less.
fn example_label(pattern: &str) -> Option<String> {
    let letter = |part: GlobPart| match part {
        GlobPart::One {
            is_not: false,
            ranges,
        } => ranges.first().map_or('x', |(from, _)| *from),
        _ => 'x',
    };
    Some(glob_parts(pattern)?.into_iter().map(letter).collect())
}

fn label_matches(pattern: &str, label: &str) -> bool {
    let Some(parts) = glob_parts(pattern) else {
        return false;
    };
    // Behind which letters the parts so far may end.
    let mut ends = vec![true];
    ends.resize(label.chars().count() + 1, false);
    for part in parts {
        ends = match part {
            GlobPart::Any => {
                let first = ends.iter().position(|end| *end).unwrap_or(ends.len());
                (0..ends.len()).map(|at| at >= first).collect()
            }
            GlobPart::One { .. } => {
                let moved = ends.iter().zip(label.chars());
                let moved = moved.map(|(end, letter)| *end && part.takes(letter));
                std::iter::once(false).chain(moved).collect()
            }
        };
    }
    ends.last() == Some(&true)
}
