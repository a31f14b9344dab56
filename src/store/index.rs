//! The index: sizes, last uses, trust marks and memberships, so that nobody has to walk folders.
//!
//! It is a cache of what the files say. Whatever goes wrong with it, it is closed and from then on
//! knows nothing (`recover` makes it anew), so its callers see no errors. Every call blocks.

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

/// Changes whenever a table does; another format is thrown away.
const FORMAT: &[u8] = b"2";
/// Memory for pages of the index.
const CACHE_BYTES: usize = 16 * 1024 * 1024;

/// Digest → size, last use, mark (32 bytes, or none).
const BLOBS: TableDefinition<'_, &[u8], (u64, u64, &[u8])> = TableDefinition::new("blobs");
/// (Last use, digest) → nothing: the same in order of use.
const USES: TableDefinition<'_, (u64, &[u8]), ()> = TableDefinition::new("uses");
/// (Digest, origin) → size as a manifest of that origin names it.
const MEMBERS: TableDefinition<'_, (&[u8], &str), u64> = TableDefinition::new("members");
/// (Digest, origin) → nothing: that origin's upstream has confirmed the blob.
const CONFIRMED: TableDefinition<'_, (&[u8], &str), ()> = TableDefinition::new("confirmed");
/// `bytes` → the sizes of all blobs together, so that no start has to walk the rows.
const SUMS: TableDefinition<'_, &str, u64> = TableDefinition::new("sums");
const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");

/// The database, while it works.
#[derive(Debug)]
pub(super) struct StoreIndex {
    path: PathBuf,
    database: RwLock<Option<Arc<Database>>>,
    complete: AtomicBool,
    /// Whether something was written that is not durable yet.
    lazy: AtomicBool,
}

/// What is known of one blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BlobRow {
    pub(super) size: u64,
    pub(super) used: u64,
    pub(super) stamp: Option<FileStamp>,
}

/// One blob in the order of use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct EvictionCandidate {
    pub(super) digest: Digest,
    pub(super) size: u64,
}

/// All rows of blobs together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct IndexTotals {
    pub(super) blobs: u64,
    pub(super) bytes: u64,
    pub(super) used_last: u64,
}

/// How an index was left by who used it before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum IndexCondition {
    /// Closed in order.
    Clean,
    /// Not closed: the last lazy rows may be missing.
    Unclean,
    /// New, damaged or never finished: everything is still to be read from the files.
    Empty,
}

impl StoreIndex {
    /// An index that knows nothing until [`StoreIndex::start`] works.
    pub(super) fn closed(path: PathBuf) -> Self {
        Self {
            path,
            database: RwLock::new(None),
            complete: AtomicBool::new(false),
            lazy: AtomicBool::new(false),
        }
    }

    /// Opens the database, or makes a new one in place of one that is no use. `boot` names this
    /// run of the machine; what merely cannot be written now stays, and nothing is opened. `key` is
    /// the one to go on with, else the kept one if it may be trusted, else a new one.
    pub(super) fn start(
        &self,
        disk: &dyn Disk,
        boot: &[u8],
        key: Option<&StampKey>,
    ) -> (IndexCondition, Option<StampKey>) {
        for _attempt in 0..2 {
            // A damaged file may also show as a panic of the library; the file is then as bad.
            let opened = catch_unwind(AssertUnwindSafe(|| self.open(disk, boot, key)));
            match opened {
                Ok(Ok((database, left, key))) => {
                    *self.database.write() = Some(Arc::new(database));
                    self.complete
                        .store(left != IndexCondition::Empty, Ordering::Release);
                    return (left, Some(key));
                }
                Ok(Err(error)) if is_transient(&error) => {
                    tracing::warn!(path = %self.path.display(), %error, "no index for now");
                    break;
                }
                Ok(Err(error)) => {
                    tracing::warn!(path = %self.path.display(), %error, "the index is made anew");
                }
                Err(_panic) => {
                    tracing::warn!(path = %self.path.display(), "the index is made anew");
                }
            }
            if let Err(error) = disk.remove(&self.path) {
                tracing::warn!(path = %self.path.display(), %error, "the index stays in the way");
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
        // The library would follow a link and make the file readable for all.
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
                .ok_or_else(|| Error::Corrupted("there is no randomness for a key".into()))?;
            meta.insert("format", FORMAT)?;
            meta.insert("boot", boot)?;
            meta.insert("key", key.as_bytes().as_slice())?;
            meta.remove("clean")?;
            let left = match (complete, clean) {
                (true, true) => IndexCondition::Clean,
                (true, false) => IndexCondition::Unclean,
                (false, _) => IndexCondition::Empty,
            };
            (left, key)
        };
        transaction.commit()?;
        Ok((database, found.0, found.1))
    }

    /// Whether there is no database now.
    pub(super) fn is_closed(&self) -> bool {
        self.database.read().is_none()
    }

    /// Whether everything that the files say is in it, so that *not there* means absent.
    pub(super) fn is_complete(&self) -> bool {
        self.complete.load(Ordering::Acquire)
    }

    /// Notes that everything is in it.
    pub(super) fn set_complete(&self) {
        let written = self.write(Durability::Immediate, |transaction| {
            let mut meta = transaction.open_table(META)?;
            meta.insert("complete", [].as_slice())?;
            Ok(())
        });
        self.complete.store(written.is_some(), Ordering::Release);
    }

    /// Makes all of it durable, if it is not.
    pub(super) fn sync(&self) {
        if self.lazy.swap(false, Ordering::AcqRel) {
            self.write(Durability::Immediate, |_transaction| Ok(()));
        }
    }

    /// Makes all of it durable and says that nothing will follow.
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
            // Or else the start after an unclean end would have to read all of it.
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

    /// Asks the database, if there is one. After a failure, which in a damaged file may also show
    /// as a panic, it is not asked again: half an index is worse than none.
    fn with<T>(&self, ask: impl FnOnce(&Database) -> Result<T, Error>) -> Option<T> {
        let database = self.database.read().clone()?;
        match catch_unwind(AssertUnwindSafe(|| ask(&database))) {
            Ok(Ok(done)) => return Some(done),
            Ok(Err(error)) => {
                tracing::warn!(path = %self.path.display(), %error, "the index is closed");
            }
            Err(_panic) => tracing::warn!(path = %self.path.display(), "the index is closed"),
        }
        self.complete.store(false, Ordering::Release);
        *self.database.write() = None;
        None
    }
}

/// Whether an error says nothing about the file: the disk is full or read-only, descriptors are
/// short, or whoever used the database until now has not let go of it yet.
fn is_transient(error: &Error) -> bool {
    use rustix::io::Errno;
    match error {
        Error::DatabaseAlreadyOpen => true,
        Error::Io(error) => error.raw_os_error().is_some_and(|code| {
            let passing = [
                Errno::NOSPC,
                Errno::DQUOT,
                Errno::ROFS,
                Errno::ACCESS,
                Errno::PERM,
                Errno::MFILE,
                Errno::NFILE,
                Errno::NOMEM,
            ];
            passing.iter().any(|errno| errno.raw_os_error() == code)
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
