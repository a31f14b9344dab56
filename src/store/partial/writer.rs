//! The writer of a [`super::Partial`] on the blocking pool: file, hash, watermark and reservation.

use std::{io, path::PathBuf, pin::pin, sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::time::{Instant, timeout_at};

use crate::{
    disk::File,
    oci::{Digest, Verified, Verifier},
    store::{
        blob_file,
        error::{CommitError, StoreError},
        evict::{self, Reservation},
        index::BlobRow,
        records::KeptBlob,
        state::{SMALL_BYTES_MAX, StoreState},
    },
    wire::{FileProgress, HELD_BACK_BYTES},
};

/// The least bytes that make an unfinished file worth a later resume.
const RESUME_BYTES_MIN: u64 = 1024 * 1024;
/// How long a dropped writer may take to release its file.
const BUSY_WAIT_MAX: Duration = Duration::from_secs(1);
/// Bytes per read while the content of a resumed file is hashed again.
const CHUNK_BYTES: usize = 1024 * 1024;

/// Moves to the blocking pool and back. Its drop releases the file and the write lock, wherever it
/// is.
#[derive(Debug)]
pub(super) struct BlobWriter {
    state: Arc<StoreState>,
    digest: Digest,
    pub(super) path: PathBuf,
    pub(super) file: Arc<dyn File>,
    announced: Option<u64>,
    pub(super) verifier: Verifier,
    pub(super) progress: FileProgress,
    reservation: Reservation,
    pub(super) disposition: FileDisposition,
    _lock: WriteLock,
}

/// What the drop of the writer does with the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FileDisposition {
    KeepForResume,
    Remove,
    Renamed,
}

/// The right to write a blob, held by one writer at a time.
#[derive(Debug)]
pub(in crate::store) struct WriteLock {
    state: Arc<StoreState>,
    digest: Digest,
}

impl BlobWriter {
    pub(super) fn open(lock: WriteLock, announced: Option<u64>) -> Result<Self, StoreError> {
        let state = Arc::clone(&lock.state);
        let digest = lock.digest;
        let path = state.layout.partial(&digest);
        let reservation = Reservation::new(&state, announced, &path)?;
        let opened = state.disk.resume(&path).or_else(|error| {
            if error.kind() != io::ErrorKind::InvalidInput {
                return Err(error);
            }
            tracing::warn!(path = %path.display(), "unexpected file in partial/; removing it");
            state.disk.remove(&path)?;
            state.disk.resume(&path)
        });
        let mut writer = Self {
            file: opened.map_err(StoreError::at(&path))?,
            verifier: Verifier::new(digest),
            progress: FileProgress::new(),
            disposition: FileDisposition::KeepForResume,
            _lock: lock,
            state,
            digest,
            path,
            announced,
            reservation,
        };
        writer.resume()?;
        Ok(writer)
    }

    /// Hashes what an earlier writer left, or discards it if it cannot be the start of the blob.
    fn resume(&mut self) -> Result<(), StoreError> {
        let length = self.file.stat().map_err(StoreError::at(&self.path))?.length;
        if self.announced.is_some_and(|size| length > size) {
            return self.restart();
        }
        let mut buffer = vec![0; CHUNK_BYTES];
        while self.verifier.seen() < length {
            match self.file.read_at(&mut buffer, self.verifier.seen()) {
                Ok(read) if read > 0 => {
                    self.verifier.update(buffer.get(..read).unwrap_or_default());
                }
                Ok(_) | Err(_) => return self.restart(),
            }
        }
        self.advance(length)
    }

    fn restart(&mut self) -> Result<(), StoreError> {
        self.file.truncate(0).map_err(StoreError::at(&self.path))?;
        self.verifier = Verifier::new(self.digest);
        self.reservation.wrote(0);
        Ok(())
    }

    /// Writes first, so that readers get the bytes while they are hashed.
    pub(super) fn write(&mut self, batch: &[Bytes]) -> Result<(), StoreError> {
        let mut written = self.verifier.seen();
        for chunk in batch {
            let mut done = self.file.write_at(chunk, written);
            if done.as_ref().is_err_and(is_full) {
                evict::make_emergency_room(&self.state);
                done = self.file.write_at(chunk, written);
            }
            done.map_err(StoreError::at(&self.path))?;
            written += u64::try_from(chunk.len()).unwrap_or(u64::MAX);
        }
        let advanced = self.advance(written);
        for chunk in batch {
            self.verifier.update(chunk);
        }
        advanced
    }

