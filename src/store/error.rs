//! Errors of the store.

use std::{
    io,
    path::{Path, PathBuf},
};

use thiserror::Error;

use crate::oci::{Digest, Mismatch};

/// Why a store operation failed. *Absent* is never an error; damaged content is removed and
/// reported as absent.
#[derive(Debug, Error)]
pub enum StoreError {
    /// Another process has locked this folder.
    #[error("the store {} is in use by another process", path.display())]
    Locked {
        /// The store's folder.
        path: PathBuf,
    },
    /// The volume is full, and evicting would not free enough.
    #[error("no space left on the volume of {}", path.display())]
    Full {
        /// The file being written.
        path: PathBuf,
    },
    /// The blob has a writer already.
    #[error("{digest} is being written already")]
    Busy {
        /// The blob.
        digest: Digest,
    },
    /// The file system returned an error.
    #[error("{}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
}

/// Why a written blob was not kept.
#[derive(Debug, Error)]
pub enum CommitError {
    /// The bytes do not match the digest; they are removed.
    #[error(transparent)]
    Mismatch(#[from] Mismatch),
    /// The bytes may match, but could not be stored.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl StoreError {
    /// Attaches the path to an error, and tells a full disk from a failing one.
    pub(super) fn at(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full { path },
            _ => Self::Io { path, source },
        }
    }
}
