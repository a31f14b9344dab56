//! Looks up a kept blob.

use std::{io, sync::Arc};

use super::{
    blob_file::{discard, read_small},
    error::StoreError,
    records::KeptBlob,
    rehash,
    state::{SMALL_BYTES_MAX, StoreState},
};
use crate::{
    disk::{File, Stat},
    oci::Digest,
    wire::{GrowingFile, GrowthState},
};

/// Blobs up to this size are verified before their first byte is sent, so that damage becomes a
/// miss and not a broken body.
const VERIFIED_FIRST_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// What the disk holds under a blob's name.
enum BlobLookup {
    Absent,
    Ready(KeptBlob),
    Unverified(Arc<dyn File>, Stat),
}

pub(super) async fn find(
    state: &Arc<StoreState>,
    digest: Digest,
) -> Result<Option<KeptBlob>, StoreError> {
    if let Some(bytes) = state.small.get(&digest) {
        state.uses.note(&digest);
        return Ok(Some(KeptBlob::Small(bytes)));
    }
    // Boxed so that the future of a hit in memory stays small.
    Box::pin(find_on_disk(state, digest)).await
}

async fn find_on_disk(
    state: &Arc<StoreState>,
    digest: Digest,
) -> Result<Option<KeptBlob>, StoreError> {
    let found = state.blocking(move |state| look(state, &digest)).await?;
    let kept = match found {
        BlobLookup::Absent => return Ok(None),
        BlobLookup::Ready(kept) => Some(kept),
        BlobLookup::Unverified(file, stat) => {
            let growing = rehash::join(state, digest, &file, stat);
            let size = stat.length;
            if size > VERIFIED_FIRST_BYTES_MAX {
                Some(KeptBlob::Unverified {
                    file: growing,
                    size,
                })
            } else {
                verified(growing, size).await
            }
        }
    };
    if kept.is_some() {
        state.uses.note(&digest);
    }
    Ok(kept)
}

async fn verified(mut growing: GrowingFile, size: u64) -> Option<KeptBlob> {
    let level = growing.wait_readable(u64::MAX).await;
    let file = Arc::clone(growing.file());
    (level.state == GrowthState::Whole).then_some(KeptBlob::Trusted { file, size })
}

fn look(state: &StoreState, digest: &Digest) -> Result<BlobLookup, StoreError> {
    let path = state.layout.blob(digest);
    let row = state.index.blob(digest);
    let file = match state.disk.open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound && row.is_none() => {
            return Ok(BlobLookup::Absent);
        }
        // Removed by another program, or replaced by a link or a folder.
        Err(error) if is_foreign(&error) => return discard_found(state, digest, None),
        Err(error) => return Err(StoreError::at(&path)(error)),
    };
    let stat = file.stat().map_err(StoreError::at(&path))?;
    if row.is_some_and(|row| row.size != stat.length) {
        return discard_found(state, digest, Some(&stat));
    }
    if stat.length <= SMALL_BYTES_MAX {
        return match read_small(&*file, stat.length, digest) {
            Some(bytes) => {
                state.small.insert(*digest, bytes.clone());
                Ok(BlobLookup::Ready(KeptBlob::Small(bytes)))
            }
            None => discard_found(state, digest, Some(&stat)),
        };
    }
    let stamp = row.and_then(|row| row.stamp);
    if stamp.is_some_and(|stamp| state.trusts(&stamp, digest, &stat)) {
        let size = stat.length;
        return Ok(BlobLookup::Ready(KeptBlob::Trusted { file, size }));
    }
    Ok(BlobLookup::Unverified(file, stat))
}

fn discard_found(
    state: &StoreState,
    digest: &Digest,
    seen: Option<&Stat>,
) -> Result<BlobLookup, StoreError> {
    discard(state, digest, seen)?;
    Ok(BlobLookup::Absent)
}

fn is_foreign(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::InvalidInput | io::ErrorKind::IsADirectory
    )
}
