//! Media types, of manifests and of headers.

use std::{fmt, sync::Arc};

/// A media type without parameters, lower-case.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct MediaType(Arc<str>);

/// The OCI image manifest.
pub(crate) const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// The OCI image index.
pub(crate) const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// Docker's manifest, schema 2.
pub(crate) const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// Docker's manifest list.
pub(crate) const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";

impl MediaType {
    /// The `Accept` value of every manifest request upstream. It does not depend on the client's:
    /// registries answer 404 for a type that is not listed, and one answer must serve all clients.
    pub const MANIFEST_ACCEPT: &'static str = "application/vnd.oci.image.index.v1+json, \
         application/vnd.oci.image.manifest.v1+json, \
         application/vnd.docker.distribution.manifest.list.v2+json, \
         application/vnd.docker.distribution.manifest.v2+json";

    /// Parses a header's value; parameters after `;` are dropped. `None` if it is not a media type
    /// (no slash, invalid characters, longer than 255 bytes).
    pub fn from_header(value: &str) -> Option<Self> {
        let essence = value
            .split(';')
            .next()
            .unwrap_or_default()
            .trim()
            .to_ascii_lowercase();
        let token = |byte: u8| byte.is_ascii_graphic() && !b"\"(),:<=>?@[\\]{}".contains(&byte);
        let (kind, subtype) = essence.split_once('/')?;
        let sound = !kind.is_empty() && !subtype.is_empty() && essence.len() <= 255;
        (sound && essence.bytes().all(token)).then(|| Self(Arc::from(essence)))
    }

    /// The OCI index, the required type of referrers answers.
    pub fn oci_index() -> Self {
        Self(Arc::from(OCI_INDEX))
    }

    /// The type as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is a type that lists other manifests.
    pub(super) fn is_index(&self) -> bool {
        matches!(&*self.0, OCI_INDEX | DOCKER_LIST)
    }

    /// Whether this is one of the four manifest and index types of images.
    pub fn is_manifest(&self) -> bool {
        self.is_index() || matches!(&*self.0, OCI_MANIFEST | DOCKER_MANIFEST)
    }
}

impl fmt::Display for MediaType {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Debug for MediaType {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_dropped() {
        let of = |value| MediaType::from_header(value).map(|found| found.to_string());
        assert_eq!(
            of("Application/JSON; charset=utf-8").as_deref(),
            Some("application/json")
        );
        for none in ["", "text", "/", "a/", "a b/c", "a/b\"c"] {
            assert_eq!(of(none), None, "{none}");
        }
    }
}
