//! Things a registry keeps, and deterministic material to fill it with.

use std::fmt::Write as _;

use bytes::Bytes;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256, Sha512};

/// 1,024 bytes.
pub const KIB: usize = 1024;
/// 1,024 KiB.
pub const MIB: usize = 1024 * KIB;

/// The media types this crate makes itself.
pub mod media_type {
    /// An OCI image index.
    pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
    /// An OCI image manifest.
    pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
    /// An OCI image configuration.
    pub const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
    /// An uncompressed layer.
    pub const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
    /// The two bytes `{}` where a configuration is not needed.
    pub const EMPTY: &str = "application/vnd.oci.empty.v1+json";
    /// A Docker image manifest, version 2, schema 2.
    pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
    /// A Docker manifest list.
    pub const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
    /// What blobs are served as.
    pub const OCTETS: &str = "application/octet-stream";
}

/// Bytes under a digest.
///
/// The fields are public, so a registry that lies about a digest is one field away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// `sha256:…` or `sha512:…`.
    pub digest: String,
    /// The bytes as served.
    pub bytes: Bytes,
    /// What a descriptor and, for a manifest, `Content-Type` say.
    pub media_type: String,
}

impl Content {
    /// Content under its sha256 digest.
    pub fn new(media_type: impl Into<String>, bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        Self {
            digest: hex("sha256:", &Sha256::digest(&bytes)),
            bytes,
            media_type: media_type.into(),
        }
    }

    /// Content under its sha512 digest.
    pub fn sha512(media_type: impl Into<String>, bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        Self {
            digest: hex("sha512:", &Sha512::digest(&bytes)),
            bytes,
            media_type: media_type.into(),
        }
    }

    /// How many bytes it has.
    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    /// The descriptor a manifest or an index would hold.
    pub fn descriptor(&self) -> Value {
        json!({ "mediaType": self.media_type, "digest": self.digest, "size": self.size() })
    }
}

/// An image and its parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// What the tag points to.
    pub manifest: Content,
    /// Its configuration.
    pub config: Content,
    /// Its layers, lowest first.
    pub layers: Vec<Content>,
}

impl Image {
    /// An OCI image over these layers; valid for real clients if each layer is a tar archive.
    pub fn new(layers: &[Bytes]) -> Self {
        let layers: Vec<_> = layers
            .iter()
            .map(|bytes| Content::new(media_type::LAYER, bytes.clone()))
            .collect();
        let diff_ids: Vec<_> = layers.iter().map(|layer| layer.digest.as_str()).collect();
        let config = json!({
            "architecture": "amd64",
            "os": "linux",
            "config": {},
            "rootfs": { "type": "layers", "diff_ids": diff_ids },
        });
        let config = Content::new(media_type::CONFIG, config.to_string());
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": media_type::MANIFEST,
            "config": config.descriptor(),
            "layers": layers.iter().map(Content::descriptor).collect::<Vec<_>>(),
        });
        Self {
            manifest: Content::new(media_type::MANIFEST, manifest.to_string()),
            config,
            layers,
        }
    }
}

/// An OCI index over `images`, each for the next architecture of a fixed list.
pub(crate) fn index_of(images: &[&Image]) -> Content {
    let architectures = ["amd64", "arm64", "ppc64le", "s390x", "riscv64"]
        .iter()
        .cycle();
    let manifests: Vec<_> = images
        .iter()
        .zip(architectures)
        .map(|(image, architecture)| {
            json!({
                "mediaType": image.manifest.media_type,
                "digest": image.manifest.digest,
                "size": image.manifest.size(),
                "platform": { "os": "linux", "architecture": architecture },
            })
        })
        .collect();
    let index =
        json!({ "schemaVersion": 2, "mediaType": media_type::INDEX, "manifests": manifests });
    Content::new(media_type::INDEX, index.to_string())
}

