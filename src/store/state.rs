//! The state that the parts of the store share, and the steps that they have in common.

use std::{
    collections::{BTreeMap, BTreeSet},
    hash::{BuildHasher, Hash},
    io,
    path::Path,
    sync::{Arc, atomic::AtomicBool},
};

use bytes::Bytes;
use foldhash::quality::RandomState;
use moka::{Equivalent, sync::Cache};
use parking_lot::{Mutex, RwLock};
use tokio::{
    sync::{Notify, Semaphore, watch},
    task::JoinHandle,
};

use super::{
    error::StoreError,
    index::{BlobRow, StoreIndex},
    layout::Layout,
    records::{Provenance, TagRecord},
    settings::{Settings, StoreBounds},
    stamp::{FileStamp, StampKey},
    uses::Uses,
};
use crate::{
    disk::{Disk, FileLock, Stat},
    oci::{Digest, Manifest, Origin, Tag},
    tasks::Tasks,
    telemetry::Metrics,
    wire::GrowingFile,
};

/// Blobs up to this size are kept in memory.
pub(super) const SMALL_BYTES_MAX: u64 = 64 * 1024;
/// Memory for tag records.
const TAGS_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// Memory for provenance.
const PROVENANCE_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// The approximate overhead of a cache entry.
const ENTRY_BYTES: u32 = 128;
/// Concurrent rehashes; hashing is bound by the processor.
const REHASHES_MAX: usize = 4;
/// Locks for tags and provenance, so that two keys rarely share one.
const STRIPES: usize = 64;

/// Everything behind [`super::Store`].
#[derive(Debug)]
pub(super) struct StoreState {
    /// The limits that eviction enforces; a reload may change them.
    pub(super) bounds: RwLock<StoreBounds>,
    pub(super) layout: Layout,
    pub(super) disk: Arc<dyn Disk>,
    pub(super) tasks: Tasks,
    pub(super) metrics: Arc<Metrics>,
    pub(super) index: StoreIndex,
    pub(super) stamp_key: RwLock<Option<StampKey>>,
    pub(super) uses: Uses,
    /// Small blobs; half of `small_bodies_max`.
    pub(super) small: Cache<Digest, Bytes, RandomState>,
    /// Manifests; the other half.
    pub(super) manifests: Cache<(Origin, Digest), Arc<Manifest>, RandomState>,
    pub(super) tags: Cache<(Origin, Tag), CachedTag, RandomState>,
    /// Never `Unknown`, which the next manifest may change.
    pub(super) provenance: Cache<(Origin, Digest), Provenance, RandomState>,
    /// Blobs being rehashed, each once for all its readers.
    pub(super) rehashing: Mutex<BTreeMap<Digest, GrowingFile>>,
    pub(super) rehash_permits: Semaphore,
    /// Blobs being written, each by one writer.
    pub(super) writing: Mutex<BTreeSet<Digest>>,
    /// Notified when an entry leaves `writing`.
    pub(super) write_ended: Notify,
    pub(super) ledger: Mutex<Ledger>,
    /// Held, on the blocking pool only, by code that adds or removes blobs, so that files, index
    /// and ledger change together.
    pub(super) blobs_lock: Mutex<()>,
    /// Held while making room, so that two writers do not evict for the same need.
    pub(super) eviction_lock: Mutex<()>,
    /// Whether the index matches the files, lost rows of an earlier run included; only then is the
    /// store closed as clean.
    pub(super) caught_up: AtomicBool,
    /// True once the store closes.
    pub(super) closing: watch::Sender<bool>,
    /// The maintenance task; closing waits for it.
    pub(super) maintenance: Mutex<Option<JoinHandle<Option<()>>>>,
    stripes: [Mutex<()>; STRIPES],
    hasher: RandomState,
    _lock: FileLock,
}

/// A borrowed key of a per-origin cache: a lookup must not clone.
#[derive(Hash)]
pub(super) struct OriginKeyRef<'a, T>(pub(super) &'a Origin, pub(super) &'a T);

