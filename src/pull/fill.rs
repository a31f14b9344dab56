//! A cache fill: upstream's bytes, hashed and written once, while any number of readers follow.
//!
//! It is a background task: no client ends it, and a slow one does not slow it.

mod job;
mod passthrough;
mod pump;
mod worker;

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;
use tokio::sync::watch;

pub(super) use job::{FillJob, ReadableBlob};

use super::{
    BlobBody, ConfigGeneration, NegativeCache, PullError, failure_tally::FailureTally,
    resolve::origin_of,
};
use crate::{
    oci::{Digest, Origin},
    route::Candidate,
    store::Store,
    tasks::Tasks,
    telemetry::Metrics,
    wire::GrowthState,
};
use passthrough::FillDisk;
use worker::FillWorker;

/// All fills in progress, by digest.
#[derive(Debug)]
pub(super) struct Fills {
    running: Arc<Mutex<HashMap<Digest, Arc<Fill>>>>,
    store: Store,
    absences: NegativeCache,
    tasks: Tasks,
    metrics: Arc<Metrics>,
}

/// One fill, as its waiting requests see it.
#[derive(Debug)]
pub(super) struct Fill {
    digest: Digest,
    origins: Vec<Origin>,
    generation: ConfigGeneration,
    outcome: watch::Receiver<Option<Result<ReadableBlob, PullError>>>,
}

impl Fills {
    pub(super) fn new(
        store: Store,
        absences: NegativeCache,
        tasks: Tasks,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            running: Arc::default(),
            store,
            absences,
            tasks,
            metrics,
        }
    }

    /// The same fills under a new configuration: new ones record absences in this cache.
    pub(super) fn reconfigured(&self, absences: NegativeCache) -> Self {
        Self {
            running: Arc::clone(&self.running),
            store: self.store.clone(),
            absences,
            tasks: self.tasks.clone(),
            metrics: Arc::clone(&self.metrics),
        }
    }

    /// Whether a fill of this digest is in progress. Once it is not, what it stored is also
    /// confirmed.
    pub(super) fn is_running(&self, digest: &Digest) -> bool {
        self.running.lock().contains_key(digest)
    }

    /// The fill of this digest that is in progress, or a new one. One that has failed and is about
    /// to end is not joined: a new request asks upstream again.
    pub(super) fn join(&self, digest: Digest, job: impl FnOnce() -> FillJob) -> Arc<Fill> {
        let mut running = self.running.lock();
        if let Some(fill) = running.get(&digest).filter(|fill| !fill.has_failed()) {
            return Arc::clone(fill);
        }
        let job = job();
        let (result, outcome) = watch::channel(None);
        let origins = job
            .sources
            .iter()
            .map(|(candidate, _)| origin_of(candidate))
            .collect();
        let fill = Arc::new(Fill {
            digest,
            origins,
            generation: job.generation,
            outcome,
        });
        running.insert(digest, Arc::clone(&fill));
        drop(running);
        let guard = FillGuard {
            fill: Arc::clone(&fill),
            running: Arc::clone(&self.running),
        };
        let work = FillWorker {
            store: self.store.clone(),
            metrics: Arc::clone(&self.metrics),
            failures: FailureTally::default(),
            absences: self.absences.clone(),
            result,
            distrusts_ranges: false,
            disk: FillDisk::new(&job, self.tasks.clone(), Arc::clone(&self.metrics)),
            job,
        };
        drop(self.tasks.spawn("fill", async move {
            work.run().await;
            drop(guard);
        }));
        fill
    }
}

impl Fill {
    pub(super) fn digest(&self) -> Digest {
        self.digest
    }

    fn has_failed(&self) -> bool {
        matches!(*self.outcome.borrow(), Some(Err(_)))
    }

    /// Waits until bytes may be read, or the fill has failed.
    pub(super) async fn readable(&self) -> Result<ReadableBlob, PullError> {
        let mut outcome = self.outcome.clone();
        let result = outcome.wait_for(Option::is_some).await;
        let result = result.ok().and_then(|result| result.clone());
        let mut readable = result.unwrap_or(Err(PullError::Abandoned))?;
        if let BlobBody::Arriving { file, size } = &mut readable.body
            && file.watermark().state == GrowthState::Whole
        {
            // The verified size takes precedence over the announced one.
            *size = Some(file.watermark().readable);
        }
        Ok(readable)
    }

    /// Whether its failure also holds for these candidates: it asked all of them, under the current
    /// configuration.
    pub(super) fn speaks_for(
        &self,
        candidates: &[Candidate],
        generation: ConfigGeneration,
    ) -> bool {
        self.generation == generation
            && candidates
                .iter()
                .all(|candidate| self.origins.contains(&origin_of(candidate)))
    }
}

/// Frees the digest however the fill ends, unless the next fill has it already.
struct FillGuard {
    fill: Arc<Fill>,
    running: Arc<Mutex<HashMap<Digest, Arc<Fill>>>>,
}

impl Drop for FillGuard {
    fn drop(&mut self) {
        let mut running = self.running.lock();
        let digest = self.fill.digest;
        if running
            .get(&digest)
            .is_some_and(|fill| Arc::ptr_eq(fill, &self.fill))
        {
            running.remove(&digest);
        }
    }
}
