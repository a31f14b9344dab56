//! Hashing a kept blob whose mark does not prove it: once, for all who read it meanwhile.

use std::sync::Arc;

use super::{blob_file, index::BlobRow, state::StoreState};
use crate::{
    disk::{File, Stat},
    oci::{Digest, Mismatch, Verified, Verifier},
    wire::{FileProgress, GrowingFile, HELD_BACK_BYTES},
};

/// Bytes per read.
const CHUNK_BYTES: usize = 1024 * 1024;

/// A reader of the pass over this blob, which starts if none is under way.
pub(super) fn join(
    shelf: &Arc<StoreState>,
    digest: Digest,
    file: &Arc<dyn File>,
    stat: Stat,
) -> GrowingFile {
    let mut proving = shelf.rehashing.lock();
    if let Some(growing) = proving.get(&digest) {
        return growing.clone();
    }
    let tide = FileProgress::new();
    let growing = tide.reader(Arc::clone(file));
    proving.insert(digest, growing.clone());
    let pass = Rehash {
        shelf: Arc::clone(shelf),
        digest,
        file: Arc::clone(file),
        stat,
        progress: tide,
    };
    drop(shelf.tasks.spawn("proving a blob", pass.run()));
    growing
}

/// One pass over one file. However it ends, it leaves the list of passes, and then its tide drops.
struct Rehash {
    shelf: Arc<StoreState>,
    digest: Digest,
    file: Arc<dyn File>,
    stat: Stat,
    progress: FileProgress,
}

impl Rehash {
    async fn run(self) {
        let store = Arc::clone(&self.shelf);
        // Never closed, so this only waits.
        let _turn = store.rehash_permits.acquire().await;
        let ended = store.blocking(move |_store| {
            self.rehash();
            Ok(())
        });
        if let Err(error) = ended.await {
            tracing::warn!(%error, "a blob could not be proven");
        }
    }

    fn rehash(&self) {
        match self.hash() {
            Some(Ok(proof)) => {
                self.stamp(proof);
                self.progress.finish(proof.size());
            }
            Some(Err(_)) | None => {
                if let Err(error) = blob_file::discard(&self.shelf, &self.digest, Some(&self.stat))
                {
                    tracing::warn!(%error, "a damaged blob could not be removed");
                }
            }
        }
    }

    /// None if the file cannot be read.
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

    /// Marks the file, unless it changed while it was hashed or its name leads elsewhere by now.
    fn stamp(&self, proof: Verified) {
        let store = &self.shelf;
        let _door = store.blobs_lock.lock();
        let named = store.disk.open(&store.layout.blob(&self.digest));
        let now = named.and_then(|file| file.stat());
        if now.is_ok_and(|now| now == self.stat) {
            let row = BlobRow {
                size: proof.size(),
                used: store.uses.now(),
                stamp: store.stamp(&self.digest, &self.stat),
            };
            store.put_rows(&[(self.digest, row)]);
        }
    }
}

impl Drop for Rehash {
    fn drop(&mut self) {
        self.shelf.rehashing.lock().remove(&self.digest);
    }
}
