//! A blob's file: read whole if small, removed if damaged.

use std::io;

use bytes::Bytes;

use super::{error::StoreError, state::StoreState};
use crate::{
    disk::{File, Stat},
    oci::{Digest, Verified},
};

/// The bytes of a small file, if they can be read and match the digest.
pub(super) fn read_small(file: &dyn File, length: u64, digest: &Digest) -> Option<Bytes> {
    let mut buffer = vec![0; usize::try_from(length).ok()?];
    let read = file.read_at(&mut buffer, 0).ok()?;
    buffer.truncate(read);
    Verified::of(*digest, &buffer).ok()?;
    Some(Bytes::from(buffer))
}

/// Removes a damaged or missing blob, whose file had the state `seen` if it existed. Does nothing
/// if the name now leads to another file, or if the blob was evicted meanwhile.
pub(super) fn discard(
    state: &StoreState,
    digest: &Digest,
    seen: Option<&Stat>,
) -> Result<(), StoreError> {
    let _guard = state.blobs_lock.lock();
    let path = state.layout.blob(digest);
    let healthy = match state.disk.open(&path).and_then(|file| file.stat()) {
        Ok(now) => seen.is_none_or(|seen| seen.inode != now.inode),
        Err(error) => error.kind() == io::ErrorKind::NotFound && state.index.blob(digest).is_none(),
    };
    if healthy {
        return Ok(());
    }
    tracing::warn!(path = %path.display(), "removing a damaged or missing blob");
    state.metrics.damaged();
    state.remove_blob(digest)
}
