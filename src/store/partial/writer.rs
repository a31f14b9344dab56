//! The writing part of a [`super::Partial`]: file, hash, watermark and claim, on the blocking pool.

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

/// What an unfinished file must hold to be worth a later resume.
const RESUME_BYTES_MIN: u64 = 1024 * 1024;
/// How long a writer that was just dropped may take to let go of its file.
const BUSY_WAIT_MAX: Duration = Duration::from_secs(1);
/// Bytes per read while the beginning of a resumed file is hashed again.
const CHUNK_BYTES: usize = 1024 * 1024;

/// What moves to the blocking pool and back. Its drop lets go of file and name, wherever it is.
#[derive(Debug)]
pub(super) struct BlobWriter {
    shelf: Arc<StoreState>,
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

/// What becomes of the file when the pen is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FileDisposition {
    KeepForResume,
    Remove,
    Renamed,
}

/// The right to write this blob.
#[derive(Debug)]
pub(in crate::store) struct WriteLock {
    shelf: Arc<StoreState>,
    digest: Digest,
}

impl BlobWriter {
    pub(super) fn open(ticket: WriteLock, announced: Option<u64>) -> Result<Self, StoreError> {
        let shelf = Arc::clone(&ticket.shelf);
        let digest = ticket.digest;
        let path = shelf.layout.partial(&digest);
        let claim = Reservation::new(&shelf, announced, &path)?;
        let opened = shelf.disk.resume(&path).or_else(|error| {
            if error.kind() != io::ErrorKind::InvalidInput {
                return Err(error);
            }
            tracing::warn!(path = %path.display(), "no file of ours lies there; it is removed");
            shelf.disk.remove(&path)?;
            shelf.disk.resume(&path)
        });
        let mut pen = Self {
            file: opened.map_err(StoreError::at(&path))?,
            verifier: Verifier::new(digest),
            progress: FileProgress::new(),
            disposition: FileDisposition::KeepForResume,
            _lock: ticket,
            shelf,
            digest,
            path,
            announced,
            reservation: claim,
        };
        pen.resume()?;
        Ok(pen)
    }

    /// Hashes what an earlier writer left, or throws it away if it cannot be the beginning.
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

    /// Writes first, so that readers have it while it is hashed.
    pub(super) fn write(&mut self, batch: &[Bytes]) -> Result<(), StoreError> {
        let mut written = self.verifier.seen();
        for chunk in batch {
            let mut done = self.file.write_at(chunk, written);
            if done.as_ref().is_err_and(is_full) {
                evict::make_emergency_room(&self.shelf);
                done = self.file.write_at(chunk, written);
            }
            done.map_err(StoreError::at(&self.path))?;
            written += u64::try_from(chunk.len()).unwrap_or(u64::MAX);
        }
        let risen = self.advance(written);
        for chunk in batch {
            self.verifier.update(chunk);
        }
        risen
    }

    /// Lets readers have what is written, but never the last 64 KiB, and makes room for more.
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
            // What was promised at once to several may not fit together.
            evict::trim(&self.shelf);
        }
        let size = proof.size();
        if size <= SMALL_BYTES_MAX
            && let Some(bytes) = blob_file::read_small(&*self.file, size, &self.digest)
        {
            if self.disposition == FileDisposition::Renamed {
                self.shelf.small.insert(self.digest, bytes.clone());
            }
            return Ok(KeptBlob::Small(bytes));
        }
        Ok(KeptBlob::Trusted {
            file: Arc::clone(&self.file),
            size,
        })
    }

    fn keep(&mut self, proof: &Verified) -> Result<(), StoreError> {
        let store = Arc::clone(&self.shelf);
        self.file.sync().map_err(StoreError::at(&self.path))?;
        let path = store.layout.blob(&self.digest);
        let _door = store.blobs_lock.lock();
        store
            .disk
            .rename(&self.path, &path)
            .map_err(StoreError::at(&path))?;
        self.disposition = FileDisposition::Renamed;
        let folder = store.layout.blobs(self.digest.algorithm());
        let synced = store.disk.sync_folder(&folder);
        // From here on the blob is there. What is not marked is hashed once more when it is used.
        let stat = self.file.stat().ok();
        let mark = stat.and_then(|stat| store.stamp(&self.digest, &stat));
        let row = BlobRow {
            size: proof.size(),
            used: store.uses.now(),
            stamp: mark.filter(|_| synced.is_ok()),
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
        if removes && let Err(error) = self.shelf.disk.remove(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "a partial blob stays behind");
        }
    }
}

impl WriteLock {
    /// Waits a moment for a writer that was just dropped.
    pub(super) async fn acquire(
        shelf: &Arc<StoreState>,
        digest: Digest,
    ) -> Result<Self, StoreError> {
        let deadline = Instant::now() + BUSY_WAIT_MAX;
        loop {
            let mut written = pin!(shelf.write_ended.notified());
            written.as_mut().enable();
            if let Some(ticket) = Self::try_acquire(shelf, digest) {
                return Ok(ticket);
            }
            if timeout_at(deadline, written).await.is_err() {
                return Err(StoreError::Busy { digest });
            }
        }
    }

    /// None while another has it.
    pub(in crate::store) fn try_acquire(shelf: &Arc<StoreState>, digest: Digest) -> Option<Self> {
        let free = shelf.writing.lock().insert(digest);
        free.then(|| Self {
            shelf: Arc::clone(shelf),
            digest,
        })
    }
}

impl Drop for WriteLock {
    fn drop(&mut self) {
        self.shelf.writing.lock().remove(&self.digest);
        self.shelf.write_ended.notify_waiters();
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}
