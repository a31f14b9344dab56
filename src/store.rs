//! What we keep: blobs by digest, manifests and tags by origin.
//!
//! Promises: what is read here is what its digest says, or is named damaged; what was committed
//! survives a crash; `size_max` and `free_min` hold. Called by `pull` and by the command line.
//! Never contacts anything and never decides who may see what.

mod blob;
mod blob_file;
mod error;
mod evict;
mod index;
mod layout;
mod origin;
mod partial;
mod records;
mod recover;
mod rehash;
#[cfg(test)]
mod scenes;
mod settings;
mod stamp;
mod state;
mod tag;
mod uses;

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::time::timeout;

use crate::{
    disk::Disk,
    oci::{Digest, Manifest, Origin, Tag},
    tasks::Tasks,
    telemetry::Metrics,
};

pub use error::{CommitError, StoreError};
pub use partial::Partial;
pub use records::{KeptBlob, Provenance, TagRecord};
pub use settings::Settings;

use settings::StoreBounds;
use state::StoreState;

/// How long the end waits for who looks after the store.
const MAINTENANCE_END_MAX: Duration = Duration::from_secs(5);

/// One folder of kept things, held alone by this process; clones are the same store.
#[derive(Clone, Debug)]
pub struct Store {
    state: Arc<StoreState>,
}

impl Store {
    /// Takes the folder for this process and makes it ready; what an unclean end left behind is
    /// put right in the background.
    pub async fn open(
        settings: Settings,
        disk: Arc<dyn Disk>,
        tasks: Tasks,
        metrics: Arc<Metrics>,
    ) -> Result<Self, StoreError> {
        let shelf = recover::open(settings, disk, tasks, metrics).await?;
        Ok(Self { state: shelf })
    }

    /// A kept blob; also notes that it was used. One that is found damaged is removed and absent.
    pub async fn blob(&self, digest: &Digest) -> Result<Option<KeptBlob>, StoreError> {
        blob::find(&self.state, *digest).await
    }

    /// Whether a blob is kept, without using it.
    pub async fn holds(&self, digest: &Digest) -> Result<bool, StoreError> {
        let digest = *digest;
        self.state
            .blocking(move |shelf| Ok(shelf.disk.open(&shelf.layout.blob(&digest)).is_ok()))
            .await
    }

    /// The size that a kept manifest of the origin gives this digest. No proof, but another
    /// origin's manifest cannot lie about it.
    pub async fn referenced_size(&self, digest: &Digest, origin: &Origin) -> Option<u64> {
        let (digest, origin) = (*digest, origin.clone());
        let found = self
            .state
            .blocking(move |shelf| Ok(shelf.index.member_size(&digest, &origin)));
        found.await.ok().flatten()
    }

    /// Begins to write a blob, or goes on where an earlier writer stopped. Makes room first.
    pub async fn begin(&self, digest: &Digest, size: Option<u64>) -> Result<Partial, StoreError> {
        partial::begin(&self.state, *digest, size).await
    }

    /// What an earlier writer left unfinished, ready to go on; none if there is nothing.
    pub async fn resume(
        &self,
        digest: &Digest,
        size: Option<u64>,
    ) -> Result<Option<Partial>, StoreError> {
        let path = self.state.layout.partial(digest);
        let left = self
            .state
            .blocking(move |shelf| Ok(shelf.disk.open(&path).is_ok()));
        if left.await? {
            return self.begin(digest, size).await.map(Some);
        }
        Ok(None)
    }

    /// Removes what an earlier writer left unfinished; nobody may be writing it.
    pub async fn discard_partial(&self, digest: &Digest) -> Result<(), StoreError> {
        let path = self.state.layout.partial(digest);
        self.state
            .blocking(move |shelf| {
                shelf
                    .disk
                    .remove(&path)
                    .map_err(|source| StoreError::Io { path, source })
            })
            .await
    }

    /// What an origin has to do with a blob.
    pub async fn provenance(
        &self,
        digest: &Digest,
        origin: &Origin,
    ) -> Result<Provenance, StoreError> {
        origin::provenance(&self.state, *digest, origin).await
    }

