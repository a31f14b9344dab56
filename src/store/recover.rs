//! Starting, and putting right what an unclean end or a lost index left behind.

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

/// How often uses are written, and an index that failed is tried again.
const MAINTENANCE_EVERY: Duration = Duration::from_secs(5);
/// How many of those rounds lie between two sweeps of partial blobs.
const SWEEP_EVERY_ROUNDS: u64 = 120;
/// How many rows are written at once, while nobody else can change which blobs there are.
const BATCH_ROWS: usize = 256;
/// How many of those batches are written lazily: until they are settled they take space twice.
const SYNC_EVERY_BATCHES: usize = 16;
/// How long a partial blob waits for its resume.
const PARTIAL_SECONDS_MAX: i128 = 24 * 60 * 60;
/// Which share of `size_max` partial blobs may take while they wait.
const PARTIAL_SHARE: u64 = 10;
/// Names this run of the machine.
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
        let shelf = lock_folder(&settings, disk, tasks, metrics)?;
        // What cannot be removed takes room, but harms nobody.
        for swept in [sweep_temporary(&shelf), sweep_partials(&shelf)] {
            if let Err(error) = swept {
                tracing::warn!(%error, "not all left-over files could be removed");
            }
        }
        let left = start_index(&shelf);
        Ok((shelf, left))
    };
    let opened = tokio::task::spawn_blocking(work).await;
    let (shelf, left) = opened.map_err(|error| StoreError::Io {
        path,
        source: io::Error::other(error),
    })??;
    shelf
        .caught_up
        .store(left == IndexCondition::Clean, Ordering::Release);
    let closing = shelf.closing.subscribe();
    let keeping = maintain(Arc::downgrade(&shelf), closing, left);
    let keeper = spawner.spawn("keeping the store", keeping);
    *shelf.maintenance.lock() = Some(keeper);
    Ok(shelf)
}

/// Takes the folder for this process.
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
    let shelf = StoreState::new(settings, disk, tasks, metrics, lock);
    let mut folders = vec![shelf.layout.temporary(), shelf.layout.origins()];
    for algorithm in Algorithm::ALL {
        folders.extend([
            shelf.layout.blobs(algorithm),
            shelf.layout.partials(algorithm),
        ]);
    }
    for folder in folders {
        let made = shelf.disk.create_folder(&folder);
        made.map_err(StoreError::at(&folder))?;
    }
    Ok(Arc::new(shelf))
}

fn start_index(shelf: &StoreState) -> IndexCondition {
    let boot = boot_id(&*shelf.disk);
    let key = shelf.stamp_key.read().clone();
    let (left, key) = shelf.index.start(&*shelf.disk, &boot, key.as_ref());
    *shelf.stamp_key.write() = key;
    load_totals(shelf);
    left
}

/// Takes the ledger's totals from the index.
fn load_totals(shelf: &StoreState) {
    let _door = shelf.blobs_lock.lock();
    let totals = shelf.index.totals();
    shelf.uses.after(totals.used_last);
    let mut ledger = shelf.ledger.lock();
    *ledger = Ledger {
        blobs: totals.blobs,
        bytes: totals.bytes,
        ..*ledger
    };
    shelf.metrics.stored(totals.blobs, totals.bytes);
}

/// Empty where the machine has none; then only a clean end keeps marks.
fn boot_id(disk: &dyn Disk) -> Vec<u8> {
    let mut buffer = vec![0; 64];
    let read = disk
        .open(Path::new(BOOT_ID))
        .and_then(|file| file.read_at(&mut buffer, 0));
    buffer.truncate(read.unwrap_or_default());
    buffer
}

/// Works beside the requests until the store ends.
async fn maintain(
    shelf: Weak<StoreState>,
    mut closing: watch::Receiver<bool>,
    mut left: IndexCondition,
) {
    let mut round: u64 = 0;
    loop {
        let Some(shelf) = shelf.upgrade() else {
            return;
        };
        let kept = shelf.blocking(move |shelf| maintain_once(shelf, round, left));
        match kept.await {
            Ok(now) => left = now,
            Err(error) => {
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                tracing::warn!(%error, cause, "the store could not be looked after");
            }
        }
        drop(shelf);
        round = round.wrapping_add(1);
        if timeout(MAINTENANCE_EVERY, closing.changed()).await.is_ok() {
            return;
        }
    }
}

