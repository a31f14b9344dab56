//! One piece of work for all requests that wait for it.

use std::{collections::HashMap, fmt, future::Future, hash::Hash, sync::Arc};

use futures_util::{
    FutureExt,
    future::{BoxFuture, Shared},
};
use parking_lot::Mutex;

use super::PullError;
use crate::tasks::Tasks;

/// Work in progress, by key. Requests that come while it runs get its answer. It is a background
/// task: no client ends it. Clones share the work.
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

/// Frees the key however the work ends, even by a panic, so that the next request can try.
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

    /// Waits for the work in progress on `key`, or starts `work` for it. The number of connections
    /// bounds the table.
    pub(super) async fn run<F>(&self, key: K, work: impl FnOnce() -> F) -> Result<V, PullError>
    where
        F: Future<Output = Result<V, PullError>> + Send + 'static,
    {
        let outcome = {
            let mut running = self.running.lock();
            if let Some(outcome) = running.get(&key) {
                outcome.clone()
            } else {
                let guard = InFlightGuard {
                    key: key.clone(),
                    running: Arc::clone(&self.running),
                };
                let work = work();
                let task = self.tasks.spawn("coalesced request", async move {
                    let outcome = work.await;
                    drop(guard);
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
        formatter.debug_struct("Coalescer").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::telemetry::Metrics;

    #[tokio::test]
    async fn all_waiters_get_the_one_answer() {
        let coalescer: Coalescer<u8, u32> =
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
        let waiters = futures_util::future::join_all((0..10).map(|_| coalescer.run(1, work)));
        let (answers, ()) = tokio::join!(waiters, async { gate.add_permits(1) });
        assert!(answers.into_iter().all(|answer| matches!(answer, Ok(7))));
        assert_eq!(runs.load(Ordering::SeqCst), 1);
        assert!(coalescer.running.lock().is_empty());
    }

    #[tokio::test]
    async fn a_panic_frees_the_key() {
        let coalescer: Coalescer<u8, u32> =
            Coalescer::new(Tasks::new(Arc::new(Metrics::new().unwrap())));
        let broken = coalescer.run(1, || async { panic!("on purpose") }).await;
        assert!(matches!(broken, Err(PullError::Abandoned)));
        assert!(matches!(coalescer.run(1, || async { Ok(2) }).await, Ok(2)));
    }
}
