//! The parts of a puller, and what a new configuration replaces of them.

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

/// Most entries of each cache: confirmed tags, absences. The tags' records are in the store.
const CACHE_ENTRIES_MAX: u64 = 100_000;

/// Serves pulls; carries the `Via` chain for upstream requests. Clones share everything else.
#[derive(Clone, Debug)]
pub struct Puller(pub(super) Arc<PullerState>, pub(super) Via);

#[derive(Debug)]
pub(super) struct PullerState {
    pub(super) settings: Settings,
    pub(super) table: RouteTable,
    pub(super) directory: UpstreamDirectory,
    /// The configuration of this state, as a part of [`CoalescingKey`].
    pub(super) generation: ConfigGeneration,
    pub(super) store: Store,
    pub(super) fills: Fills,
    pub(super) manifests: Coalescer<(CoalescingKey, Reference), ManifestAnswer>,
    pub(super) confirmed: Confirmations,
    /// What upstreams recently did not have; empty after a change of the configuration.
    pub(super) absences: NegativeCache,
    /// The table's decisions.
    pub(super) resolutions: ResolutionCache,
}

/// When upstreams last confirmed tags, by the process's own clock.
type Confirmations = Cache<(Origin, Tag), Instant>;

/// Requests with equal keys share work: the same repository and equal registries under the same
/// configuration. A request under the old configuration never serves one under the new.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct CoalescingKey(ConfigGeneration, Repository, Arc<[Registry]>);

impl Puller {
    /// Puts the parts together. `instance` identifies our own requests if they come back.
    pub fn new(
        settings: Settings,
        table: RouteTable,
        directory: UpstreamDirectory,
        store: Store,
        instance: Instance,
        tasks: Tasks,
        metrics: Arc<Metrics>,
    ) -> Self {
        let absences = negative_cache(&settings);
        let inner = PullerState {
            settings,
            table,
            directory,
            generation: 0,
            fills: Fills::new(store.clone(), absences.clone(), tasks.clone(), metrics),
            store,
            manifests: Coalescer::new(tasks),
            confirmed: confirmations(),
            absences,
            resolutions: ResolutionCache::new(),
        };
        Self(Arc::new(inner), Via::own(instance))
    }

    /// A puller with a new configuration, on the same store. It joins fills in progress, for a
    /// digest means the same bytes everywhere; confirmations are kept only if no upstream has
    /// changed. This puller stays as it is, for the requests that use it.
    #[must_use]
    pub fn reconfigured(
        &self,
        settings: Settings,
        table: RouteTable,
        directory: UpstreamDirectory,
    ) -> Self {
        let old = &self.0;
        let absences = negative_cache(&settings);
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
            fills: old.fills.reconfigured(absences.clone()),
            store: old.store.clone(),
            manifests: old.manifests.clone(),
            confirmed,
            absences,
            resolutions: ResolutionCache::new(),
        };
        Self(Arc::new(inner), self.1.clone())
    }

    /// A puller for a request with these values of `Via`.
    ///
    /// Shared work carries the chain of the request that started it. Two mirrors that point at each
    /// other, each asked for the same content by a client at the same time, may therefore wait for
    /// each other's work: neither request loops, and the deadline ends both.
    ///
    /// # Errors
    /// [`ForwardingLoop`], before any work is joined: that work might be what waits for this
    /// request.
    pub fn with_via<'a>(
        &self,
        values: impl Iterator<Item = &'a [u8]>,
    ) -> Result<Self, ForwardingLoop> {
        Ok(Self(Arc::clone(&self.0), self.1.behind(values)?))
    }

    /// The known upstreams.
    pub fn directory(&self) -> &UpstreamDirectory {
        &self.0.directory
    }

    /// The key by which requests for a name share work.
    pub(super) fn coalescing_key(&self, image: &ImageName) -> CoalescingKey {
        CoalescingKey(
            self.0.generation,
            image.repository.clone(),
            Arc::clone(&image.equal),
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
