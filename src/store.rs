//! The store: blobs by digest, manifests and tags by origin.
//!
//! Promises: bytes read here match their digest or are reported as damaged; committed content
//! survives a crash; `size_max` and `free_min` hold. Called by `pull` and by the command line.
//! Never contacts a registry and never decides which client may see what.

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

/// How long closing waits for the maintenance task.
const MAINTENANCE_END_MAX: Duration = Duration::from_secs(5);

/// One store folder, locked by this process; clones share it.
#[derive(Clone, Debug)]
pub struct Store {
    state: Arc<StoreState>,
}

impl Store {
    /// Locks the folder for this process and prepares it; repairs after an unclean end run in the
    /// background.
    pub async fn open(
        settings: Settings,
        disk: Arc<dyn Disk>,
        tasks: Tasks,
        metrics: Arc<Metrics>,
    ) -> Result<Self, StoreError> {
        let state = recover::open(settings, disk, tasks, metrics).await?;
        Ok(Self { state })
    }

    /// A kept blob; records the use. A damaged blob is removed and reported as absent.
    pub async fn blob(&self, digest: &Digest) -> Result<Option<KeptBlob>, StoreError> {
        blob::find(&self.state, *digest).await
    }

    /// Whether a blob is kept; does not record a use.
    pub async fn holds(&self, digest: &Digest) -> Result<bool, StoreError> {
        let digest = *digest;
        self.state
            .blocking(move |state| Ok(state.disk.open(&state.layout.blob(&digest)).is_ok()))
            .await
    }

    /// The size that a kept manifest of the origin gives this digest. It is unverified, but no
    /// other origin's manifest can influence it.
    pub async fn referenced_size(&self, digest: &Digest, origin: &Origin) -> Option<u64> {
        let (digest, origin) = (*digest, origin.clone());
        let found = self
            .state
            .blocking(move |state| Ok(state.index.member_size(&digest, &origin)));
        found.await.ok().flatten()
    }

    /// Begins to write a blob, or continues where an earlier writer stopped. Makes room first.
    pub async fn begin(&self, digest: &Digest, size: Option<u64>) -> Result<Partial, StoreError> {
        partial::begin(&self.state, *digest, size).await
    }

    /// An earlier writer's unfinished blob, ready to continue; `None` if there is none.
    pub async fn resume(
        &self,
        digest: &Digest,
        size: Option<u64>,
    ) -> Result<Option<Partial>, StoreError> {
        let path = self.state.layout.partial(digest);
        let exists = self
            .state
            .blocking(move |state| Ok(state.disk.open(&path).is_ok()));
        if exists.await? {
            return self.begin(digest, size).await.map(Some);
        }
        Ok(None)
    }

    /// Removes an earlier writer's unfinished blob. The caller makes sure that it has no writer.
    pub async fn discard_partial(&self, digest: &Digest) -> Result<(), StoreError> {
        let path = self.state.layout.partial(digest);
        self.state
            .blocking(move |state| {
                state
                    .disk
                    .remove(&path)
                    .map_err(|source| StoreError::Io { path, source })
            })
            .await
    }

    /// How an origin is known to have a blob.
    pub async fn provenance(
        &self,
        digest: &Digest,
        origin: &Origin,
    ) -> Result<Provenance, StoreError> {
        origin::provenance(&self.state, *digest, origin).await
    }

    /// Every origin whose upstream confirmed the blob.
    pub async fn confirmed_by(&self, digest: &Digest) -> Result<Vec<Origin>, StoreError> {
        let digest = *digest;
        self.state
            .blocking(move |state| origin::confirmed_by(state, &digest))
            .await
    }

    /// Records that an origin's upstream delivered or acknowledged the blob.
    pub async fn confirm(&self, digest: &Digest, origin: &Origin) -> Result<(), StoreError> {
        origin::confirm(&self.state, *digest, origin).await
    }

    /// A kept manifest. A damaged one is removed and reported as absent.
    pub async fn manifest(
        &self,
        origin: &Origin,
        digest: &Digest,
    ) -> Result<Option<Arc<Manifest>>, StoreError> {
        origin::manifest(&self.state, origin, *digest).await
    }

    /// Keeps a manifest and records the digests that it references.
    pub async fn keep_manifest(
        &self,
        origin: &Origin,
        manifest: &Arc<Manifest>,
    ) -> Result<(), StoreError> {
        origin::keep_manifest(&self.state, origin, manifest).await
    }

    /// Up to `count_max` of an origin's kept manifests, unordered.
    pub async fn manifests(
        &self,
        origin: &Origin,
        count_max: usize,
    ) -> Result<Vec<Arc<Manifest>>, StoreError> {
        let origin = origin.clone();
        self.state
            .blocking(move |state| origin::manifests(state, &origin, count_max))
            .await
    }

    /// The tag's manifest as of its last check.
    pub async fn tag(&self, origin: &Origin, tag: &Tag) -> Result<Option<TagRecord>, StoreError> {
        tag::find(&self.state, origin, tag).await
    }

    /// Records a tag's manifest. If only `checked` is newer, the file follows within a minute.
    pub async fn keep_tag(
        &self,
        origin: &Origin,
        tag: &Tag,
        record: TagRecord,
    ) -> Result<(), StoreError> {
        tag::keep(&self.state, origin, tag, record).await
    }

    /// Removes a tag that upstream no longer has.
    pub async fn forget_tag(&self, origin: &Origin, tag: &Tag) -> Result<(), StoreError> {
        tag::forget(&self.state, origin, tag).await
    }

    /// An origin's recorded tags, sorted.
    pub async fn tags(&self, origin: &Origin) -> Result<Vec<Tag>, StoreError> {
        let origin = origin.clone();
        self.state
            .blocking(move |state| tag::all(state, &origin))
            .await
    }

    /// Every origin with kept content, unordered.
    pub async fn origins(&self) -> Result<Vec<Origin>, StoreError> {
        self.state.blocking(|state| origin::origins(state)).await
    }

    /// Applies these bounds, and evicts before it returns what they no longer allow. Path and
    /// memory limits are left unchanged.
    pub async fn set_bounds(&self, settings: &Settings) {
        *self.state.bounds.write() = StoreBounds::of(settings);
        let trimmed = self.state.blocking(|state| {
            evict::trim(state);
            Ok(())
        });
        if let Err(error) = trimmed.await {
            tracing::warn!(%error, "cannot trim the store to its new bounds");
        }
    }

    /// Closes cleanly, so that the next start trusts the stamps of this run.
    pub async fn close(&self) {
        self.state.closing.send_replace(true);
        // Its later writes would be missing from an index marked clean, and it holds the lock.
        let maintenance = self.state.maintenance.lock().take();
        if let Some(maintenance) = maintenance {
            let _late = timeout(MAINTENANCE_END_MAX, maintenance).await.is_err();
        }
        let closed = self.state.blocking(|state| {
            state.write_uses();
            if state.caught_up.load(Ordering::Acquire) {
                state.index.sync_clean();
            } else {
                state.index.sync();
            }
            Ok(())
        });
        if let Err(error) = closed.await {
            tracing::warn!(%error, "cannot close the store cleanly");
        }
    }
}
