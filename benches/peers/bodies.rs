//! One image: what every server serves.

use std::{fmt::Write, fs, path::Path};

use serde_json::json;
use sha2::{Digest, Sha256};

use crate::Fallible;

/// The repository, the same at the upstream and at the mirrors.
pub(crate) const REPOSITORY: &str = "bench/img";
/// What an upstream may be asked for instead: some mirrors leave out a name's first part.
pub(crate) const ASKED_NAMES: [&str; 2] = [REPOSITORY, "img"];
pub(crate) const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";

const BIG_BYTES: usize = 300_000_000;
const MIDDLE_BYTES: usize = 5_000_000;
const SMALL_BYTES: usize = 1_200;

/// All bodies; each is named by its sha256, which is checked before bodies are compared with it.
pub(crate) struct Bodies {
    pub(crate) big: Body,
    pub(crate) middle: Body,
    pub(crate) small: Body,
    pub(crate) by_tag: Body,
    pub(crate) by_digest: Body,
    /// The manifest's own.
    pub(crate) digest: String,
}

pub(crate) struct Body {
    /// What is asked for: the path, and the registry as nodes name it to a mirror.
    pub(crate) target: String,
    pub(crate) bytes: Vec<u8>,
}

impl Bodies {
    /// Makes them, and the files under `root` that a server of static files finds them in.
    pub(crate) fn make(root: &Path) -> Fallible<Self> {
        let [big, middle, small] = [noise(BIG_BYTES)?, noise(MIDDLE_BYTES)?, noise(SMALL_BYTES)?];
        let manifest = manifest(&big, &middle, &small);
        let digest = digest(&manifest);
        let bodies = Self {
            by_tag: Body::new("manifests/latest", manifest.clone()),
            by_digest: Body::new(&format!("manifests/{digest}"), manifest),
            big: Body::blob(big),
            middle: Body::blob(middle),
            small: Body::blob(small),
            digest,
        };
        bodies.write(root)?;
        Ok(bodies)
    }

    fn write(&self, root: &Path) -> Fallible<()> {
        for kind in ["blobs", "manifests"] {
            fs::create_dir_all(root.join(format!("v2/{REPOSITORY}/{kind}")))?;
        }
        for body in [
            &self.big,
            &self.middle,
            &self.small,
            &self.by_tag,
            &self.by_digest,
        ] {
            fs::write(root.join(body.path().trim_start_matches('/')), &body.bytes)?;
        }
        Ok(())
    }
}

impl Body {
    fn new(name: &str, bytes: Vec<u8>) -> Self {
        let target = format!("/v2/{REPOSITORY}/{name}?ns=registry.example");
        Self { target, bytes }
    }

    fn blob(bytes: Vec<u8>) -> Self {
        Self::new(&format!("blobs/{}", digest(&bytes)), bytes)
    }

    /// The target without its query.
    pub(crate) fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }
}

fn noise(length: usize) -> Fallible<Vec<u8>> {
    let mut bytes = vec![0; length];
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}

/// A manifest of the three, as large as the small one.
fn manifest(big: &[u8], middle: &[u8], small: &[u8]) -> Vec<u8> {
    let layer = "application/vnd.oci.image.layer.v1.tar";
    let of = |bytes: &[u8], kind: &str| json!({"mediaType": kind, "digest": digest(bytes), "size": bytes.len()});
    let text = |filler: &str| {
        json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": of(small, "application/vnd.oci.image.config.v1+json"),
            "layers": [of(big, layer), of(middle, layer)],
            "annotations": {"filler": filler},
        })
        .to_string()
    };
    let missing = SMALL_BYTES.saturating_sub(text("").len());
    text(&"x".repeat(missing)).into_bytes()
}

fn digest(bytes: &[u8]) -> String {
    let mut text = "sha256:".to_owned();
    for byte in Sha256::digest(bytes) {
        // Writing to a `String` cannot fail.
        write!(text, "{byte:02x}").ok();
    }
    text
}
