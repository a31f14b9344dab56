//! Rehashes a kept blob whose stamp does not match its file: once, for all readers meanwhile.

use std::sync::Arc;

use super::{blob_file, index::BlobRow, state::StoreState};
use crate::{
    disk::{File, Stat},
    oci::{Digest, Mismatch, Verified, Verifier},
    wire::{FileProgress, GrowingFile, HELD_BACK_BYTES},
};

/// Bytes per read.
const CHUNK_BYTES: usize = 1024 * 1024;

/// A reader of this blob's rehash, which is started unless one is running.
pub(super) fn join(
    state: &Arc<StoreState>,
    digest: Digest,
    file: &Arc<dyn File>,
    stat: Stat,
) -> GrowingFile {
    let mut rehashing = state.rehashing.lock();
    if let Some(growing) = rehashing.get(&digest) {
        return growing.clone();
    }
    let progress = FileProgress::new();
    let growing = progress.reader(Arc::clone(file));
    rehashing.insert(digest, growing.clone());
    let rehash = Rehash {
        state: Arc::clone(state),
        digest,
        file: Arc::clone(file),
        stat,
        progress,
    };
    drop(state.tasks.spawn("rehashing a blob", rehash.run()));
    growing
}

/// One rehash of one file. However it ends, it is removed from `rehashing` before a failure
/// reaches its readers.
struct Rehash {
    state: Arc<StoreState>,
    digest: Digest,
    file: Arc<dyn File>,
    stat: Stat,
    progress: FileProgress,
}

impl Rehash {
    async fn run(self) {
        let state = Arc::clone(&self.state);
        // The semaphore is never closed, so this only waits.
        let _permit = state.rehash_permits.acquire().await;
        let ended = state.blocking(move |_state| {
            self.rehash();
            Ok(())
        });
        if let Err(error) = ended.await {
            tracing::warn!(%error, "cannot rehash a blob");
        }
    }

    fn rehash(&self) {
        match self.hash() {
            Some(Ok(proof)) => {
                self.stamp(proof);
                self.progress.finish(proof.size());
            }
            Some(Err(_)) | None => {
                if let Err(error) = blob_file::discard(&self.state, &self.digest, Some(&self.stat))
                {
                    tracing::warn!(%error, "cannot remove a damaged blob");
                }
            }
        }
    }

    /// `None` if the file cannot be read.
    fn hash(&self) -> Option<Result<Verified, Mismatch>> {
        let mut verifier = Verifier::new(self.digest);
        let mut buffer = vec![0; CHUNK_BYTES];
        loop {
            let read = self.file.read_at(&mut buffer, verifier.seen()).ok()?;
            if read == 0 {
                return Some(verifier.finish());
            }
            verifier.update(buffer.get(..read)?);
            let ceiling = self.stat.length.saturating_sub(HELD_BACK_BYTES);
            self.progress.advance(verifier.seen().min(ceiling));
        }
    }

    /// Stamps the file, unless it changed while it was hashed or its name now leads elsewhere.
    fn stamp(&self, proof: Verified) {
        let state = &self.state;
        let _guard = state.blobs_lock.lock();
        let named = state.disk.open(&state.layout.blob(&self.digest));
        let now = named.and_then(|file| file.stat());
        if now.is_ok_and(|now| now == self.stat) {
            let row = BlobRow {
                size: proof.size(),
                used: state.uses.now(),
                stamp: state.stamp(&self.digest, &self.stat),
            };
            state.put_rows(&[(self.digest, row)]);
        }
    }
}

impl Drop for Rehash {
    fn drop(&mut self) {
        self.state.rehashing.lock().remove(&self.digest);
    }
}
