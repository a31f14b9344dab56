//! Puts the parts together, and changes them with the configuration.

use std::sync::Arc;

use moka::sync::Cache;
use tokio::time::Instant;

use super::{
    ConfigGeneration, ManifestAnswer, NegativeCache, Settings, UpstreamDirectory,
    coalescer::Coalescer, fill::Fills, resolve::ResolutionCache,
};
use crate::{
    oci::{ForwardingLoop, Instance, Origin, Reference, Registry, Repository, Tag, Via},
    route::{ImageName, RouteTable},
    store::Store,
    tasks::Tasks,
    telemetry::Metrics,
};

/// Most tags and absences remembered at once; the records themselves are in the store.
const CACHE_ENTRIES_MAX: u64 = 100_000;

/// The one who pulls, and what it says upstream of where its requests have been. Clones share
/// everything else.
#[derive(Clone, Debug)]
pub struct Puller(pub(super) Arc<PullerState>, pub(super) Via);

#[derive(Debug)]
pub(super) struct PullerState {
    pub(super) settings: Settings,
    pub(super) table: RouteTable,
    pub(super) directory: UpstreamDirectory,
    /// Counts the configurations.
    pub(super) generation: ConfigGeneration,
    pub(super) store: Store,
    pub(super) fills: Fills,
    pub(super) manifests: Coalescer<(CoalescingKey, Reference), ManifestAnswer>,
    pub(super) confirmed: Confirmations,
    /// What an upstream lately said it does not have.
    pub(super) absences: NegativeCache,
    /// What the table says of names.
    pub(super) resolutions: ResolutionCache,
}

/// When upstreams last confirmed tags, by the process's own clock.
type Confirmations = Cache<(Origin, Tag), Instant>;

/// Requests that share one piece of work: the same repository by the same group of registries,
/// under the same configuration. What was asked of yesterday's upstream answers nobody today.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct CoalescingKey(ConfigGeneration, Repository, Arc<[Registry]>);

impl Puller {
    /// Puts the parts together. By the instance a request of ours that comes back is known.
    pub fn new(
        settings: Settings,
        table: RouteTable,
        directory: UpstreamDirectory,
        store: Store,
        instance: Instance,
        tasks: Tasks,
        metrics: Arc<Metrics>,
    ) -> Self {
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
    pub(super) fn coalescing_key(&self, named: &ImageName) -> CoalescingKey {
        CoalescingKey(
            self.0.generation,
            named.repository.clone(),
            Arc::clone(&named.equal),
        )
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
