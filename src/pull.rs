//! What happens when somebody pulls.
//!
//! Promises: bytes that leave here were verified, or are held back at the tail until they are; one
//! upstream request serves however many ask; what is kept is served while the world behind it is
//! gone. Called by `api`, `control` and the command line. Never sees an HTTP request or response.

mod access;
mod answer;
mod ask_in_order;
mod blob;
mod coalescer;
mod directory;
mod error;
mod explain;
mod failure_tally;
mod fill;
mod freshness;
mod listing;
mod manifest;
mod memo;
mod puller;
mod resolve;
mod sources;
mod tag;

use std::time::Duration;

use moka::sync::Cache;

pub use answer::{BlobAnswer, BlobBody, CacheStatus, ManifestAnswer};
pub use directory::{KnownUpstream, UpstreamDirectory};
pub use error::PullError;
pub use explain::{CandidateLine, Explanation, RouteLine, RouteOutcome, StoredImage, store_keys};
pub use listing::{ReferrersPage, TAGS_PER_PAGE_MAX, TagList, TagListPage};
pub use puller::Puller;

use crate::oci::{Digest, Origin, Reference};

/// Everything about pulling that the configuration decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How long a tag is believed before upstream is asked again.
    pub tag_fresh: Duration,
    /// How long a tag is served when upstream fails.
    pub tag_stale_max: Duration,
    /// How long "not found" is believed.
    pub absent: Duration,
    /// Never ask anyone: what is not kept does not exist.
    pub offline: bool,
    /// Longest wait for a manifest, over all tries.
    pub manifest_max: Duration,
    /// Longest wait for the start of a blob, over all tries.
    pub blob_head_max: Duration,
}

/// What upstreams lately said they do not have.
type NegativeCache = Cache<(Origin, ContentKey), ()>;

/// What an upstream may lack. The two are apart, for one digest is a blob there and no manifest, or
/// a manifest and no blob.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum ContentKey {
    Manifest(Reference),
    Blob(Digest),
}

/// Which configuration, of all that this process has had.
type ConfigGeneration = u64;
