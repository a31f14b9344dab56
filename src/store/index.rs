//! The index: sizes, last uses, stamps and memberships, so that no request walks folders.
//!
//! It is a cache of the files. On any failure it is closed and reads as empty until `recover`
//! rebuilds it, so its callers see no errors. Every call blocks.

mod rows;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use parking_lot::RwLock;
use redb::{
    Database, Durability, Error, ReadTransaction, ReadableDatabase, ReadableTable, TableDefinition,
    WriteTransaction,
};

use super::stamp::{FileStamp, StampKey};
use crate::{disk::Disk, oci::Digest};

/// Changes with the tables; an index of another format is rebuilt.
const FORMAT: &[u8] = b"2";
/// Memory for index pages.
const CACHE_BYTES: usize = 16 * 1024 * 1024;

/// Digest → size, last use, stamp (32 bytes, or none).
const BLOBS: TableDefinition<'_, &[u8], (u64, u64, &[u8])> = TableDefinition::new("blobs");
/// (Last use, digest) → nothing: the blobs in order of use.
const USES: TableDefinition<'_, (u64, &[u8]), ()> = TableDefinition::new("uses");
/// (Digest, origin) → size according to a manifest of that origin.
const MEMBERS: TableDefinition<'_, (&[u8], &str), u64> = TableDefinition::new("members");
/// (Digest, origin) → nothing: that origin's upstream confirmed the blob.
const CONFIRMED: TableDefinition<'_, (&[u8], &str), ()> = TableDefinition::new("confirmed");
/// `bytes` → the total size of all blobs, so that a start need not read every row.
const SUMS: TableDefinition<'_, &str, u64> = TableDefinition::new("sums");
const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");

/// The database, until it fails.
#[derive(Debug)]
pub(super) struct StoreIndex {
    path: PathBuf,
    database: RwLock<Option<Arc<Database>>>,
    complete: AtomicBool,
    /// Whether there are writes that are not durable yet.
    lazy: AtomicBool,
}

/// The row of one blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BlobRow {
    pub(super) size: u64,
    pub(super) used: u64,
    pub(super) stamp: Option<FileStamp>,
}

/// A blob in order of use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct EvictionCandidate {
    pub(super) digest: Digest,
    pub(super) size: u64,
}

/// Totals over all rows of blobs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct IndexTotals {
    pub(super) blobs: u64,
    pub(super) bytes: u64,
    pub(super) used_last: u64,
}

/// How the last process left the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum IndexCondition {
    /// Closed cleanly.
    Clean,
    /// Not closed: the last rows that were not durable may be missing.
    Unclean,
    /// New, damaged or incomplete: it has to be rebuilt from the files.
    Empty,
}

impl StoreIndex {
    /// A closed index, which reads as empty until [`StoreIndex::start`] opens it.
    pub(super) fn closed(path: PathBuf) -> Self {
        Self {
            path,
            database: RwLock::new(None),
            complete: AtomicBool::new(false),
            lazy: AtomicBool::new(false),
        }
    }

    /// Opens the database, or replaces an unusable one; after a transient error it stays closed and
    /// the file remains. `boot` identifies this boot of the machine. The returned key is `key`,
    /// else the stored one if it may be trusted, else a new one.
    pub(super) fn start(
        &self,
        disk: &dyn Disk,
        boot: &[u8],
        key: Option<&StampKey>,
    ) -> (IndexCondition, Option<StampKey>) {
        for _attempt in 0..2 {
            // A damaged file may also make the library panic.
            let opened = catch_unwind(AssertUnwindSafe(|| self.open(disk, boot, key)));
            match opened {
                Ok(Ok((database, condition, key))) => {
                    *self.database.write() = Some(Arc::new(database));
                    self.complete
                        .store(condition != IndexCondition::Empty, Ordering::Release);
                    return (condition, Some(key));
                }
                Ok(Err(error)) if is_transient(&error) => {
                    let path = self.path.display();
                    tracing::warn!(%path, %error, "index unavailable; answering from files");
                    break;
                }
                Ok(Err(error)) => {
                    tracing::warn!(path = %self.path.display(), %error, "rebuilding the index");
                }
                Err(_panic) => {
                    tracing::warn!(path = %self.path.display(), "rebuilding the index");
                }
            }
            if let Err(error) = disk.remove(&self.path) {
                let path = self.path.display();
                tracing::warn!(%path, %error, "cannot remove the damaged index");
                break;
            }
        }
        (
            IndexCondition::Empty,
            key.cloned().or_else(StampKey::random),
        )
    }

