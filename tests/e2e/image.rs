//! Real images built without a network: an index over two platforms, each a configuration and three tar.gz layers.

use serde_json::{Value, json};

use super::{http::digest_of, noise::Noise};

pub(crate) const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
const TAR_BLOCK: usize = 512;
/// The last layer is larger than what a mirror may hold back whole before its first byte.
const LAYER_BYTES: [u64; 3] = [100, 200_000, 5 * 1024 * 1024];
const SMALL_LAYER_BYTES: [u64; 3] = [100, 1_000, 10_000];

/// Bytes with their name.
pub(crate) struct Blob {
    pub(crate) media_type: &'static str,
    pub(crate) digest: String,
    pub(crate) bytes: Vec<u8>,
}

/// One image as a registry keeps it.
pub(crate) struct Image {
    pub(crate) index: Blob,
    /// One a platform; linux/amd64 is the first.
    pub(crate) manifests: Vec<Blob>,
    /// Configurations and layers.
    pub(crate) blobs: Vec<Blob>,
}

impl Image {
    /// Another seed, another image: no two share a blob.
    pub(crate) fn new(seed: u64) -> Self {
        Self::of(seed, LAYER_BYTES)
    }

    /// One that is soon made and soon pulled.
    pub(crate) fn small(seed: u64) -> Self {
        Self::of(seed, SMALL_LAYER_BYTES)
    }

    fn of(seed: u64, layer_bytes: [u64; 3]) -> Self {
        let mut blobs = Vec::new();
        let mut manifests = Vec::new();
        let mut entries = Vec::new();
        for (number, architecture) in (0..).zip(["amd64", "arm64"]) {
            let manifest = platform(
                seed * 100 + number * 10,
                architecture,
                layer_bytes,
                &mut blobs,
            );
            let mut entry = descriptor(&manifest);
            entry["platform"] = json!({"os": "linux", "architecture": architecture});
            entries.push(entry);
            manifests.push(manifest);
        }
        let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries});
        Self {
            index: Blob::new(INDEX, index.to_string().into_bytes()),
            manifests,
            blobs,
        }
    }
}

impl Blob {
    pub(crate) fn new(media_type: &'static str, bytes: Vec<u8>) -> Self {
        Self {
            media_type,
            digest: digest_of(&mut bytes.as_slice()),
            bytes,
        }
    }
}

fn platform(seed: u64, architecture: &str, layer_bytes: [u64; 3], blobs: &mut Vec<Blob>) -> Blob {
    let mut layers = Vec::new();
    let mut diff_ids = Vec::new();
    for (number, length) in (0..).zip(layer_bytes) {
        let tar = tar(
            &format!("layer-{number}"),
            &Noise::new(seed + number, length).bytes(),
        );
        diff_ids.push(digest_of(&mut tar.as_slice()));
        let layer = Blob::new(LAYER, gzip(&tar));
        layers.push(descriptor(&layer));
        blobs.push(layer);
    }
    let config = json!({
        "os": "linux",
        "architecture": architecture,
        "config": {"Cmd": ["/layer-0"]},
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
    });
    let config = Blob::new(CONFIG, config.to_string().into_bytes());
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": descriptor(&config),
        "layers": layers,
    });
    blobs.push(config);
    Blob::new(MANIFEST, manifest.to_string().into_bytes())
}

fn descriptor(blob: &Blob) -> Value {
    json!({"mediaType": blob.media_type, "digest": blob.digest, "size": blob.bytes.len()})
}

/// A ustar archive with one file.
fn tar(name: &str, content: &[u8]) -> Vec<u8> {
    let mut header = [0_u8; TAR_BLOCK];
    let size = format!("{:011o}", content.len());
    for (offset, field) in [
        (0, name),
        (100, "0000755"),
        (108, "0000000"),
        (116, "0000000"),
        (124, &size),
        (136, "00000000000"),
        (148, "        "),
        (156, "0"),
        (257, "ustar\x0000"),
    ] {
        header[offset..offset + field.len()].copy_from_slice(field.as_bytes());
    }
    let sum: u32 = header.iter().copied().map(u32::from).sum();
    header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    let mut archive = header.to_vec();
    archive.extend_from_slice(content);
    archive.resize(archive.len().next_multiple_of(TAR_BLOCK) + 2 * TAR_BLOCK, 0);
    archive
}

/// A gzip member of stored blocks: noise does not shrink anyway.
fn gzip(content: &[u8]) -> Vec<u8> {
    let mut member = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    let mut blocks = content.chunks(usize::from(u16::MAX)).peekable();
    while let Some(block) = blocks.next() {
        let length = u16::try_from(block.len()).unwrap();
        member.push(u8::from(blocks.peek().is_none()));
        member.extend_from_slice(&length.to_le_bytes());
        member.extend_from_slice(&(!length).to_le_bytes());
        member.extend_from_slice(block);
    }
    member.extend_from_slice(&crc32(content).to_le_bytes());
    member.extend_from_slice(&u32::try_from(content.len()).unwrap().to_le_bytes());
    member
}

fn crc32(content: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in content {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            let carry = crc & 1;
            crc = (crc >> 1) ^ (0xEDB8_8320 * carry);
        }
    }
    !crc
}
