//! How serving ends: a grace, then a drain, then the end; a second signal skips to the end.

use std::{future::Future, io, sync::Arc, time::Duration};

use tokio::{
    select,
    signal::unix::{Signal, SignalKind, signal},
    sync::watch,
    time::{Instant, sleep_until},
};

/// Says when to stop; clones say the same.
///
/// From [`Stop::begin`] on we are not ready. For the grace we still accept, so that load balancers
/// can leave. Then listeners close, idle connections close and running answers finish.
#[derive(Clone, Debug)]
pub struct Stop {
    stage: Arc<watch::Sender<Stage>>,
    grace: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Serving,
    Stopping { since: Instant },
    Over,
}

impl Stop {
    /// Not begun.
    pub fn new(grace: Duration) -> Self {
        Self {
            stage: Arc::new(watch::Sender::new(Stage::Serving)),
            grace,
        }
    }

    /// Begins the stop; again changes nothing.
    pub fn begin(&self) {
        self.stage.send_if_modified(|stage| {
            let begins = *stage == Stage::Serving;
            if begins {
                let since = Instant::now();
                *stage = Stage::Stopping { since };
            }
            begins
        });
    }

    /// Ends every connection at once.
    pub fn end(&self) {
        self.stage.send_replace(Stage::Over);
    }

    /// Whether it has begun: what readiness asks.
    pub fn has_begun(&self) -> bool {
        *self.stage.borrow() != Stage::Serving
    }

    /// Waits until it has begun.
    pub fn begun(&self) -> impl Future<Output = ()> + Send + use<> {
        let stop = self.clone();
        async move {
            stop.until(|stage| stage != Stage::Serving).await;
        }
    }

    /// Waits until the grace is over.
    pub fn draining(&self) -> impl Future<Output = ()> + Send + use<> {
        let stop = self.clone();
        async move {
            if let Stage::Stopping { since } = stop.until(|stage| stage != Stage::Serving).await {
                select! {
                    () = sleep_until(since + stop.grace) => {}
                    _over = stop.until(|stage| stage == Stage::Over) => {}
                }
            }
        }
    }

    /// Waits until every connection has to end at once.
    pub fn ended(&self) -> impl Future<Output = ()> + Send + use<> {
        let stop = self.clone();
        async move {
            stop.until(|stage| stage == Stage::Over).await;
        }
    }

    async fn until(&self, reached: impl Fn(Stage) -> bool) -> Stage {
        let mut stages = self.stage.subscribe();
        // It cannot fail: `self` keeps the sender.
        let stage = stages.wait_for(|stage| reached(*stage)).await;
        stage.map_or(Stage::Over, |stage| *stage)
    }
}

/// SIGTERM and SIGINT, waited for.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// From here on a signal no longer ends the process at once. So this comes before anything
    /// starts: what is asked to stop while it starts shall stop in order too.
    ///
    /// # Errors
    /// If the system gives no signals.
    pub fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Begins the stop at the first signal, ends it at the second, and is then done. It runs
    /// beside the stop's end, not as a task, because the end waits for tasks.
    pub async fn obey(mut self, stop: Stop) {
        let mut next = async || {
            select! {
                _some = self.terminate.recv() => "SIGTERM",
                _some = self.interrupt.recv() => "SIGINT",
            }
        };
        let signal = next().await;
        stop.begin();
        tracing::info!(signal, "stopping; a second signal ends at once");
        let signal = next().await;
        stop.end();
        tracing::info!(signal, "ending at once");
    }
}

#[cfg(test)]
mod tests {
    use rustix::process::{Signal as Kill, getpid, kill_process};

    use super::*;

    #[tokio::test]
    async fn draining_waits_for_the_grace_unless_it_is_all_over() {
        let stop = Stop::new(Duration::from_millis(20));
        assert!(!stop.has_begun());
        let start = Instant::now();
        stop.begin();
        stop.begin();
        stop.begun().await;
        assert!(stop.has_begun());
        stop.draining().await;
        assert!(start.elapsed() >= Duration::from_millis(20));

        let stop = Stop::new(Duration::from_hours(1));
        stop.begin();
        stop.end();
        stop.draining().await;
        stop.ended().await;
    }

    #[tokio::test]
    async fn the_first_signal_begins_and_the_second_ends() {
        let stop = Stop::new(Duration::ZERO);
        let heeding = Signals::listen().unwrap().obey(stop.clone());
        let sending = async {
            kill_process(getpid(), Kill::TERM).unwrap();
            stop.begun().await;
            kill_process(getpid(), Kill::INT).unwrap();
            stop.ended().await;
        };
        tokio::join!(heeding, sending);
    }
}
