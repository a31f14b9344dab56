//! Background tasks: each is counted, its panic is reported, and shutdown waits for it.
//!
//! Promises: no task spawned here is lost. Called by every room that works beside a request. Never
//! knows what a task does.

use std::{future::Future, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures_util::FutureExt;
use tokio::{sync::watch, task::JoinHandle, time::timeout};

use crate::telemetry::Metrics;

/// Spawns and counts tasks; clones share one count.
#[derive(Clone, Debug)]
pub struct Tasks {
    running: Arc<watch::Sender<usize>>,
    ended: Arc<watch::Sender<bool>>,
    metrics: Arc<Metrics>,
}

/// Decrements the count, however its task ends.
#[derive(Debug)]
struct TaskGuard(Arc<watch::Sender<usize>>);

impl Tasks {
    /// Without tasks yet.
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self {
            running: Arc::new(watch::Sender::new(0)),
            ended: Arc::new(watch::Sender::new(false)),
            metrics,
        }
    }

    /// Starts a task. A panic in it is logged with its name and ends only the task. Its handle then
    /// returns `None`, as it does after [`Tasks::end`].
    pub fn spawn<F>(&self, name: &'static str, work: F) -> JoinHandle<Option<F::Output>>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        self.running.send_modify(|count| *count += 1);
        let guard = TaskGuard(Arc::clone(&self.running));
        let metrics = Arc::clone(&self.metrics);
        let mut ended = self.ended.subscribe();
        // Boxed because an async block reserves space twice for a captured future that it awaits.
        let mut work = Box::pin(AssertUnwindSafe(work).catch_unwind());
        let guarded = async move {
            let outcome = tokio::select! {
                biased;
                _ = ended.wait_for(|ended| *ended) => None,
                outcome = &mut work => Some(outcome),
            };
            // Last: waiters rely on everything else being dropped.
            drop(work);
            drop(guard);
            outcome?
                .inspect_err(|_payload| {
                    metrics.task_panicked();
                    tracing::error!(task = name, "a task panicked; this is a bug");
                })
                .ok()
        };
        #[expect(clippy::disallowed_methods, reason = "the one place where tasks start")]
        tokio::spawn(guarded)
    }

    /// The number of running tasks.
    pub fn running(&self) -> usize {
        *self.running.borrow()
    }

    /// Cancels every task, and every later one before it begins.
    pub fn end(&self) {
        self.ended.send_replace(true);
    }

    /// Waits at most `wait_max` until no task runs; returns whether all ended.
    pub async fn wait(&self, wait_max: Duration) -> bool {
        let mut running = self.running.subscribe();
        timeout(wait_max, running.wait_for(|count| *count == 0))
            .await
            .is_ok()
    }
}

impl Drop for TaskGuard {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count = count.saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use std::{
        future::pending,
        sync::mpsc::{Sender, channel},
    };

    use super::*;

    /// Reports at its drop how many tasks run.
    struct Held(Tasks, Sender<usize>);

    impl Drop for Held {
        fn drop(&mut self) {
            self.1.send(self.0.running()).unwrap();
        }
    }

    #[tokio::test]
    async fn a_task_counts_until_all_of_it_is_gone() {
        let tasks = Tasks::new(Arc::new(Metrics::new().unwrap()));
        let (sender, seen) = channel();
        let held = Held(tasks.clone(), sender);
        let work = async move {
            let _held = held;
            pending::<()>().await;
        };
        drop(tasks.spawn("held", work));
        tasks.end();
        assert!(tasks.wait(Duration::from_secs(10)).await);
        assert_eq!(seen.try_recv(), Ok(1));
    }
}
