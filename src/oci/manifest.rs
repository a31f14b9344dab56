//! A manifest: verified bytes, their media type, and the content that they reference.

use bytes::Bytes;
use serde::Deserialize;
use thiserror::Error;

use super::{
    Algorithm, Digest, MediaType, Mismatch, Verified,
    media_type::{DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST},
};

/// Most descriptors in one manifest; genuine images have a few hundred at most.
const CHILDREN_MAX: usize = 20_000;

/// A manifest or an index, exactly as upstream sent it. Every constructor hashes the bytes, so its
/// bytes always match its digest.
#[derive(Clone, Debug)]
pub struct Manifest {
    digest: Digest,
    media_type: MediaType,
    bytes: Bytes,
    children: Vec<Child>,
}

/// Content that a manifest references: a child manifest, a configuration or a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Child {
    /// Its digest.
    pub digest: Digest,
    /// Its size in bytes, as the manifest claims it.
    pub size: u64,
    /// Whether it is fetched from `manifests/` instead of `blobs/`.
    pub is_manifest: bool,
}

/// Why bytes are not a manifest that we can serve.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum InvalidManifest {
    /// They do not match the digest.
    #[error(transparent)]
    Digest(#[from] Mismatch),
    /// They are not a JSON object of a manifest's shape.
    #[error("not a manifest: {0}")]
    Shape(String),
    /// Docker's schema 1, whose digest does not cover the bytes as sent.
    #[error("a schema 1 manifest, which cannot be mirrored by digest")]
    Schema1,
    /// Both an index and an image, or a type that contradicts the shape (CVE-2021-41190).
    #[error("an ambiguous manifest: {0}")]
    Ambiguous(&'static str),
}

/// The fields of a manifest that are read. A descriptor that we cannot verify is an error, because
/// its content could never be pulled.
#[derive(Deserialize)]
struct ManifestJson {
    #[serde(rename = "schemaVersion")]
    schema_version: Option<u64>,
    #[serde(rename = "mediaType")]
    media_type: Option<String>,
    manifests: Option<Vec<DescriptorJson>>,
    config: Option<DescriptorJson>,
    layers: Option<Vec<DescriptorJson>>,
    blobs: Option<Vec<DescriptorJson>>,
    #[serde(rename = "fsLayers")]
    fs_layers: Option<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
struct DescriptorJson {
    digest: String,
    size: u64,
}

impl Manifest {
    /// Verifies and parses bytes for a digest; `declared` is upstream's `Content-Type`, which
    /// decides only if the body does not state its type.
    pub fn new(
        want: Digest,
        bytes: Bytes,
        declared: Option<&MediaType>,
    ) -> Result<Self, InvalidManifest> {
        Self::verified(Verified::of(want, &bytes)?, bytes, declared)
    }

    /// Parses bytes whose digest is not known yet: a tag's answer without a digest header.
    pub fn unnamed(bytes: Bytes, declared: Option<&MediaType>) -> Result<Self, InvalidManifest> {
        Self::new(Digest::of(Algorithm::Sha256, &bytes), bytes, declared)
    }

    fn verified(
        proof: Verified,
        bytes: Bytes,
        declared: Option<&MediaType>,
    ) -> Result<Self, InvalidManifest> {
        let document: ManifestJson = serde_json::from_slice(&bytes)
            .map_err(|error| InvalidManifest::Shape(error.to_string()))?;
        let media_type = document.media_type(declared)?;
        let children = document.children()?;
        Ok(Self {
            digest: proof.digest(),
            media_type,
            bytes,
            children,
        })
    }

    /// Its digest.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Its type, for the `Content-Type` header.
    pub fn media_type(&self) -> &MediaType {
        &self.media_type
    }

    /// The bytes, unchanged.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// All content that it references.
    pub fn children(&self) -> &[Child] {
        &self.children
    }
}

impl ManifestJson {
    fn media_type(&self, declared: Option<&MediaType>) -> Result<MediaType, InvalidManifest> {
        if self.fs_layers.is_some() || self.schema_version == Some(1) {
            return Err(InvalidManifest::Schema1);
        }
        let index = self.manifests.is_some();
        let image = self.layers.is_some() || self.config.is_some();
        if index && image {
            return Err(InvalidManifest::Ambiguous(
                "it is an index and an image at once",
            ));
        }
        let written = self.media_type.as_deref();
        let named = match written {
            Some(text) => MediaType::from_header(text).ok_or(InvalidManifest::Ambiguous(
                "its mediaType is not a media type",
            ))?,
            None if index => default_type(declared, DOCKER_LIST, OCI_INDEX),
            None if image => default_type(declared, DOCKER_MANIFEST, OCI_MANIFEST),
            None => return Err(InvalidManifest::Shape("it references no content".into())),
        };
        if named.is_index() && !index || named.is_manifest() && !named.is_index() && !image {
            return Err(InvalidManifest::Ambiguous(
                "its mediaType contradicts its content",
            ));
        }
        let contradicts = |header: &&MediaType| header.is_manifest() && **header != named;
        if written.is_some() && declared.as_ref().is_some_and(contradicts) {
            return Err(InvalidManifest::Ambiguous(
                "its mediaType contradicts the Content-Type",
            ));
        }
        Ok(named)
    }

    fn children(self) -> Result<Vec<Child>, InvalidManifest> {
        let manifests = self
            .manifests
            .into_iter()
            .flatten()
            .map(|found| (found, true));
        let blobs = self
            .config
            .into_iter()
            .chain(self.layers.into_iter().flatten());
        let blobs = blobs
            .chain(self.blobs.into_iter().flatten())
            .map(|found| (found, false));
        let mut children = Vec::new();
        for (descriptor, is_manifest) in manifests.chain(blobs) {
            if children.len() == CHILDREN_MAX {
                return Err(InvalidManifest::Shape(format!(
                    "more than {CHILDREN_MAX} parts"
                )));
            }
            let digest = descriptor.digest.parse().map_err(|error| {
                InvalidManifest::Shape(format!("{:?}: {error}", descriptor.digest))
            })?;
            children.push(Child {
                digest,
                size: descriptor.size,
                is_manifest,
            });
        }
        Ok(children)
    }
}

/// The type of a body that states none: OCI's, unless upstream declared Docker's of this shape.
fn default_type(declared: Option<&MediaType>, docker: &str, oci: &str) -> MediaType {
    let text = if declared.is_some_and(|found| found.as_str() == docker) {
        docker
    } else {
        oci
    };
    MediaType::from_header(text).unwrap_or_else(MediaType::oci_index)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ZERO: &str = "sha256:0000000000000000000000000000000000000000000000000000000000000000";

    fn manifest(text: &str, declared: &str) -> Result<Manifest, InvalidManifest> {
        let bytes = Bytes::from(text.replace("ZERO", ZERO));
        Manifest::unnamed(bytes, MediaType::from_header(declared).as_ref())
    }

    #[test]
    fn the_body_says_what_it_is() {
        let check = |text, declared, want: &str| {
            assert_eq!(
                manifest(text, declared).unwrap().media_type().as_str(),
                want,
                "{text}"
            );
        };
        let image = r#"{"schemaVersion":2,"config":{"digest":"ZERO","size":1},"layers":[]}"#;
        check(image, "text/plain", OCI_MANIFEST);
        check(image, "application/octet-stream", OCI_MANIFEST);
        check(image, DOCKER_MANIFEST, DOCKER_MANIFEST);
        check(r#"{"schemaVersion":2,"manifests":[]}"#, "", OCI_INDEX);
        check(
            r#"{"mediaType":"application/vnd.cncf.x+json","blobs":[]}"#,
            "",
            "application/vnd.cncf.x+json",
        );
    }

    #[test]
    fn ambiguous_documents_are_refused() {
        let both = r#"{"manifests":[],"layers":[],"config":{"digest":"ZERO","size":1}}"#;
        assert!(matches!(
            manifest(both, ""),
            Err(InvalidManifest::Ambiguous(_))
        ));
        let lying = format!(r#"{{"mediaType":"{OCI_INDEX}","layers":[]}}"#);
        assert!(matches!(
            manifest(&lying, ""),
            Err(InvalidManifest::Ambiguous(_))
        ));
        let index = format!(r#"{{"mediaType":"{OCI_INDEX}","manifests":[]}}"#);
        assert!(matches!(
            manifest(&index, OCI_MANIFEST),
            Err(InvalidManifest::Ambiguous(_))
        ));
        assert_eq!(
            manifest(r#"{"schemaVersion":1,"fsLayers":[]}"#, "").unwrap_err(),
            InvalidManifest::Schema1
        );
    }

    #[test]
    fn what_is_no_manifest_is_refused() {
        let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
        for text in [
            "",
            "<html>",
            "[]",
            "{}",
            "null",
            "{\"layers\":1}",
            deep.as_str(),
        ] {
            assert!(
                matches!(manifest(text, ""), Err(InvalidManifest::Shape(_))),
                "{text:.20}"
            );
        }
    }

    #[test]
    fn children_are_listed_with_their_kind() {
        let text = r#"{"config":{"digest":"ZERO","size":1},"layers":[{"digest":"ZERO","size":2}]}"#;
        let found = manifest(text, "").unwrap();
        let sizes: Vec<_> = found
            .children()
            .iter()
            .map(|c| (c.size, c.is_manifest))
            .collect();
        assert_eq!(sizes, [(1, false), (2, false)]);
    }
}
