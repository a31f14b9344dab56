//! Opens the store, maintains it, and repairs what an unclean end or a lost index left behind.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, Weak, atomic::Ordering},
    time::Duration,
};

use tokio::{sync::watch, time::timeout};

use super::{
    error::StoreError,
    evict,
    index::{BlobRow, IndexCondition},
    layout::Layout,
    origin,
    partial::WriteLock,
    settings::Settings,
    state::{Ledger, StoreState},
};
use crate::{
    disk::Disk,
    oci::{Algorithm, Digest},
    tasks::Tasks,
    telemetry::Metrics,
};

/// Time between maintenance rounds, which write uses and reopen a failed index.
const MAINTENANCE_EVERY: Duration = Duration::from_secs(5);
/// Rounds between two sweeps of partial blobs.
const SWEEP_EVERY_ROUNDS: u64 = 120;
/// Rows per transaction, during which `blobs_lock` is held.
const BATCH_ROWS: usize = 256;
/// Batches between two syncs: rows that are not synced take space twice.
const SYNC_EVERY_BATCHES: usize = 16;
/// How long a partial blob is kept for a resume.
const PARTIAL_SECONDS_MAX: i128 = 24 * 60 * 60;
/// Partial blobs may take `size_max` divided by this.
const PARTIAL_SHARE: u64 = 10;
/// Identifies this boot of the machine.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

pub(super) async fn open(
    settings: Settings,
    disk: Arc<dyn Disk>,
    tasks: Tasks,
    metrics: Arc<Metrics>,
) -> Result<Arc<StoreState>, StoreError> {
    let path = settings.path.clone();
    let spawner = tasks.clone();
    let work = move || {
        let state = lock_folder(&settings, disk, tasks, metrics)?;
        // Leftovers take space but do no harm.
        for swept in [sweep_temporary(&state), sweep_partials(&state)] {
            if let Err(error) = swept {
                tracing::warn!(%error, "cannot remove all leftover files");
            }
        }
        let condition = start_index(&state);
        Ok((state, condition))
    };
    let opened = tokio::task::spawn_blocking(work).await;
    let (state, condition) = opened.map_err(|error| StoreError::Io {
        path,
        source: io::Error::other(error),
    })??;
    state
        .caught_up
        .store(condition == IndexCondition::Clean, Ordering::Release);
    let closing = state.closing.subscribe();
    let maintenance = maintain(Arc::downgrade(&state), closing, condition);
    let handle = spawner.spawn("store maintenance", maintenance);
    *state.maintenance.lock() = Some(handle);
    Ok(state)
}

/// Locks the folder for this process and creates its subfolders.
fn lock_folder(
    settings: &Settings,
    disk: Arc<dyn Disk>,
    tasks: Tasks,
    metrics: Arc<Metrics>,
) -> Result<Arc<StoreState>, StoreError> {
    let root = settings.path.clone();
    disk.create_folder(&root).map_err(StoreError::at(&root))?;
    let lock = disk.lock(&Layout::new(root.clone()).lock());
    let lock = lock.map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => StoreError::Locked { path: root.clone() },
        _ => StoreError::at(&root)(error),
    })?;
    let state = StoreState::new(settings, disk, tasks, metrics, lock);
    let mut folders = vec![state.layout.temporary(), state.layout.origins()];
    for algorithm in Algorithm::ALL {
        folders.extend([
            state.layout.blobs(algorithm),
            state.layout.partials(algorithm),
        ]);
    }
    for folder in folders {
        let made = state.disk.create_folder(&folder);
        made.map_err(StoreError::at(&folder))?;
    }
    Ok(Arc::new(state))
}

fn start_index(state: &StoreState) -> IndexCondition {
    let boot = boot_id(&*state.disk);
    let key = state.stamp_key.read().clone();
    let (condition, key) = state.index.start(&*state.disk, &boot, key.as_ref());
    *state.stamp_key.write() = key;
    load_totals(state);
    condition
}

/// Loads the ledger's totals from the index.
fn load_totals(state: &StoreState) {
    let _guard = state.blobs_lock.lock();
    let totals = state.index.totals();
    state.uses.after(totals.used_last);
    let mut ledger = state.ledger.lock();
    *ledger = Ledger {
        blobs: totals.blobs,
        bytes: totals.bytes,
        ..*ledger
    };
    state.metrics.stored(totals.blobs, totals.bytes);
}

/// Empty where the system has no boot id; stamps then survive a clean end only.
fn boot_id(disk: &dyn Disk) -> Vec<u8> {
    let mut buffer = vec![0; 64];
    let read = disk
        .open(Path::new(BOOT_ID))
        .and_then(|file| file.read_at(&mut buffer, 0));
    buffer.truncate(read.unwrap_or_default());
    buffer
}