    /// Lets readers read what is written except for the last 64 KiB, and makes room for more.
    fn advance(&mut self, written: u64) -> Result<(), StoreError> {
        let end = self.announced.unwrap_or(written);
        self.progress
            .advance(written.min(end.saturating_sub(HELD_BACK_BYTES)));
        if self.reservation.wrote(written) {
            self.reservation.make_room(&self.path)?;
        }
        Ok(())
    }

    pub(super) fn commit(mut self: Box<Self>) -> Result<KeptBlob, CommitError> {
        self.disposition = FileDisposition::Remove;
        let proof = self.verifier.clone().finish()?;
        self.progress.finish(proof.size());
        if !self.reservation.is_too_large_to_keep() {
            self.keep(&proof)?;
            // Concurrent reservations may exceed the limits together.
            evict::trim(&self.state);
        }
        let size = proof.size();
        if size <= SMALL_BYTES_MAX
            && let Some(bytes) = blob_file::read_small(&*self.file, size, &self.digest)
        {
            if self.disposition == FileDisposition::Renamed {
                self.state.small.insert(self.digest, bytes.clone());
            }
            return Ok(KeptBlob::Small(bytes));
        }
        Ok(KeptBlob::Trusted {
            file: Arc::clone(&self.file),
            size,
        })
    }

    fn keep(&mut self, proof: &Verified) -> Result<(), StoreError> {
        let state = Arc::clone(&self.state);
        self.file.sync().map_err(StoreError::at(&self.path))?;
        let path = state.layout.blob(&self.digest);
        let _guard = state.blobs_lock.lock();
        state
            .disk
            .rename(&self.path, &path)
            .map_err(StoreError::at(&path))?;
        self.disposition = FileDisposition::Renamed;
        let folder = state.layout.blobs(self.digest.algorithm());
        let synced = state.disk.sync_folder(&folder);
        // The blob is kept from here on. Without a stamp it is hashed once more at its next use.
        let stat = self.file.stat().ok();
        let stamp = stat.and_then(|stat| state.stamp(&self.digest, &stat));
        let row = BlobRow {
            size: proof.size(),
            used: state.uses.now(),
            stamp: stamp.filter(|_| synced.is_ok()),
        };
        self.reservation.commit(&self.digest, row);
        synced.map_err(StoreError::at(&folder))
    }
}

impl Drop for BlobWriter {
    fn drop(&mut self) {
        let useless =
            self.verifier.seen() <= RESUME_BYTES_MIN || self.reservation.is_too_large_to_keep();
        let removes = self.disposition == FileDisposition::Remove
            || self.disposition == FileDisposition::KeepForResume && useless;
        if removes && let Err(error) = self.state.disk.remove(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "cannot remove a partial blob");
        }
    }
}

impl WriteLock {
    /// Waits up to a second for a writer that was just dropped.
    pub(super) async fn acquire(
        state: &Arc<StoreState>,
        digest: Digest,
    ) -> Result<Self, StoreError> {
        let deadline = Instant::now() + BUSY_WAIT_MAX;
        loop {
            let mut written = pin!(state.write_ended.notified());
            written.as_mut().enable();
            if let Some(lock) = Self::try_acquire(state, digest) {
                return Ok(lock);
            }
            if timeout_at(deadline, written).await.is_err() {
                return Err(StoreError::Busy { digest });
            }
        }
    }

    /// `None` while another writer holds it.
    pub(in crate::store) fn try_acquire(state: &Arc<StoreState>, digest: Digest) -> Option<Self> {
        let free = state.writing.lock().insert(digest);
        free.then(|| Self {
            state: Arc::clone(state),
            digest,
        })
    }
}

impl Drop for WriteLock {
    fn drop(&mut self) {
        self.state.writing.lock().remove(&self.digest);
        self.state.write_ended.notify_waiters();
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}
