//! How keeping can fail.

use std::{
    io,
    path::{Path, PathBuf},
};

use thiserror::Error;

use crate::oci::{Digest, Mismatch};

/// Why the store could not do what it was asked. What is *absent* is never an error, and what was
/// found damaged is removed and absent.
#[derive(Debug, Error)]
pub enum StoreError {
    /// Another process has this folder.
    #[error("the store {} is in use by another process", path.display())]
    Locked {
        /// The store's folder.
        path: PathBuf,
    },
    /// There is no room, and nothing left that could make room.
    #[error("no room is left on the volume of {}", path.display())]
    Full {
        /// What was being written.
        path: PathBuf,
    },
    /// This blob is being written already.
    #[error("{digest} is being written already")]
    Busy {
        /// The blob.
        digest: Digest,
    },
    /// The file system failed.
    #[error("{}", path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// How.
        source: io::Error,
    },
}

/// Why a written blob was not kept.
#[derive(Debug, Error)]
pub enum CommitError {
    /// The bytes are not what their digest says; they are gone.
    #[error(transparent)]
    Mismatch(#[from] Mismatch),
    /// The bytes may be right, but could not be kept.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl StoreError {
    /// Names the file a fault belongs to, and tells a full disk from a broken one.
    pub(super) fn at(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full { path },
            _ => Self::Io { path, source },
        }
    }
}
