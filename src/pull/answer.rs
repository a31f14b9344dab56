//! The answers of a pull, with their cache status.

use std::sync::Arc;

use crate::{
    oci::{Manifest, Origin},
    store::KeptBlob,
    wire::GrowingFile,
};

/// A manifest, its origin and its cache status.
#[derive(Clone, Debug)]
pub struct ManifestAnswer {
    /// The manifest.
    pub manifest: Arc<Manifest>,
    /// Whether it came from the store.
    pub cache_status: CacheStatus,
    /// The origin that answered.
    pub origin: Origin,
}

/// A blob, its origin and its cache status.
#[derive(Debug)]
pub struct BlobAnswer {
    /// Its bytes.
    pub body: BlobBody,
    /// Whether it came from the store.
    pub cache_status: CacheStatus,
    /// The origin it was fetched from, if it was fetched.
    pub origin: Option<Origin>,
}

/// A blob's bytes, or their location.
#[derive(Clone, Debug)]
pub enum BlobBody {
    /// In the store.
    Kept(KeptBlob),
    /// Being fetched.
    Arriving {
        /// The file they are written to.
        file: GrowingFile,
        /// The whole size, if upstream or a manifest states it.
        size: Option<u64>,
    },
    /// Upstream has it; only its size was requested.
    SizeOnly {
        /// The size that upstream or a manifest states.
        size: u64,
    },
}

/// Where an answer came from; also the metric's label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheStatus {
    /// Stored; upstream was not contacted.
    Hit,
    /// Stored; upstream confirmed it.
    Revalidated,
    /// Stored; upstream failed.
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
