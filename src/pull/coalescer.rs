//! One piece of work, however many wait for it.

use std::{collections::HashMap, fmt, future::Future, hash::Hash, sync::Arc};

use futures_util::{
    FutureExt,
    future::{BoxFuture, Shared},
};
use parking_lot::Mutex;

use super::PullError;
use crate::tasks::Tasks;

/// Work under way, by what it is for. Whoever comes while it runs gets its answer; the work itself
/// belongs to the house, so a client that leaves stops nothing. Clones share the work.
pub(super) struct Coalescer<K, V> {
    running: Arc<Mutex<HashMap<K, SharedResult<V>>>>,
    tasks: Tasks,
}

type SharedResult<V> = Shared<BoxFuture<'static, Result<V, PullError>>>;

impl<K, V> Clone for Coalescer<K, V> {
    fn clone(&self) -> Self {
        Self {
            running: Arc::clone(&self.running),
            tasks: self.tasks.clone(),
        }
    }
}

/// Frees the key however the work ends, a panic included, so that the next one can try.
struct InFlightGuard<K: Hash + Eq, V> {
    key: K,
    running: Arc<Mutex<HashMap<K, SharedResult<V>>>>,
}

impl<K, V> Coalescer<K, V>
where
    K: Clone + Hash + Eq + Send + 'static,
    V: Clone + Send + Sync + 'static,
{
    pub(super) fn new(tasks: Tasks) -> Self {
        Self {
            running: Arc::default(),
            tasks,
        }
    }

    /// Waits for the work on `key` that is under way, or starts `work` for it. Its table is
    /// bounded by the number of connections.
    pub(super) async fn run<F>(&self, key: K, work: impl FnOnce() -> F) -> Result<V, PullError>
    where
        F: Future<Output = Result<V, PullError>> + Send + 'static,
    {
        let outcome = {
            let mut running = self.running.lock();
            if let Some(outcome) = running.get(&key) {
                outcome.clone()
            } else {
                let landing = InFlightGuard {
                    key: key.clone(),
                    running: Arc::clone(&self.running),
                };
                let work = work();
                let task = self.tasks.spawn("flight", async move {
                    let outcome = work.await;
                    drop(landing);
                    outcome
                });
                let outcome = async move {
                    task.await
                        .ok()
                        .flatten()
                        .unwrap_or(Err(PullError::Abandoned))
                };
                let outcome = outcome.boxed().shared();
                running.insert(key, outcome.clone());
                outcome
            }
        };
        outcome.await
    }
}

impl<K: Hash + Eq, V> Drop for InFlightGuard<K, V> {
    fn drop(&mut self) {
        let gone = self.running.lock().remove(&self.key);
        drop(gone);
    }
}

impl<K, V> fmt::Debug for Coalescer<K, V> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Flights").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::telemetry::Metrics;

    #[tokio::test]
    async fn all_waiters_get_the_one_answer() {
        let flights: Coalescer<u8, u32> =
            Coalescer::new(Tasks::new(Arc::new(Metrics::new().unwrap())));
        let runs = Arc::new(AtomicUsize::new(0));
        let gate = Arc::new(tokio::sync::Semaphore::new(0));
        let work = || {
            let (runs, gate) = (Arc::clone(&runs), Arc::clone(&gate));
            async move {
                runs.fetch_add(1, Ordering::SeqCst);
                gate.acquire().await.unwrap().forget();
                Ok(7)
            }
        };
        let waiters = futures_util::future::join_all((0..10).map(|_| flights.run(1, work)));
        let (answers, ()) = tokio::join!(waiters, async { gate.add_permits(1) });
        assert!(answers.into_iter().all(|answer| matches!(answer, Ok(7))));
        assert_eq!(runs.load(Ordering::SeqCst), 1);
        assert!(flights.running.lock().is_empty());
    }

    #[tokio::test]
    async fn a_panic_frees_the_key() {
        let flights: Coalescer<u8, u32> =
            Coalescer::new(Tasks::new(Arc::new(Metrics::new().unwrap())));
        let broken = flights.run(1, || async { panic!("on purpose") }).await;
        assert!(matches!(broken, Err(PullError::Abandoned)));
        assert!(matches!(flights.run(1, || async { Ok(2) }).await, Ok(2)));
    }
}
