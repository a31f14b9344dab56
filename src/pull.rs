//! What happens when somebody pulls.
//!
//! Promises: bytes that leave here were verified, or are held back at the tail until they are; one
//! upstream request serves however many ask; what is kept is served while the world behind it is
//! gone. Called by `api`, `control` and the command line. Never sees an HTTP request or response.

mod access;
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
mod resolve;
mod tag;

use std::{sync::Arc, time::Duration};

use moka::sync::Cache;
use tokio::time::Instant;

pub use blob::{BlobAnswer, BlobBody};
pub use directory::{KnownUpstream, UpstreamDirectory};
pub use error::PullError;
pub use explain::{CandidateLine, Explanation, RouteLine, RouteOutcome, StoredImage, store_keys};
pub use listing::{ReferrersPage, TAGS_PER_PAGE_MAX, TagList, TagListPage};

use crate::{
    oci::{
        Digest, ForwardingLoop, Instance, Manifest, Origin, Reference, Registry, Repository, Tag,
        Via,
    },
    route::{ImageName, RouteTable},
    store::Store,
    tasks::Tasks,
    telemetry::Metrics,
};
use coalescer::Coalescer;
use fill::Fills;
use resolve::ResolutionCache;

/// Most tags and absences remembered at once; the records themselves are in the store.
const CACHE_ENTRIES_MAX: u64 = 100_000;

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

/// The one who pulls, and what it says upstream of where its requests have been. Clones share
/// everything else.
#[derive(Clone, Debug)]
pub struct Puller(Arc<PullerState>, Via);

#[derive(Debug)]
struct PullerState {
    settings: Settings,
    table: RouteTable,
    directory: UpstreamDirectory,
    /// Counts the configurations.
    generation: ConfigGeneration,
    store: Store,
    fills: Fills,
    manifests: Coalescer<(CoalescingKey, Reference), ManifestAnswer>,
    confirmed: Confirmations,
    /// What an upstream lately said it does not have.
    absences: NegativeCache,
    /// What the table says of names.
    resolutions: ResolutionCache,
}

/// When upstreams last confirmed tags, by the process's own clock.
type Confirmations = Cache<(Origin, Tag), Instant>;

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

/// Requests that share one piece of work: the same repository by the same group of registries,
/// under the same configuration. What was asked of yesterday's upstream answers nobody today.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct CoalescingKey(ConfigGeneration, Repository, Arc<[Registry]>);

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

impl Puller {
    /// Puts the parts together. By the instance a request of ours that comes back is known.
    pub fn new(
        settings: Settings,
        table: RouteTable,
        directory: UpstreamDirectory,
        store: Store,
        world: (Instance, Tasks, Arc<Metrics>),
    ) -> Self {
        let (instance, tasks, metrics) = world;
        let absent = negative_cache(&settings);
        let inner = PullerState {
            settings,
            table,
            directory,
            generation: 0,
            fills: Fills::new(store.clone(), absent.clone(), tasks.clone(), metrics),
            store,
            manifests: Coalescer::new(tasks),
            confirmed: confirmations(),
            absences: absent,
            resolutions: ResolutionCache::new(),
        };
        Self(Arc::new(inner), Via::own(instance))
    }

    /// The one who pulls under a new configuration, on the same store. Fills that are under way
    /// are joined, for a digest means the same bytes everywhere; all else that upstreams said is
    /// forgotten if any of them is another one now. This one goes on as it was, for those who have
    /// asked it.
    #[must_use]
    pub fn reconfigured(
        &self,
        settings: Settings,
        table: RouteTable,
        directory: UpstreamDirectory,
    ) -> Self {
        let old = &self.0;
        let absent = negative_cache(&settings);
        let confirmed = if directory.is_equivalent(&old.directory) {
            old.confirmed.clone()
        } else {
            confirmations()
        };
        let inner = PullerState {
            settings,
            table,
            directory,
            generation: old.generation + 1,
            fills: old.fills.reconfigured(absent.clone()),
            store: old.store.clone(),
            manifests: old.manifests.clone(),
            confirmed,
            absences: absent,
            resolutions: ResolutionCache::new(),
        };
        Self(Arc::new(inner), self.1.clone())
    }

    /// The one who pulls for a request that came with these values of `Via`.
    ///
    /// Work belongs to whoever starts it, and so does where it has been; who joins it shares its
    /// fate. Two mirrors that point at each other and are asked for one thing by a client each, at
    /// the same time, may so wait for each other's work: nobody comes back to where it has been,
    /// and the deadline ends it.
    ///
    /// # Errors
    /// [`ForwardingLoop`], before any work is joined: it might be the very work that waits for this
    /// request.
    pub fn with_via<'a>(
        &self,
        values: impl Iterator<Item = &'a [u8]>,
    ) -> Result<Self, ForwardingLoop> {
        Ok(Self(Arc::clone(&self.0), self.1.behind(values)?))
    }

    /// The upstreams that it knows.
    pub fn directory(&self) -> &UpstreamDirectory {
        &self.0.directory
    }

    /// What requests for a name share their work by.
    fn coalescing_key(&self, named: &ImageName) -> CoalescingKey {
        CoalescingKey(
            self.0.generation,
            named.repository.clone(),
            Arc::clone(&named.equal),
        )
    }

    /// The manifest that a reference means under a name.
    ///
    /// # Errors
    /// See [`PullError`]; stale content is preferred to any of them but "not found" and "denied".
    pub async fn manifest(
        &self,
        named: &ImageName,
        reference: &Reference,
    ) -> Result<ManifestAnswer, PullError> {
        match reference {
            Reference::Tag(tag) => self.manifest_by_tag(named, tag).await,
            Reference::Digest(digest) => self.manifest_by_digest(named, digest).await,
        }
    }

    /// Whether this name may be served `digest` from what is kept.
    async fn kept_manifest(
        &self,
        origins: &[Origin],
        digest: &Digest,
    ) -> Result<Option<ManifestAnswer>, PullError> {
        for origin in origins {
            let kept = self.0.store.manifest(origin, digest).await;
            let kept = kept.unwrap_or_else(|error| {
                tracing::error!(%origin, %digest, %error, "a kept manifest cannot be read");
                None
            });
            if let Some(manifest) = kept {
                let origin = origin.clone();
                return Ok(Some(ManifestAnswer {
                    manifest,
                    cache_status: CacheStatus::Hit,
                    origin,
                }));
            }
        }
        Ok(None)
    }
}

fn negative_cache(settings: &Settings) -> NegativeCache {
    Cache::builder()
        .max_capacity(CACHE_ENTRIES_MAX)
        .time_to_live(settings.absent)
        .build()
}

fn confirmations() -> Confirmations {
    Cache::builder().max_capacity(CACHE_ENTRIES_MAX).build()
}
