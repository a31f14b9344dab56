//! Finding a kept blob.

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

/// Blobs up to this size are proven before any byte leaves, so that damage is a miss and not a
/// broken body.
const VERIFIED_FIRST_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// What lies under a blob's name.
enum BlobLookup {
    Absent,
    Ready(KeptBlob),
    Unverified(Arc<dyn File>, Stat),
}

pub(super) async fn find(
    shelf: &Arc<StoreState>,
    digest: Digest,
) -> Result<Option<KeptBlob>, StoreError> {
    if let Some(bytes) = shelf.small.get(&digest) {
        shelf.uses.note(&digest);
        return Ok(Some(KeptBlob::Small(bytes)));
    }
    // Boxed, or every hit in memory would have room for a look at the disk.
    Box::pin(find_on_disk(shelf, digest)).await
}

async fn find_on_disk(
    shelf: &Arc<StoreState>,
    digest: Digest,
) -> Result<Option<KeptBlob>, StoreError> {
    let found = shelf.blocking(move |shelf| look(shelf, &digest)).await?;
    let kept = match found {
        BlobLookup::Absent => return Ok(None),
        BlobLookup::Ready(kept) => Some(kept),
        BlobLookup::Unverified(file, stat) => {
            let growing = rehash::join(shelf, digest, &file, stat);
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
        shelf.uses.note(&digest);
    }
    Ok(kept)
}

async fn verified(mut growing: GrowingFile, size: u64) -> Option<KeptBlob> {
    let level = growing.wait_readable(u64::MAX).await;
    let file = Arc::clone(growing.file());
    (level.state == GrowthState::Whole).then_some(KeptBlob::Trusted { file, size })
}

fn look(shelf: &StoreState, digest: &Digest) -> Result<BlobLookup, StoreError> {
    let path = shelf.layout.blob(digest);
    let row = shelf.index.blob(digest);
    let file = match shelf.disk.open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound && row.is_none() => {
            return Ok(BlobLookup::Absent);
        }
        // Gone behind our back, or a link or folder in its place.
        Err(error) if is_foreign(&error) => return discard_found(shelf, digest, None),
        Err(error) => return Err(StoreError::at(&path)(error)),
    };
    let stat = file.stat().map_err(StoreError::at(&path))?;
    if row.is_some_and(|row| row.size != stat.length) {
        return discard_found(shelf, digest, Some(&stat));
    }
    if stat.length <= SMALL_BYTES_MAX {
        return match read_small(&*file, stat.length, digest) {
            Some(bytes) => {
                shelf.small.insert(*digest, bytes.clone());
                Ok(BlobLookup::Ready(KeptBlob::Small(bytes)))
            }
            None => discard_found(shelf, digest, Some(&stat)),
        };
    }
    let mark = row.and_then(|row| row.stamp);
    if mark.is_some_and(|mark| shelf.trusts(&mark, digest, &stat)) {
        let size = stat.length;
        return Ok(BlobLookup::Ready(KeptBlob::Trusted { file, size }));
    }
    Ok(BlobLookup::Unverified(file, stat))
}

fn discard_found(
    shelf: &StoreState,
    digest: &Digest,
    seen: Option<&Stat>,
) -> Result<BlobLookup, StoreError> {
    discard(shelf, digest, seen)?;
    Ok(BlobLookup::Absent)
}

fn is_foreign(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::InvalidInput | io::ErrorKind::IsADirectory
    )
}