    /// Every origin whose upstream has confirmed the blob.
    pub async fn confirmed_by(&self, digest: &Digest) -> Result<Vec<Origin>, StoreError> {
        let digest = *digest;
        self.state
            .blocking(move |shelf| origin::confirmed_by(shelf, &digest))
            .await
    }

    /// Remembers that an origin's upstream has delivered or acknowledged the blob.
    pub async fn confirm(&self, digest: &Digest, origin: &Origin) -> Result<(), StoreError> {
        origin::confirm(&self.state, *digest, origin).await
    }

    /// A kept manifest. One that is found damaged is removed and absent.
    pub async fn manifest(
        &self,
        origin: &Origin,
        digest: &Digest,
    ) -> Result<Option<Arc<Manifest>>, StoreError> {
        origin::manifest(&self.state, origin, *digest).await
    }

    /// Keeps a manifest and remembers what it names.
    pub async fn keep_manifest(
        &self,
        origin: &Origin,
        manifest: &Arc<Manifest>,
    ) -> Result<(), StoreError> {
        origin::keep_manifest(&self.state, origin, manifest).await
    }

    /// Up to `count_max` of an origin's kept manifests, in no order.
    pub async fn manifests(
        &self,
        origin: &Origin,
        count_max: usize,
    ) -> Result<Vec<Arc<Manifest>>, StoreError> {
        let origin = origin.clone();
        self.state
            .blocking(move |shelf| origin::manifests(shelf, &origin, count_max))
            .await
    }

    /// What a tag meant when it was last asked for.
    pub async fn tag(&self, origin: &Origin, tag: &Tag) -> Result<Option<TagRecord>, StoreError> {
        tag::find(&self.state, origin, tag).await
    }

    /// Remembers what a tag means. A mere later `checked` reaches the file within a minute.
    pub async fn keep_tag(
        &self,
        origin: &Origin,
        tag: &Tag,
        record: TagRecord,
    ) -> Result<(), StoreError> {
        tag::keep(&self.state, origin, tag, record).await
    }

    /// Forgets a tag that upstream no longer has.
    pub async fn forget_tag(&self, origin: &Origin, tag: &Tag) -> Result<(), StoreError> {
        tag::forget(&self.state, origin, tag).await
    }

    /// An origin's remembered tags, sorted.
    pub async fn tags(&self, origin: &Origin) -> Result<Vec<Tag>, StoreError> {
        let origin = origin.clone();
        self.state
            .blocking(move |shelf| tag::all(shelf, &origin))
            .await
    }

    /// Everywhere that something was kept from, in no order.
    pub async fn origins(&self) -> Result<Vec<Origin>, StoreError> {
        self.state.blocking(|shelf| origin::origins(shelf)).await
    }

    /// Keeps to these bounds from now on; what they no longer allow is removed before this returns.
    /// Path and memory stay what they were.
    pub async fn set_bounds(&self, settings: &Settings) {
        *self.state.bounds.write() = StoreBounds::of(settings);
        let trimmed = self.state.blocking(|shelf| {
            evict::trim(shelf);
            Ok(())
        });
        if let Err(error) = trimmed.await {
            tracing::warn!(%error, "the store could not be cut to its new bounds");
        }
    }

    /// Ends in order, so that the next start trusts what this one proved.
    pub async fn close(&self) {
        self.state.closing.send_replace(true);
        // What it writes later would be missing from what is called clean, and it holds the lock.
        let keeper = self.state.maintenance.lock().take();
        if let Some(keeper) = keeper {
            let _late = timeout(MAINTENANCE_END_MAX, keeper).await.is_err();
        }
        let closed = self.state.blocking(|shelf| {
            shelf.write_uses();
            if shelf.caught_up.load(Ordering::Acquire) {
                shelf.index.sync_clean();
            } else {
                shelf.index.sync();
            }
            Ok(())
        });
        if let Err(error) = closed.await {
            tracing::warn!(%error, "the store did not end in order");
        }
    }
}
