//! Serves pulls from the store and from upstreams.
//!
//! Promises: bytes that leave here are verified, or held back at the tail until they are; one
//! upstream request serves all clients that want the same; stored content is served while upstreams
//! are down. Called by `api`, `control` and the command line. Never sees an HTTP request or
//! response.

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
pub use directory::UpstreamDirectory;
pub use error::PullError;
pub use explain::{Explanation, RouteOutcome, StoredImage, store_keys};
pub use listing::{ReferrersPage, TAGS_PER_PAGE_MAX, TagListPage};
pub use puller::Puller;

use crate::oci::{Digest, Origin, Reference};

/// What the configuration says about pulls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How long a tag is served before upstream is asked again.
    pub tag_fresh: Duration,
    /// How long a tag is served while upstream fails.
    pub tag_stale_max: Duration,
    /// How long "not found" is remembered.
    pub absent: Duration,
    /// Never contact an upstream; content that is not stored does not exist.
    pub offline: bool,
    /// Longest wait for a manifest, over all attempts.
    pub manifest_max: Duration,
    /// Longest wait for the start of a blob, over all attempts.
    pub blob_head_max: Duration,
}

/// What upstreams recently did not have.
type NegativeCache = Cache<(Origin, ContentKey), ()>;

/// What an upstream may lack. A digest may be a blob there and not a manifest, or the reverse, so
/// the two are distinct.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum ContentKey {
    Manifest(Reference),
    Blob(Digest),
}

/// Counts the configurations of this process.
type ConfigGeneration = u64;
