//! What a pull answers with, and how it came about.

use std::sync::Arc;

use crate::{
    oci::{Manifest, Origin},
    store::KeptBlob,
    wire::GrowingFile,
};

/// A manifest and how we came by it.
#[derive(Clone, Debug)]
pub struct ManifestAnswer {
    /// The manifest.
    pub manifest: Arc<Manifest>,
    /// How the store had it.
    pub cache_status: CacheStatus,
    /// The origin that answered.
    pub origin: Origin,
}

/// A blob and how we came by it.
#[derive(Debug)]
pub struct BlobAnswer {
    /// Its bytes.
    pub body: BlobBody,
    /// How the store had it.
    pub cache_status: CacheStatus,
    /// Who brought it, if it had to be brought.
    pub origin: Option<Origin>,
}

/// A blob's bytes, or where they are.
#[derive(Clone, Debug)]
pub enum BlobBody {
    /// In the store.
    Kept(KeptBlob),
    /// On their way.
    Arriving {
        /// The file they are written to.
        file: GrowingFile,
        /// The whole size, if upstream or a manifest told.
        size: Option<u64>,
    },
    /// Upstream has it; only its size was asked for.
    SizeOnly {
        /// The size that upstream or a manifest told.
        size: u64,
    },
}

/// How an answer came about; also the metric's label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheStatus {
    /// Kept, and upstream was not asked.
    Hit,
    /// Kept, and upstream confirmed it.
    Revalidated,
    /// Kept, and upstream failed.
    Stale,
    /// Fetched.
    Miss,
}

impl CacheStatus {
    /// The metric's label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Revalidated => "revalidated",
            Self::Stale => "stale",
            Self::Miss => "miss",
        }
    }
}