/// One round; how the index stands after it.
fn maintain_once(
    shelf: &Arc<StoreState>,
    round: u64,
    mut left: IndexCondition,
) -> Result<IndexCondition, StoreError> {
    shelf.write_uses();
    shelf.index.sync();
    if shelf.index.is_closed() {
        shelf.caught_up.store(false, Ordering::Release);
        left = start_index(shelf);
    }
    if left != IndexCondition::Clean && !shelf.index.is_closed() && catch_up(shelf, left)? {
        shelf.caught_up.store(true, Ordering::Release);
        left = IndexCondition::Clean;
    }
    if round % SWEEP_EVERY_ROUNDS == SWEEP_EVERY_ROUNDS - 1 {
        sweep_partials(shelf)?;
    }
    Ok(left)
}

/// Brings the index up to what the files say. After an unclean end names suffice: manifests are
/// noted durably. From nothing, every manifest is read. Whether it came to its end.
fn catch_up(shelf: &StoreState, left: IndexCondition) -> Result<bool, StoreError> {
    for algorithm in Algorithm::ALL {
        if !match_blobs(shelf, algorithm)? {
            return Ok(false);
        }
    }
    for origin in origin::origins(shelf)? {
        if shelf.is_closing() {
            return Ok(false);
        }
        for algorithm in Algorithm::ALL {
            let markers = shelf.layout.markers(&origin, algorithm);
            let all = in_batches(shelf, &markers, algorithm, |batch| {
                shelf.index.confirm(batch, &origin);
                Ok(())
            })?;
            if !all {
                return Ok(false);
            }
        }
        if left == IndexCondition::Empty {
            for manifest in origin::manifests(shelf, &origin, usize::MAX)? {
                shelf.index.add_members(&origin, &manifest);
            }
        }
    }
    load_totals(shelf);
    shelf.index.set_complete();
    evict::trim(shelf);
    Ok(true)
}

/// Makes the rows of blobs what the files say, a few bytes of memory a blob; whether it came to its
/// end.
fn match_blobs(shelf: &StoreState, algorithm: Algorithm) -> Result<bool, StoreError> {
    let rows: Vec<_> = shelf
        .index
        .digests(algorithm, |rows| rows.map(|row| prefix(&row)).collect());
    let mut files = Vec::with_capacity(rows.len());
    let folder = shelf.layout.blobs(algorithm);
    let all = in_batches(shelf, &folder, algorithm, |batch| {
        files.extend(batch.iter().map(prefix));
        let mut new = batch.to_vec();
        new.retain(|digest| rows.binary_search(&prefix(digest)).is_err());
        put_missing_rows(shelf, &new)
    })?;
    if !all {
        return Ok(false);
    }
    files.sort_unstable();
    drop(rows);
    let gone = shelf.index.digests(algorithm, |rows| {
        rows.filter(|row| files.binary_search(&prefix(row)).is_err())
            .collect::<Vec<_>>()
    });
    for digest in gone {
        remove_if_gone(shelf, &digest)?;
    }
    Ok(true)
}

/// The first eight bytes of a digest, which stand for it: where two ever share them, one blob is
/// miscounted until it is used.
fn prefix(digest: &Digest) -> u64 {
    let first = digest.as_bytes().first_chunk();
    first.copied().map_or(0, u64::from_be_bytes)
}

