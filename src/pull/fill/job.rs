//! The job of a fill, and what its waiting requests get.

use std::time::Duration;

use crate::{
    oci::{Digest, Origin, Via},
    pull::{BlobBody, ConfigGeneration, resolve::FetchSource},
    route::Candidate,
};

/// Blobs up to this size are verified before their first byte leaves, in bytes.
pub(super) const VERIFIED_FIRST_MAX: u64 = 4 * 1024 * 1024;

/// A blob that may be read, or will be soon.
#[derive(Clone, Debug)]
pub(in crate::pull) struct ReadableBlob {
    pub(in crate::pull) body: BlobBody,
    /// The origin it comes from.
    pub(in crate::pull) origin: Origin,
}

/// What to fetch, and from which upstreams.
#[derive(Clone, Debug)]
pub(in crate::pull) struct FillJob {
    pub(in crate::pull) digest: Digest,
    pub(in crate::pull) sources: Vec<(Candidate, FetchSource)>,
    /// The `Via` chain of the request that started it.
    pub(in crate::pull) via: Via,
    /// Longest wait for the head of one answer.
    pub(in crate::pull) head_max: Duration,
    /// The configuration that its sources come from.
    pub(in crate::pull) generation: ConfigGeneration,
}