/// Runs maintenance rounds until the store closes.
async fn maintain(
    state: Weak<StoreState>,
    mut closing: watch::Receiver<bool>,
    mut condition: IndexCondition,
) {
    let mut round: u64 = 0;
    loop {
        let Some(state) = state.upgrade() else {
            return;
        };
        let maintained = state.blocking(move |state| maintain_once(state, round, condition));
        match maintained.await {
            Ok(now) => condition = now,
            Err(error) => {
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                tracing::warn!(%error, cause, "store maintenance failed");
            }
        }
        drop(state);
        round = round.wrapping_add(1);
        if timeout(MAINTENANCE_EVERY, closing.changed()).await.is_ok() {
            return;
        }
    }
}

/// One round; returns the condition of the index after it.
fn maintain_once(
    state: &Arc<StoreState>,
    round: u64,
    mut condition: IndexCondition,
) -> Result<IndexCondition, StoreError> {
    state.write_uses();
    state.index.sync();
    if state.index.is_closed() {
        state.caught_up.store(false, Ordering::Release);
        condition = start_index(state);
    }
    if condition != IndexCondition::Clean && !state.index.is_closed() && catch_up(state, condition)?
    {
        state.caught_up.store(true, Ordering::Release);
        condition = IndexCondition::Clean;
    }
    if round % SWEEP_EVERY_ROUNDS == SWEEP_EVERY_ROUNDS - 1 {
        sweep_partials(state)?;
    }
    Ok(condition)
}

/// Updates the index from the files; returns whether it finished. After an unclean end it reads
/// file names only, as members of manifests are recorded durably; for an empty index it reads every
/// manifest.
fn catch_up(state: &StoreState, condition: IndexCondition) -> Result<bool, StoreError> {
    for algorithm in Algorithm::ALL {
        if !match_blobs(state, algorithm)? {
            return Ok(false);
        }
    }
    for origin in origin::origins(state)? {
        if state.is_closing() {
            return Ok(false);
        }
        for algorithm in Algorithm::ALL {
            let markers = state.layout.markers(&origin, algorithm);
            let all = in_batches(state, &markers, algorithm, |batch| {
                state.index.confirm(batch, &origin);
                Ok(())
            })?;
            if !all {
                return Ok(false);
            }
        }
        if condition == IndexCondition::Empty {
            for manifest in origin::manifests(state, &origin, usize::MAX)? {
                state.index.add_members(&origin, &manifest);
            }
        }
    }
    load_totals(state);
    state.index.set_complete();
    evict::trim(state);
    Ok(true)
}

/// Updates the rows of blobs from the files, with a few bytes of memory per blob; returns whether
/// it finished.
fn match_blobs(state: &StoreState, algorithm: Algorithm) -> Result<bool, StoreError> {
    let rows: Vec<_> = state
        .index
        .digests(algorithm, |rows| rows.map(|row| prefix(&row)).collect());
    let mut files = Vec::with_capacity(rows.len());
    let folder = state.layout.blobs(algorithm);
    let all = in_batches(state, &folder, algorithm, |batch| {
        files.extend(batch.iter().map(prefix));
        let mut new = batch.to_vec();
        new.retain(|digest| rows.binary_search(&prefix(digest)).is_err());
        put_missing_rows(state, &new)
    })?;
    if !all {
        return Ok(false);
    }
    files.sort_unstable();
    drop(rows);
    let gone = state.index.digests(algorithm, |rows| {
        rows.filter(|row| files.binary_search(&prefix(row)).is_err())
            .collect::<Vec<_>>()
    });
    for digest in gone {
        remove_if_gone(state, &digest)?;
    }
    Ok(true)
}

/// The first eight bytes of a digest, as a short identity: if two blobs ever share them, one is
/// miscounted until its next use.
fn prefix(digest: &Digest) -> u64 {
    let first = digest.as_bytes().first_chunk();
    first.copied().map_or(0, u64::from_be_bytes)
}

/// Passes all digests of a folder to `show` in batches, and syncs the index from time to time;
/// returns whether it finished.
fn in_batches(
    state: &StoreState,
    folder: &Path,
    algorithm: Algorithm,
    mut show: impl FnMut(&[Digest]) -> Result<(), StoreError>,
) -> Result<bool, StoreError> {
    let (mut batch, mut shown) = (Vec::with_capacity(BATCH_ROWS), 0_usize);
    let all = origin::each_digest(state, folder, algorithm, |digest| {
        batch.push(digest);
        if batch.len() == BATCH_ROWS {
            show(&batch)?;
            batch.clear();
            shown += 1;
            if shown.is_multiple_of(SYNC_EVERY_BATCHES) {
                state.index.sync();
            }
        }
        Ok(!state.is_closing())
    })?;
    show(&batch)?;
    Ok(all)
}

