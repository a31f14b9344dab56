//! A fill: upstream's bytes, hashed and written once, while any number of readers follow.
//!
//! It belongs to the house. A client that leaves stops nothing, and a slow one slows nothing.

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

/// All fills under way, by digest.
#[derive(Debug)]
pub(super) struct Fills {
    running: Arc<Mutex<HashMap<Digest, Arc<Fill>>>>,
    store: Store,
    absent: NegativeCache,
    tasks: Tasks,
    metrics: Arc<Metrics>,
}

/// One fill, as those who wait for it see it.
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
        absent: NegativeCache,
        tasks: Tasks,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            running: Arc::default(),
            store,
            absent,
            tasks,
            metrics,
        }
    }

    /// The same fills, for a new configuration: those that start from now on note absences here.
    pub(super) fn reconfigured(&self, absent: NegativeCache) -> Self {
        Self {
            running: Arc::clone(&self.running),
            store: self.store.clone(),
            absent,
            tasks: self.tasks.clone(),
            metrics: Arc::clone(&self.metrics),
        }
    }

    /// Whether a fill of this digest is under way. Once it is not, what it kept is also confirmed.
    pub(super) fn is_running(&self, digest: &Digest) -> bool {
        self.running.lock().contains_key(digest)
    }

    /// The fill of this digest that is under way, or a new one. One that has failed and is about to
    /// end is not joined: who comes now asks anew.
    pub(super) fn join(&self, digest: Digest, job: impl FnOnce() -> FillJob) -> Arc<Fill> {
        let mut running = self.running.lock();
        if let Some(fill) = running.get(&digest).filter(|fill| !fill.has_failed()) {
            return Arc::clone(fill);
        }
        let job = job();
        let (say, outcome) = watch::channel(None);
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
        let landing = FillGuard {
            fill: Arc::clone(&fill),
            running: Arc::clone(&self.running),
        };
        let work = FillWorker {
            store: self.store.clone(),
            metrics: Arc::clone(&self.metrics),
            failures: FailureTally::default(),
            absences: self.absent.clone(),
            result: say,
            distrusts_ranges: false,
            disk: FillDisk::new(&job, self.tasks.clone(), Arc::clone(&self.metrics)),
            job,
        };
        drop(self.tasks.spawn("fill", async move {
            work.run().await;
            drop(landing);
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

    /// Waits until bytes may be read, or the fill failed.
    pub(super) async fn readable(&self) -> Result<ReadableBlob, PullError> {
        let mut outcome = self.outcome.clone();
        let said = outcome.wait_for(Option::is_some).await;
        let said = said.ok().and_then(|said| said.clone());
        let mut arrival = said.unwrap_or(Err(PullError::Abandoned))?;
        if let BlobBody::Arriving { file, size } = &mut arrival.body
            && file.watermark().state == GrowthState::Whole
        {
            // What is proven knows better than what upstream announced.
            *size = Some(file.watermark().readable);
        }
        Ok(arrival)
    }

    /// Whether its failure is also the answer for these candidates: it asked all of them, as they
    /// are configured now.
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
