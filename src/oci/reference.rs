//! References: tags, digests, and whole references as people write them.

use std::{fmt, str::FromStr, sync::Arc};

use thiserror::Error;

use super::{Digest, InvalidDigest, InvalidName, Registry, Repository};

/// Longest tag, in bytes (distribution-spec: `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}`).
const TAG_BYTES_MAX: usize = 128;

/// A name that upstream may move from one manifest to another one.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tag(Arc<str>);

/// The last element of a manifest's path: a tag or a digest.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Reference {
    /// A movable name.
    Tag(Tag),
    /// The name of exact bytes.
    Digest(Digest),
}

/// A whole reference such as `nginx`, `quay.io/a/b:1` or `a/b@sha256:…`, in canonical form.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ImageReference {
    /// Registry and name, with Docker Hub's defaults filled in.
    pub repository: Repository,
    /// The digest if one is written, else the tag, else `latest`.
    pub reference: Reference,
}

/// The text is not a valid tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a tag starts with a letter, a digit or _ and has up to 128 letters, digits and . _ -")]
pub struct InvalidTag;

/// Which part of a reference does not parse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum InvalidReference {
    /// The registry or the repository.
    #[error(transparent)]
    Name(#[from] InvalidName),
    /// The text after the last colon.
    #[error(transparent)]
    Tag(#[from] InvalidTag),
    /// The text after the `@`.
    #[error(transparent)]
    Digest(#[from] InvalidDigest),
}

impl Tag {
    /// The tag of a reference without tag and digest.
    pub fn latest() -> Self {
        Self(Arc::from("latest"))
    }

    /// Stands for any tag, where a route is looked up for a whole repository.
    pub fn any() -> Self {
        Self(Arc::from("_"))
    }

    /// The tag as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Tag {
    type Err = InvalidTag;

    fn from_str(text: &str) -> Result<Self, InvalidTag> {
        let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        let inside = |byte: u8| word(byte) || byte == b'.' || byte == b'-';
        let first = text.bytes().next().is_some_and(word);
        if first && text.len() <= TAG_BYTES_MAX && text.bytes().all(inside) {
            Ok(Self(Arc::from(text)))
        } else {
            Err(InvalidTag)
        }
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tag(tag) => tag.fmt(formatter),
            Self::Digest(digest) => digest.fmt(formatter),
        }
    }
}

impl FromStr for ImageReference {
    type Err = InvalidReference;

    /// Follows Docker's normaliser, as containerd and Kubernetes do: the first element is a
    /// registry if it looks like one, else Docker Hub is meant; a digest takes precedence over a
    /// tag.
    fn from_str(text: &str) -> Result<Self, InvalidReference> {
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest.parse::<Digest>()?)),
            None => (text, None),
        };
        let (rest, tag) = match rest.rsplit_once(':') {
            Some((rest, tag)) if !tag.contains('/') => (rest, Some(tag.parse::<Tag>()?)),
            _ => (rest, None),
        };
        let (registry, name) = match rest.split_once('/') {
            Some((first, name)) if Registry::looks_like(first) => (first.parse()?, name),
            _ => (Registry::docker_hub(), rest),
        };
        let reference = match (digest, tag) {
            (Some(digest), _) => Reference::Digest(digest),
            (None, tag) => Reference::Tag(tag.unwrap_or_else(Tag::latest)),
        };
        Ok(Self {
            repository: Repository::canonical(registry, name.parse()?),
            reference,
        })
    }
}

impl fmt::Display for ImageReference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.reference {
            Reference::Tag(tag) => write!(formatter, "{}:{tag}", self.repository),
            Reference::Digest(digest) => write!(formatter, "{}@{digest}", self.repository),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_made_canonical() {
        let sha = format!("sha256:{}", "ab".repeat(32));
        let check = |text: &str, want: &str| {
            assert_eq!(
                text.parse::<ImageReference>().unwrap().to_string(),
                want,
                "{text}"
            );
        };
        check("nginx", "docker.io/library/nginx:latest");
        check("nginx:1.25", "docker.io/library/nginx:1.25");
        check("bitnami/redis", "docker.io/bitnami/redis:latest");
        check("localhost:5000/foo:1", "localhost:5000/foo:1");
        check("localhost/foo", "localhost/foo:latest");
        check("index.docker.io/nginx", "docker.io/library/nginx:latest");
        check(
            &format!("quay.io/a/b:1@{sha}"),
            &format!("quay.io/a/b@{sha}"),
        );
    }

    #[test]
    fn tags_have_at_most_128_characters() {
        assert!("a".repeat(128).parse::<Tag>().is_ok());
        for bad in [
            "a".repeat(129).as_str(),
            "",
            ".INVALID_MANIFEST_NAME",
            "-a",
            "a b",
            "a:b",
        ] {
            assert!(bad.parse::<Tag>().is_err(), "{bad:?}");
        }
    }
}
