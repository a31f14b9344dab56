//! The built-in image, and storing it.

use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;

use crate::{
    oci::{Algorithm, Digest, Manifest, Origin, Repository, Tag},
    pull::PullError,
    store::{CommitError, Store, TagRecord},
};

/// Its manifest.
const MANIFEST: &[u8] = include_bytes!("image/manifest.json");
/// The blobs of the manifest.
const BLOBS: [&[u8]; 3] = [
    include_bytes!("image/config.json"),
    include_bytes!("image/layer-1.tar.gz"),
    include_bytes!("image/layer-2.tar.gz"),
];

/// Stores the image, as an import without a network does.
pub(super) async fn load(
    store: &Store,
    repository: Repository,
    tag: &Tag,
) -> Result<(), PullError> {
    let origin = Origin::Local(repository);
    for bytes in BLOBS {
        let digest = Digest::of(Algorithm::Sha256, bytes);
        let mut partial = store
            .begin(&digest, u64::try_from(bytes.len()).ok())
            .await?;
        partial.write(Bytes::from_static(bytes)).await?;
        match partial.commit().await {
            Ok(_kept) => store.confirm(&digest, &origin).await?,
            Err(CommitError::Mismatch(_)) => return Err(PullError::Corrupt(digest)),
            Err(CommitError::Store(error)) => return Err(error.into()),
        }
    }
    let manifest = Manifest::unnamed(Bytes::from_static(MANIFEST), None);
    let manifest = Arc::new(manifest.map_err(|_broken| PullError::Abandoned)?);
    store.keep_manifest(&origin, &manifest).await?;
    let record = TagRecord {
        digest: manifest.digest(),
        checked: Timestamp::now(),
    };
    Ok(store.keep_tag(&origin, tag, record).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manifest_names_the_blobs_beside_it() {
        let manifest = Manifest::unnamed(Bytes::from_static(MANIFEST), None).unwrap();
        let named: Vec<_> = manifest
            .children()
            .iter()
            .map(|child| child.digest)
            .collect();
        let given: Vec<_> = BLOBS
            .iter()
            .map(|bytes| Digest::of(Algorithm::Sha256, bytes))
            .collect();
        assert_eq!(named, given);
    }
}
