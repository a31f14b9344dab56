//! A blob's file: read whole if it is small, removed if it is damaged.

use std::io;

use bytes::Bytes;

use super::{error::StoreError, state::StoreState};
use crate::{
    disk::{File, Stat},
    oci::{Digest, Verified},
};

/// The bytes of a small file, if they can be read and are what the digest says.
pub(super) fn read_small(file: &dyn File, length: u64, digest: &Digest) -> Option<Bytes> {
    let mut buffer = vec![0; usize::try_from(length).ok()?];
    let read = file.read_at(&mut buffer, 0).ok()?;
    buffer.truncate(read);
    Verified::of(*digest, &buffer).ok()?;
    Some(Bytes::from(buffer))
}

/// Removes a damaged or lost blob, whose file was `seen` if there was one. Left alone if its name
/// leads to another file by now, or if it was evicted meanwhile.
pub(super) fn discard(
    shelf: &StoreState,
    digest: &Digest,
    seen: Option<&Stat>,
) -> Result<(), StoreError> {
    let _door = shelf.blobs_lock.lock();
    let path = shelf.layout.blob(digest);
    let healthy = match shelf.disk.open(&path).and_then(|file| file.stat()) {
        Ok(now) => seen.is_none_or(|seen| seen.inode != now.inode),
        Err(error) => error.kind() == io::ErrorKind::NotFound && shelf.index.blob(digest).is_none(),
    };
    if healthy {
        return Ok(());
    }
    tracing::warn!(path = %path.display(), "a kept blob is damaged or gone; it is removed");
    shelf.metrics.damaged();
    shelf.remove_blob(digest)
}
