//! What the configuration decides about the store.

use std::path::PathBuf;

/// Everything about the store that the configuration decides.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The folder; created if missing.
    pub path: PathBuf,
    /// Most bytes of blobs.
    pub size_max: u64,
    /// Bytes of the volume that stay free, whatever `size_max` says.
    pub free_min: u64,
    /// Most bytes of memory for small bodies.
    pub small_bodies_max: u64,
}

/// The limits that eviction enforces.
#[derive(Clone, Copy, Debug)]
pub(super) struct StoreBounds {
    pub(super) size_max: u64,
    pub(super) free_min: u64,
}

impl StoreBounds {
    pub(super) fn of(settings: &Settings) -> Self {
        Self {
            size_max: settings.size_max,
            free_min: settings.free_min,
        }
    }
}