    fn open(
        &self,
        disk: &dyn Disk,
        boot: &[u8],
        key: Option<&StampKey>,
    ) -> Result<(Database, IndexCondition, StampKey), Error> {
        // The library would follow a link, and create the file readable by everyone.
        drop(disk.resume(&self.path)?);
        let database = Database::builder()
            .set_cache_size(CACHE_BYTES)
            .create(&self.path)?;
        let mut transaction = database.begin_write()?;
        transaction.set_quick_repair(true);
        let found = {
            transaction.open_table(BLOBS)?;
            transaction.open_table(USES)?;
            transaction.open_table(MEMBERS)?;
            transaction.open_table(CONFIRMED)?;
            transaction.open_table(SUMS)?;
            let mut meta = transaction.open_table(META)?;
            let get = |name| Ok::<_, Error>(meta.get(name)?.map(|value| value.value().to_vec()));
            let format = get("format")?;
            if format.as_deref().is_some_and(|format| format != FORMAT) {
                return Err(Error::Corrupted("another format".into()));
            }
            let clean = get("clean")?.is_some();
            let complete = get("complete")?.is_some();
            let same_boot = !boot.is_empty() && get("boot")?.as_deref() == Some(boot);
            let kept = get("key")?.filter(|_| clean || same_boot);
            let kept = kept.and_then(|bytes| bytes.try_into().ok().map(StampKey::new));
            let key = key
                .cloned()
                .or(kept)
                .or_else(StampKey::random)
                .ok_or_else(|| Error::Corrupted("no randomness for a key".into()))?;
            meta.insert("format", FORMAT)?;
            meta.insert("boot", boot)?;
            meta.insert("key", key.as_bytes().as_slice())?;
            meta.remove("clean")?;
            let condition = match (complete, clean) {
                (true, true) => IndexCondition::Clean,
                (true, false) => IndexCondition::Unclean,
                (false, _) => IndexCondition::Empty,
            };
            (condition, key)
        };
        transaction.commit()?;
        Ok((database, found.0, found.1))
    }

    /// Whether the database is closed.
    pub(super) fn is_closed(&self) -> bool {
        self.database.read().is_none()
    }

    /// Whether it covers all files, so that a missing row means absent.
    pub(super) fn is_complete(&self) -> bool {
        self.complete.load(Ordering::Acquire)
    }

    /// Records that it covers all files.
    pub(super) fn set_complete(&self) {
        let written = self.write(Durability::Immediate, |transaction| {
            let mut meta = transaction.open_table(META)?;
            meta.insert("complete", [].as_slice())?;
            Ok(())
        });
        self.complete.store(written.is_some(), Ordering::Release);
    }

    /// Makes all writes durable, if there are new ones.
    pub(super) fn sync(&self) {
        if self.lazy.swap(false, Ordering::AcqRel) {
            self.write(Durability::Immediate, |_transaction| Ok(()));
        }
    }

    /// Makes all writes durable and records a clean end.
    pub(super) fn sync_clean(&self) {
        self.write(Durability::Immediate, |transaction| {
            let mut meta = transaction.open_table(META)?;
            meta.insert("clean", [].as_slice())?;
            Ok(())
        });
    }

    pub(super) fn read<T>(
        &self,
        work: impl FnOnce(&ReadTransaction) -> Result<T, Error>,
    ) -> Option<T> {
        self.with(|database| work(&database.begin_read()?))
    }

    pub(super) fn write<T>(
        &self,
        durability: Durability,
        work: impl FnOnce(&WriteTransaction) -> Result<T, Error>,
    ) -> Option<T> {
        let done = self.with(|database| {
            let mut transaction = database.begin_write()?;
            transaction.set_durability(durability)?;
            // Otherwise the start after an unclean end would read the whole database.
            transaction.set_quick_repair(matches!(durability, Durability::Immediate));
            let done = work(&transaction)?;
            transaction.commit()?;
            Ok(done)
        });
        if matches!(durability, Durability::None) {
            self.lazy.store(true, Ordering::Release);
        }
        done
    }

    /// Runs `work` on the database, if it is open. A failure, which with a damaged file may also be
    /// a panic, closes it: half an index is worse than none.
    fn with<T>(&self, work: impl FnOnce(&Database) -> Result<T, Error>) -> Option<T> {
        let database = self.database.read().clone()?;
        match catch_unwind(AssertUnwindSafe(|| work(&database))) {
            Ok(Ok(done)) => return Some(done),
            Ok(Err(error)) => {
                tracing::warn!(path = %self.path.display(), %error, "index failed; closing it");
            }
            Err(_panic) => tracing::warn!(path = %self.path.display(), "index failed; closing it"),
        }
        self.complete.store(false, Ordering::Release);
        *self.database.write() = None;
        None
    }
}

/// Whether an error does not indicate a damaged file: the disk is full or read-only, descriptors
/// are exhausted, or the previous user of the database has not closed it yet.
fn is_transient(error: &Error) -> bool {
    use rustix::io::Errno;
    match error {
        Error::DatabaseAlreadyOpen => true,
        Error::Io(error) => error.raw_os_error().is_some_and(|code| {
            let transient = [
                Errno::NOSPC,
                Errno::DQUOT,
                Errno::ROFS,
                Errno::ACCESS,
                Errno::PERM,
                Errno::MFILE,
                Errno::NFILE,
                Errno::NOMEM,
            ];
            transient.iter().any(|errno| errno.raw_os_error() == code)
        }),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use rustix::io::Errno;

    use super::*;

    #[test]
    fn a_disk_in_trouble_does_not_cost_the_index() {
        let of = |errno: Errno| Error::Io(errno.into());
        assert!(is_transient(&of(Errno::NOSPC)));
        assert!(is_transient(&of(Errno::MFILE)));
        assert!(!is_transient(&of(Errno::IO)));
        assert!(!is_transient(&Error::Corrupted("rot".into())));
        assert!(!is_transient(&Error::Io(
            std::io::ErrorKind::InvalidInput.into()
        )));
    }
}