/// Shows all digests of a folder, some at a time, and writes what was made of them; whether it came
/// to its end.
fn in_batches(
    shelf: &StoreState,
    folder: &Path,
    algorithm: Algorithm,
    mut show: impl FnMut(&[Digest]) -> Result<(), StoreError>,
) -> Result<bool, StoreError> {
    let (mut batch, mut shown) = (Vec::with_capacity(BATCH_ROWS), 0_usize);
    let all = origin::each_digest(shelf, folder, algorithm, |digest| {
        batch.push(digest);
        if batch.len() == BATCH_ROWS {
            show(&batch)?;
            batch.clear();
            shown += 1;
            if shown.is_multiple_of(SYNC_EVERY_BATCHES) {
                shelf.index.sync();
            }
        }
        Ok(!shelf.is_closing())
    })?;
    show(&batch)?;
    Ok(all)
}

fn put_missing_rows(shelf: &StoreState, digests: &[Digest]) -> Result<(), StoreError> {
    let _door = shelf.blobs_lock.lock();
    let mut rows = Vec::with_capacity(digests.len());
    for digest in digests {
        if shelf.index.blob(digest).is_some() {
            continue;
        }
        let path = shelf.layout.blob(digest);
        let stat = match shelf.disk.open(&path).and_then(|file| file.stat()) {
            Ok(stat) => stat,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(StoreError::at(&path)(error)),
        };
        // The best guess at its last use; never later than now.
        let written = u64::try_from(stat.modified_ns / 1_000_000).unwrap_or_default();
        let row = BlobRow {
            size: stat.length,
            used: written.min(shelf.uses.now()),
            stamp: None,
        };
        rows.push((*digest, row));
    }
    if !rows.is_empty() {
        shelf.put_rows(&rows);
    }
    Ok(())
}

fn remove_if_gone(shelf: &StoreState, digest: &Digest) -> Result<(), StoreError> {
    let _door = shelf.blobs_lock.lock();
    let opened = shelf.disk.open(&shelf.layout.blob(digest));
    match opened {
        Err(error) if error.kind() == io::ErrorKind::NotFound => shelf.remove_blob(digest),
        _ => Ok(()),
    }
}

fn sweep_temporary(shelf: &StoreState) -> Result<(), StoreError> {
    let folder = shelf.layout.temporary();
    let entries = shelf.disk.list(&folder).map_err(StoreError::at(&folder))?;
    for entry in entries.iter().filter(|entry| !entry.is_folder) {
        let path = folder.join(&entry.name);
        shelf.disk.remove(&path).map_err(StoreError::at(&path))?;
    }
    Ok(())
}

/// A partial blob that nobody writes now.
#[derive(Clone, Debug, PartialEq, Eq)]
struct IdlePartial {
    digest: Digest,
    path: PathBuf,
    length: u64,
    modified_ns: i128,
}

fn sweep_partials(shelf: &Arc<StoreState>) -> Result<(), StoreError> {
    let mut waiting = Vec::new();
    for algorithm in Algorithm::ALL {
        let folder = shelf.layout.partials(algorithm);
        for digest in origin::digests(shelf, &folder, algorithm)? {
            let path = shelf.layout.partial(&digest);
            // Gone by now, or no file of ours: a writer that meets it deals with it.
            let Ok(stat) = shelf.disk.open(&path).and_then(|file| file.stat()) else {
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
    let bytes_max = shelf.bounds().size_max / PARTIAL_SHARE;
    for expired in expired(waiting, now_ns, bytes_max) {
        // Nobody begins to write what is being removed; nobody else waits meanwhile.
        if let Some(_ticket) = WriteLock::try_acquire(shelf, expired.digest) {
            let removed = shelf.disk.remove(&expired.path);
            removed.map_err(StoreError::at(&expired.path))?;
        }
    }
    Ok(())
}

/// Those older than a day, and of the rest the oldest, so that at most `bytes_max` stay.
fn expired(mut waiting: Vec<IdlePartial>, now_ns: i128, bytes_max: u64) -> Vec<IdlePartial> {
    let mut stays: u64 = 0;
    waiting.sort_by_key(|found| std::cmp::Reverse(found.modified_ns));
    waiting.retain(|found| {
        let age_ns = now_ns.saturating_sub(found.modified_ns);
        let with_it = stays.saturating_add(found.length);
        if age_ns <= PARTIAL_SECONDS_MAX * 1_000_000_000 && with_it <= bytes_max {
            stays = with_it;
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