impl<T: Eq> Equivalent<(Origin, T)> for OriginKeyRef<'_, T> {
    fn equivalent(&self, (origin, item): &(Origin, T)) -> bool {
        self.0 == origin && self.1 == item
    }
}

/// A tag record and the `checked` of its file.
#[derive(Clone, Copy, Debug)]
pub(super) struct CachedTag {
    pub(super) record: TagRecord,
    pub(super) written: jiff::Timestamp,
}

/// Blobs and bytes kept, and bytes reserved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Ledger {
    pub(super) blobs: u64,
    pub(super) bytes: u64,
    /// Bytes reserved by blobs being written, counted against `size_max`.
    pub(super) reserved: u64,
    /// Bytes of them that are still to be written, counted against the free space.
    pub(super) unwritten: u64,
}

impl StoreState {
    pub(super) fn new(
        settings: &Settings,
        disk: Arc<dyn Disk>,
        tasks: Tasks,
        metrics: Arc<Metrics>,
        lock: FileLock,
    ) -> Self {
        let layout = Layout::new(settings.path.clone());
        let half = settings.small_bodies_max / 2;
        Self {
            index: StoreIndex::closed(layout.index()),
            layout,
            disk,
            tasks,
            metrics,
            stamp_key: RwLock::new(None),
            uses: Uses::default(),
            small: Cache::builder()
                .max_capacity(half)
                .weigher(|_digest, bytes: &Bytes| weight(bytes.len()))
                .build_with_hasher(RandomState::default()),
            manifests: Cache::builder()
                .max_capacity(half)
                // The parsed children take about as much memory again.
                .weigher(|_key, manifest: &Arc<Manifest>| weight(manifest.bytes().len() * 2))
                .build_with_hasher(RandomState::default()),
            tags: Cache::builder()
                .max_capacity(TAGS_BYTES_MAX)
                .weigher(|(_origin, tag): &(Origin, Tag), _record| weight(tag.as_str().len()))
                .build_with_hasher(RandomState::default()),
            provenance: Cache::builder()
                .max_capacity(PROVENANCE_BYTES_MAX)
                .weigher(|_key, _provenance| weight(0))
                .build_with_hasher(RandomState::default()),
            rehashing: Mutex::default(),
            rehash_permits: Semaphore::new(REHASHES_MAX),
            writing: Mutex::default(),
            write_ended: Notify::new(),
            ledger: Mutex::default(),
            blobs_lock: Mutex::default(),
            eviction_lock: Mutex::default(),
            caught_up: AtomicBool::new(false),
            closing: watch::Sender::new(false),
            maintenance: Mutex::default(),
            stripes: [const { Mutex::new(()) }; STRIPES],
            hasher: RandomState::default(),
            _lock: lock,
            bounds: RwLock::new(StoreBounds::of(settings)),
        }
    }

