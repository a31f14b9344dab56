//! The rows of the index: every lookup and every change is one transaction.

use redb::{Durability, Error, ReadableTable, ReadableTableMetadata, WriteTransaction};

use super::{
    BLOBS, BlobRow, CONFIRMED, EvictionCandidate, IndexTotals, MEMBERS, SUMS, StoreIndex, USES,
};
use crate::{
    oci::{Algorithm, Digest, Manifest, Origin},
    store::{
        layout::{origin_from_text, origin_text},
        stamp::FileStamp,
    },
};

/// The sum of all blobs' sizes.
const BYTES: &str = "bytes";

impl StoreIndex {
    pub(in crate::store) fn blob(&self, digest: &Digest) -> Option<BlobRow> {
        self.read(|transaction| {
            let blobs = transaction.open_table(BLOBS)?;
            let row = blobs.get(key(digest).as_slice())?;
            Ok(row.map(|row| BlobRow::of(row.value())))
        })?
    }

    /// Puts rows; returns the row that each replaced.
    pub(in crate::store) fn put_blobs(&self, rows: &[(Digest, BlobRow)]) -> Vec<Option<BlobRow>> {
        self.write(Durability::None, |transaction| {
            let mut blobs = transaction.open_table(BLOBS)?;
            let mut uses = transaction.open_table(USES)?;
            let mut replaced = Vec::new();
            for (digest, row) in rows {
                let key = key(digest);
                let stamp = row
                    .stamp
                    .as_ref()
                    .map(FileStamp::as_slice)
                    .unwrap_or_default();
                let old = blobs.insert(key.as_slice(), (row.size, row.used, stamp))?;
                let old = old.map(|row| BlobRow::of(row.value()));
                if let Some(old) = old {
                    uses.remove((old.used, key.as_slice()))?;
                }
                uses.insert((row.used, key.as_slice()), ())?;
                replaced.push(old);
            }
            let before = replaced.iter().flatten().map(|old| old.size).sum();
            sum(
                transaction,
                before,
                rows.iter().map(|(_, row)| row.size).sum(),
            )?;
            Ok(replaced)
        })
        .unwrap_or_default()
    }

    /// Records the last uses of blobs.
    pub(in crate::store) fn touch(&self, recorded: &[(Digest, u64)]) {
        self.write(Durability::None, |transaction| {
            let mut blobs = transaction.open_table(BLOBS)?;
            let mut uses = transaction.open_table(USES)?;
            for (digest, now) in recorded {
                let key = key(digest);
                let row = blobs
                    .get(key.as_slice())?
                    .map(|row| BlobRow::of(row.value()));
                let Some(row) = row.filter(|row| row.used < *now) else {
                    continue;
                };
                let stamp = row
                    .stamp
                    .as_ref()
                    .map(FileStamp::as_slice)
                    .unwrap_or_default();
                blobs.insert(key.as_slice(), (row.size, *now, stamp))?;
                uses.remove((row.used, key.as_slice()))?;
                uses.insert((*now, key.as_slice()), ())?;
            }
            Ok(())
        });
    }

    /// Removes and returns a blob's row.
    pub(in crate::store) fn remove_blob(&self, digest: &Digest) -> Option<BlobRow> {
        let key = key(digest);
        self.write(Durability::None, |transaction| {
            let mut blobs = transaction.open_table(BLOBS)?;
            let old = blobs.remove(key.as_slice())?;
            let old = old.map(|row| BlobRow::of(row.value()));
            if let Some(old) = old {
                let mut uses = transaction.open_table(USES)?;
                uses.remove((old.used, key.as_slice()))?;
                sum(transaction, old.size, 0)?;
            }
            Ok(old)
        })?
    }

    /// Passes all blobs to `choice`, least recently used first.
    pub(in crate::store) fn choose<T: Default>(
        &self,
        choice: impl FnOnce(&mut dyn Iterator<Item = EvictionCandidate>) -> T,
    ) -> T {
        self.read(|transaction| {
            let blobs = transaction.open_table(BLOBS)?;
            let uses = transaction.open_table(USES)?;
            let mut candidates = uses.iter()?.filter_map(|entry| {
                let entry = entry.ok()?;
                let (_used, key) = entry.0.value();
                let size = blobs.get(key).ok()??.value().0;
                let digest = from_key(key)?;
                Some(EvictionCandidate { digest, size })
            });
            Ok(choice(&mut candidates))
        })
        .unwrap_or_default()
    }

    pub(in crate::store) fn totals(&self) -> IndexTotals {
        self.read(|transaction| {
            let sums = transaction.open_table(SUMS)?;
            let uses = transaction.open_table(USES)?;
            Ok(IndexTotals {
                blobs: transaction.open_table(BLOBS)?.len()?,
                bytes: sums.get(BYTES)?.map_or(0, |bytes| bytes.value()),
                used_last: uses.last()?.map_or(0, |(key, _)| key.value().0),
            })
        })
        .unwrap_or_default()
    }

