//! File stamps: whether a file is still the one that was hashed, without reading it.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::{disk::Stat, oci::Digest};

/// The key of all stamps. A new key invalidates every stamp.
#[derive(Clone)]
pub(super) struct StampKey([u8; 32]);

/// A keyed hash over the metadata of a verified file.
pub(super) type FileStamp = [u8; 32];

impl StampKey {
    pub(super) fn new(key: [u8; 32]) -> Self {
        Self(key)
    }

    /// A random key; `None` without randomness, and then no file is trusted.
    pub(super) fn random() -> Option<Self> {
        let mut key = [0; 32];
        getrandom::fill(&mut key).ok()?;
        Some(Self(key))
    }

    pub(super) fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The stamp of a file that was just verified as `digest`.
    pub(super) fn stamp(&self, digest: &Digest, stat: &Stat) -> Option<FileStamp> {
        Some(self.hash(digest, stat)?.finalize().into_bytes().into())
    }

    /// Whether `stamp` was made for this digest and this state of the file.
    pub(super) fn matches(&self, stamp: &FileStamp, digest: &Digest, stat: &Stat) -> bool {
        self.hash(digest, stat)
            .is_some_and(|hash| hash.verify_slice(stamp).is_ok())
    }

    fn hash(&self, digest: &Digest, stat: &Stat) -> Option<Hmac<Sha256>> {
        let mut hash = Hmac::<Sha256>::new_from_slice(&self.0).ok()?;
        hash.update(digest.algorithm().as_str().as_bytes());
        hash.update(digest.as_bytes());
        hash.update(&stat.inode.to_be_bytes());
        hash.update(&stat.length.to_be_bytes());
        hash.update(&stat.modified_ns.to_be_bytes());
        hash.update(&stat.changed_ns.to_be_bytes());
        Some(hash)
    }
}

impl fmt::Debug for StampKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("StampKey")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::Algorithm;

    #[test]
    fn a_stamp_matches_only_what_it_was_made_for() {
        let key = StampKey::new([1; 32]);
        let digest = Digest::of(Algorithm::Sha256, b"a");
        let stat = Stat {
            length: 1,
            inode: 2,
            modified_ns: 3,
            changed_ns: 4,
        };
        let stamp = key.stamp(&digest, &stat).unwrap();
        assert!(key.matches(&stamp, &digest, &stat));
        for other in [
            Stat { length: 9, ..stat },
            Stat { inode: 9, ..stat },
            Stat {
                modified_ns: 9,
                ..stat
            },
            Stat {
                changed_ns: 9,
                ..stat
            },
        ] {
            assert!(!key.matches(&stamp, &digest, &other));
        }
        assert!(!key.matches(&stamp, &Digest::of(Algorithm::Sha256, b"b"), &stat));
        assert!(!StampKey::new([2; 32]).matches(&stamp, &digest, &stat));
        assert!(!key.matches(&[0; 32], &digest, &stat));
    }
}