    /// Runs file work on the blocking pool. It completes even after the caller is dropped.
    pub(super) async fn blocking<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Arc<Self>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let state = Arc::clone(self);
        let done = tokio::task::spawn_blocking(move || work(&state)).await;
        done.unwrap_or_else(|error| {
            Err(StoreError::Io {
                path: self.layout.root().to_path_buf(),
                source: io::Error::other(error),
            })
        })
    }

    pub(super) fn bounds(&self) -> StoreBounds {
        *self.bounds.read()
    }

    pub(super) fn is_closing(&self) -> bool {
        *self.closing.borrow()
    }

    /// The lock of a key, held by the slow path while it compares file and cache.
    pub(super) fn stripe(&self, key: &impl Hash) -> Option<&Mutex<()>> {
        let hash = usize::try_from(self.hasher.hash_one(key) % 64).unwrap_or_default();
        self.stripes.get(hash % STRIPES)
    }

    /// Writes a small file atomically.
    pub(super) fn put_file(&self, path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
        let mut name = [0; 16];
        getrandom::fill(&mut name)
            .map_err(io::Error::other)
            .map_err(StoreError::at(path))?;
        let name = format!("{:032x}", u128::from_be_bytes(name));
        let temporary = self.layout.temporary().join(name);
        let put = || {
            let file = self.disk.create(&temporary)?;
            file.write_at(bytes, 0)?;
            file.sync()?;
            if let Some(folder) = path.parent() {
                self.disk.create_folder(folder)?;
                self.disk.rename(&temporary, path)?;
                self.disk.sync_folder(folder)?;
            }
            Ok(())
        };
        put().map_err(|error| {
            // The next start sweeps it if it cannot be removed now.
            drop(self.disk.remove(&temporary));
            StoreError::at(path)(error)
        })
    }

    /// The stamp of a file that was just verified.
    pub(super) fn stamp(&self, digest: &Digest, stat: &Stat) -> Option<FileStamp> {
        self.stamp_key.read().as_ref()?.stamp(digest, stat)
    }

    /// Whether a stamp still matches the file.
    pub(super) fn trusts(&self, stamp: &FileStamp, digest: &Digest, stat: &Stat) -> bool {
        let key = self.stamp_key.read();
        key.as_ref()
            .is_some_and(|key| key.matches(stamp, digest, stat))
    }

    /// Adds blobs to index and ledger; the caller holds `blobs_lock`.
    pub(super) fn put_rows(&self, rows: &[(Digest, BlobRow)]) {
        let replaced = self.index.put_blobs(rows);
        let mut ledger = self.ledger.lock();
        for (at, (_digest, row)) in rows.iter().enumerate() {
            self.count(&mut ledger, replaced.get(at).copied().flatten(), *row);
        }
    }

    /// Counts a row that replaced `old` in the index.
    pub(super) fn count(&self, ledger: &mut Ledger, old: Option<BlobRow>, row: BlobRow) {
        match old {
            Some(old) => ledger.bytes = ledger.bytes.saturating_sub(old.size),
            None => ledger.blobs += 1,
        }
        ledger.bytes = ledger.bytes.saturating_add(row.size);
        self.metrics.stored(ledger.blobs, ledger.bytes);
    }

    /// Removes a blob's file, row and cached bytes; the caller holds `blobs_lock`.
    pub(super) fn remove_blob(&self, digest: &Digest) -> Result<(), StoreError> {
        let path = self.layout.blob(digest);
        self.disk.remove(&path).map_err(StoreError::at(&path))?;
        self.small.invalidate(digest);
        if let Some(row) = self.index.remove_blob(digest) {
            let mut ledger = self.ledger.lock();
            ledger.blobs = ledger.blobs.saturating_sub(1);
            ledger.bytes = ledger.bytes.saturating_sub(row.size);
            self.metrics.stored(ledger.blobs, ledger.bytes);
        }
        Ok(())
    }

    /// Writes the uses recorded since the last call.
    pub(super) fn write_uses(&self) {
        let used = self.uses.take();
        if !used.is_empty() {
            self.index.touch(&used);
        }
    }
}

fn weight(bytes: usize) -> u32 {
    u32::try_from(bytes)
        .unwrap_or(u32::MAX)
        .saturating_add(ENTRY_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::Algorithm;

    #[test]
    fn a_borrowed_key_finds_what_an_owned_one_keeps() {
        let origin = Origin::Upstream {
            upstream: "hub".parse().unwrap(),
            name: "a/b".parse().unwrap(),
        };
        let digest = Digest::of(Algorithm::Sha256, b"x");
        let cache = Cache::new(1);
        cache.insert((origin.clone(), digest), ());
        assert!(cache.contains_key(&OriginKeyRef(&origin, &digest)));
        let other = Digest::of(Algorithm::Sha256, b"y");
        assert!(!cache.contains_key(&OriginKeyRef(&origin, &other)));
    }
}
