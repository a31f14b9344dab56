//! What a fill is to do, and what it tells its readers.

use std::time::Duration;

use crate::{
    oci::{Digest, Origin, Via},
    pull::{BlobBody, ConfigGeneration, resolve::FetchSource},
    route::Candidate,
};

/// Blobs up to this size are verified before their first byte leaves, in bytes.
pub(super) const VERIFIED_FIRST_MAX: u64 = 4 * 1024 * 1024;

/// Bytes that may be read, or soon may.
#[derive(Clone, Debug)]
pub(in crate::pull) struct ReadableBlob {
    pub(in crate::pull) body: BlobBody,
    /// The origin they come from.
    pub(in crate::pull) origin: Origin,
}

/// What a fill is to bring, and from whom.
#[derive(Clone, Debug)]
pub(in crate::pull) struct FillJob {
    pub(in crate::pull) digest: Digest,
    pub(in crate::pull) sources: Vec<(Candidate, FetchSource)>,
    /// Where the request has been that started it.
    pub(in crate::pull) via: Via,
    /// Longest wait for the head of one answer.
    pub(in crate::pull) head_max: Duration,
    /// Under which configuration its sources were found.
    pub(in crate::pull) generation: ConfigGeneration,
}
