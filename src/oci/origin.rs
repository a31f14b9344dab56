//! Origins: where kept content came from (not the HTTP `Origin` header).

use std::{fmt, str::FromStr, sync::Arc};

use thiserror::Error;

use super::{Repository, RepositoryName};

/// The name of an upstream: a key of `[upstream.NAME]`, or its `HOST[:PORT]`.
///
/// It starts with a letter, a digit or `[`, so that it differs from every other name in the store's
/// folder of origins.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UpstreamName(Arc<str>);

/// The text is not a valid name of an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "the name of an upstream has up to 255 letters, digits and . _ : - [ ] and starts with a \
     letter, a digit or ["
)]
pub struct InvalidUpstreamName;

/// Where kept content came from (not the HTTP `Origin` header). Tag records, manifests and the
/// right to see a blob are kept per origin, so that upstreams with equal repository names never
/// mix.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Origin {
    /// A repository of an upstream.
    Upstream {
        /// The upstream.
        upstream: UpstreamName,
        /// The repository's name there, which may differ from the one that the client used.
        name: RepositoryName,
    },
    /// A loaded bundle, under the image's canonical name.
    Local(Repository),
}

impl UpstreamName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for UpstreamName {
    type Err = InvalidUpstreamName;

    fn from_str(text: &str) -> Result<Self, InvalidUpstreamName> {
        let inside = |byte: u8| byte.is_ascii_alphanumeric() || b"._:-[]".contains(&byte);
        let first = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'[';
        let sound = text.len() <= 255 && text.bytes().next().is_some_and(first);
        if sound && text.bytes().all(inside) {
            Ok(Self(Arc::from(text)))
        } else {
            Err(InvalidUpstreamName)
        }
    }
}

impl fmt::Display for UpstreamName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Debug for UpstreamName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Upstream { upstream, name } => write!(formatter, "{upstream}/{name}"),
            Self::Local(repository) => write!(formatter, "local {repository}"),
        }
    }
}