/// An artifact manifest that refers to `subject`, with its one layer and its empty configuration.
pub(crate) fn artifact_of(subject: &Content, artifact_type: &str, bytes: Bytes) -> Image {
    let config = Content::new(media_type::EMPTY, "{}");
    let layer = Content::new(media_type::OCTETS, bytes);
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": media_type::MANIFEST,
        "artifactType": artifact_type,
        "config": config.descriptor(),
        "layers": [layer.descriptor()],
        "subject": subject.descriptor(),
    });
    let manifest = Content::new(media_type::MANIFEST, manifest.to_string());
    Image {
        manifest,
        config,
        layers: vec![layer],
    }
}

/// `len` bytes that depend on `seed` alone (`SplitMix64`); print the seed when a test fails.
pub fn random_bytes(len: usize, seed: u64) -> Bytes {
    let mut state = seed;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut word = state;
        word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        bytes.extend_from_slice(&(word ^ (word >> 31)).to_le_bytes());
    }
    bytes.truncate(len);
    bytes.into()
}

/// A tar archive of plain files, so that real clients can unpack a layer.
///
/// Names have at most 100 bytes.
pub fn tar(files: &[(&str, &[u8])]) -> Bytes {
    let mut archive = Vec::new();
    for (name, bytes) in files {
        archive.extend_from_slice(&tar_header(name, bytes.len()));
        archive.extend_from_slice(bytes);
        archive.resize(archive.len().next_multiple_of(TAR_BLOCK_BYTES), 0);
    }
    archive.resize(archive.len() + 2 * TAR_BLOCK_BYTES, 0);
    archive.into()
}

fn tar_header(name: &str, size: usize) -> Vec<u8> {
    assert!(
        name.len() <= 100,
        "{name} is too long for a plain tar header"
    );
    let fields = |sum: &str| {
        let mut header = Vec::with_capacity(TAR_BLOCK_BYTES);
        let size = format!("{size:011o}\0");
        let texts: [(&str, usize); 10] = [
            (name, 100),
            ("0000644\0", 8),
            ("0000000\0", 8),
            ("0000000\0", 8),
            (&size, 12),
            ("00000000000\0", 12),
            (sum, 8),
            ("0", 1),
            ("", 100),
            ("ustar\x0000", TAR_BLOCK_BYTES - 257),
        ];
        for (text, width) in texts {
            let end = header.len() + width;
            header.extend_from_slice(text.as_bytes());
            header.resize(end, 0);
        }
        header
    };
    // The sum is taken over the header with eight spaces in the sum's own place.
    let sum: u32 = fields("        ").iter().copied().map(u32::from).sum();
    fields(&format!("{sum:06o}\0 "))
}

fn hex(prefix: &str, bytes: &[u8]) -> String {
    bytes.iter().fold(prefix.to_owned(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes all text");
        text
    })
}

const TAR_BLOCK_BYTES: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_those_of_the_standard() {
        assert_eq!(
            Content::new("", "abc").digest,
            "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert!(
            Content::sha512("", "abc")
                .digest
                .starts_with("sha512:ddaf35a193617aba")
        );
        assert_eq!(Content::sha512("", "abc").digest.len(), 7 + 128);
    }

    #[test]
    fn random_bytes_depend_on_length_and_seed_alone() {
        assert_eq!(random_bytes(1000, 1), random_bytes(1003, 1).slice(..1000));
        assert_ne!(random_bytes(1000, 1), random_bytes(1000, 2));
        // The published first value of SplitMix64 for the seed 1234567.
        assert_eq!(
            random_bytes(8, 1_234_567),
            6_457_827_717_110_365_317_u64.to_le_bytes()[..]
        );
    }

    #[test]
    fn a_tar_archive_has_whole_blocks_and_a_right_sum() {
        let archive = tar(&[("a.txt", b"hello")]);
        assert_eq!(archive.len(), 4 * TAR_BLOCK_BYTES);
        assert_eq!(&archive[257..263], b"ustar\0");
        let sum: u32 = archive[..TAR_BLOCK_BYTES]
            .iter()
            .enumerate()
            .map(|(at, byte)| {
                if (148..156).contains(&at) {
                    32
                } else {
                    u32::from(*byte)
                }
            })
            .sum();
        assert_eq!(archive[148..154], *format!("{sum:06o}").as_bytes());
    }
}