    /// Passes the digests of all blobs of an algorithm to `take`, sorted.
    pub(in crate::store) fn digests<T: Default>(
        &self,
        algorithm: Algorithm,
        take: impl FnOnce(&mut dyn Iterator<Item = Digest>) -> T,
    ) -> T {
        self.read(|transaction| {
            let blobs = transaction.open_table(BLOBS)?;
            let rows = blobs.range([algorithm_byte(algorithm)].as_slice()..)?;
            let digests = rows.map_while(|row| from_key(row.ok()?.0.value()));
            Ok(take(
                &mut digests.take_while(|digest| digest.algorithm() == algorithm),
            ))
        })
        .unwrap_or_default()
    }

    /// Records what a manifest of an origin references. Durable, because a row that is missing from
    /// a complete index is never restored from the files.
    pub(in crate::store) fn add_members(&self, origin: &Origin, manifest: &Manifest) {
        let origin = origin_text(origin);
        self.write(Durability::Immediate, |transaction| {
            let mut members = transaction.open_table(MEMBERS)?;
            for child in manifest.children() {
                members.insert((key(&child.digest).as_slice(), origin.as_str()), child.size)?;
            }
            Ok(())
        });
    }

    /// The size that a manifest of the origin gives this digest, if one references it.
    pub(in crate::store) fn member_size(&self, digest: &Digest, origin: &Origin) -> Option<u64> {
        self.read(|transaction| {
            let members = transaction.open_table(MEMBERS)?;
            let found = members.get((key(digest).as_slice(), origin_text(origin).as_str()))?;
            Ok(found.map(|size| size.value()))
        })?
    }

    /// Adds confirmations that are missing.
    pub(in crate::store) fn confirm(&self, digests: &[Digest], origin: &Origin) {
        let origin = origin_text(origin);
        let new = self.read(|transaction| {
            let table = transaction.open_table(CONFIRMED)?;
            let mut new = Vec::new();
            for key in digests.iter().map(key) {
                if table.get((key.as_slice(), origin.as_str()))?.is_none() {
                    new.push(key);
                }
            }
            Ok(new)
        });
        let new = new.unwrap_or_default();
        if !new.is_empty() {
            self.write(Durability::None, |transaction| {
                let mut table = transaction.open_table(CONFIRMED)?;
                for key in &new {
                    table.insert((key.as_slice(), origin.as_str()), ())?;
                }
                Ok(())
            });
        }
    }

    /// Removes all confirmations of a blob; returns their origins.
    pub(in crate::store) fn unconfirm(&self, digest: &Digest) -> Vec<Origin> {
        let origins = self.confirmed_by(digest);
        if !origins.is_empty() {
            let key = key(digest);
            self.write(Durability::None, |transaction| {
                let mut table = transaction.open_table(CONFIRMED)?;
                for origin in &origins {
                    table.remove((key.as_slice(), origin_text(origin).as_str()))?;
                }
                Ok(())
            });
        }
        origins
    }

    pub(in crate::store) fn confirmed_by(&self, digest: &Digest) -> Vec<Origin> {
        let key = key(digest);
        self.read(|transaction| {
            let table = transaction.open_table(CONFIRMED)?;
            let mut origins = Vec::new();
            for entry in table.range((key.as_slice(), "")..)? {
                let entry = entry?.0;
                let (found, origin) = entry.value();
                if found != key {
                    break;
                }
                origins.extend(origin_from_text(origin));
            }
            Ok(origins)
        })
        .unwrap_or_default()
    }
}

impl BlobRow {
    fn of((size, used, stamp): (u64, u64, &[u8])) -> Self {
        Self {
            size,
            used,
            stamp: stamp.try_into().ok(),
        }
    }
}

/// Replaces `old` bytes by `new` in the sum.
fn sum(transaction: &WriteTransaction, old: u64, new: u64) -> Result<(), Error> {
    let mut sums = transaction.open_table(SUMS)?;
    let bytes = sums.get(BYTES)?.map_or(0, |bytes| bytes.value());
    sums.insert(BYTES, bytes.saturating_sub(old).saturating_add(new))?;
    Ok(())
}

/// A digest as a key: one byte for the algorithm, then the value.
fn key(digest: &Digest) -> Vec<u8> {
    let mut key = vec![algorithm_byte(digest.algorithm())];
    key.extend_from_slice(digest.as_bytes());
    key
}

fn algorithm_byte(algorithm: Algorithm) -> u8 {
    match algorithm {
        Algorithm::Sha256 => 1,
        Algorithm::Sha512 => 2,
    }
}

fn from_key(key: &[u8]) -> Option<Digest> {
    match key.split_first()? {
        (1, value) => value.try_into().ok().map(Digest::Sha256),
        (2, value) => value.try_into().ok().map(Digest::Sha512),
        _ => None,
    }
}