fn put_missing_rows(state: &StoreState, digests: &[Digest]) -> Result<(), StoreError> {
    let _guard = state.blobs_lock.lock();
    let mut rows = Vec::with_capacity(digests.len());
    for digest in digests {
        if state.index.blob(digest).is_some() {
            continue;
        }
        let path = state.layout.blob(digest);
        let stat = match state.disk.open(&path).and_then(|file| file.stat()) {
            Ok(stat) => stat,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(StoreError::at(&path)(error)),
        };
        // The best estimate of its last use, never later than now.
        let written = u64::try_from(stat.modified_ns / 1_000_000).unwrap_or_default();
        let row = BlobRow {
            size: stat.length,
            used: written.min(state.uses.now()),
            stamp: None,
        };
        rows.push((*digest, row));
    }
    if !rows.is_empty() {
        state.put_rows(&rows);
    }
    Ok(())
}

fn remove_if_gone(state: &StoreState, digest: &Digest) -> Result<(), StoreError> {
    let _guard = state.blobs_lock.lock();
    let opened = state.disk.open(&state.layout.blob(digest));
    match opened {
        Err(error) if error.kind() == io::ErrorKind::NotFound => state.remove_blob(digest),
        _ => Ok(()),
    }
}

fn sweep_temporary(state: &StoreState) -> Result<(), StoreError> {
    let folder = state.layout.temporary();
    let entries = state.disk.list(&folder).map_err(StoreError::at(&folder))?;
    for entry in entries.iter().filter(|entry| !entry.is_folder) {
        let path = folder.join(&entry.name);
        state.disk.remove(&path).map_err(StoreError::at(&path))?;
    }
    Ok(())
}

/// A partial blob without a writer.
#[derive(Clone, Debug, PartialEq, Eq)]
struct IdlePartial {
    digest: Digest,
    path: PathBuf,
    length: u64,
    modified_ns: i128,
}

fn sweep_partials(state: &Arc<StoreState>) -> Result<(), StoreError> {
    let mut waiting = Vec::new();
    for algorithm in Algorithm::ALL {
        let folder = state.layout.partials(algorithm);
        for digest in origin::digests(state, &folder, algorithm)? {
            let path = state.layout.partial(&digest);
            // Removed meanwhile, or not a regular file, which the next writer removes.
            let Ok(stat) = state.disk.open(&path).and_then(|file| file.stat()) else {
                continue;
            };
            waiting.push(IdlePartial {
                digest,
                path,
                length: stat.length,
                modified_ns: stat.modified_ns,
            });
        }
    }
    let now_ns = jiff::Timestamp::now().as_nanosecond();
    let bytes_max = state.bounds().size_max / PARTIAL_SHARE;
    for expired in expired(waiting, now_ns, bytes_max) {
        // The lock keeps a writer from starting while the file is removed.
        if let Some(_lock) = WriteLock::try_acquire(state, expired.digest) {
            let removed = state.disk.remove(&expired.path);
            removed.map_err(StoreError::at(&expired.path))?;
        }
    }
    Ok(())
}

/// The partial blobs older than a day, and the oldest of the rest beyond `bytes_max`.
fn expired(mut waiting: Vec<IdlePartial>, now_ns: i128, bytes_max: u64) -> Vec<IdlePartial> {
    let mut kept: u64 = 0;
    waiting.sort_by_key(|found| std::cmp::Reverse(found.modified_ns));
    waiting.retain(|found| {
        let age_ns = now_ns.saturating_sub(found.modified_ns);
        let with_it = kept.saturating_add(found.length);
        if age_ns <= PARTIAL_SECONDS_MAX * 1_000_000_000 && with_it <= bytes_max {
            kept = with_it;
            return false;
        }
        true
    });
    waiting
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_partials_and_then_the_oldest_go() {
        const DAY: i128 = 24 * 60 * 60 * 1_000_000_000;
        let waiting = |name: u8, length, modified_ns| IdlePartial {
            digest: Digest::Sha256([name; 32]),
            path: PathBuf::new(),
            length,
            modified_ns,
        };
        let all = vec![
            waiting(1, 10, -1),
            waiting(2, 10, 0),
            waiting(3, 30, DAY - 5),
            waiting(4, 60, DAY + 5),
        ];
        let gone = |bytes_max| -> Vec<u8> {
            let gone = expired(all.clone(), DAY, bytes_max);
            gone.iter().map(|one| one.digest.as_bytes()[0]).collect()
        };
        assert_eq!(gone(100), [1]);
        assert_eq!(gone(99), [2, 1]);
        assert_eq!(gone(70), [3, 1]);
        assert_eq!(gone(0), [4, 3, 2, 1]);
    }
}
