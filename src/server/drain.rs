//! How serving ends: a grace, then a drain, then the end; a second signal skips to the end.

use std::{future::Future, io, sync::Arc, time::Duration};

use futures_util::future::OptionFuture;
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
    own: StopState,
    /// The whole's, for a part that may also stop alone.
    parent: Option<StopState>,
}

#[derive(Clone, Debug)]
struct StopState(Arc<watch::Sender<StopStage>>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum StopStage {
    Serving { grace: Duration },
    Stopping { graced: Instant },
    Over,
}

impl Stop {
    /// Not begun.
    pub fn new(grace: Duration) -> Self {
        Self {
            own: StopState::new(grace),
            parent: None,
        }
    }

    /// The stop of a part: it also stops when this does. Alone it has no grace, for a listener that
    /// is no longer configured has no load balancer that might still come.
    #[must_use]
    pub fn child(&self) -> Self {
        Self {
            own: StopState::new(Duration::ZERO),
            parent: Some(self.own.clone()),
        }
    }

    /// Changes the grace, unless the stop has begun.
    pub fn set_grace(&self, grace: Duration) {
        self.own.0.send_if_modified(|stage| {
            if let StopStage::Serving { grace: old } = stage {
                *old = grace;
            }
            false
        });
    }

    /// Begins the stop; again changes nothing.
    pub fn begin(&self) {
        self.own.0.send_if_modified(|stage| match *stage {
            StopStage::Serving { grace } => {
                let graced = Instant::now() + grace;
                *stage = StopStage::Stopping { graced };
                true
            }
            StopStage::Stopping { .. } | StopStage::Over => false,
        });
    }

    /// Ends every connection at once.
    pub fn end(&self) {
        self.own.0.send_replace(StopStage::Over);
    }

    /// Whether it has begun: what readiness asks.
    pub fn has_begun(&self) -> bool {
        self.both().any(StopState::has_begun)
    }

    /// Waits until it has begun.
    pub fn begun(&self) -> impl Future<Output = ()> + Send + use<> {
        self.either(|stages| async move {
            stages.until(StopStage::has_begun).await;
        })
    }

    /// Waits until the grace is over.
    pub fn draining(&self) -> impl Future<Output = ()> + Send + use<> {
        self.either(StopState::draining)
    }

    /// Waits until every connection has to end at once.
    pub fn ended(&self) -> impl Future<Output = ()> + Send + use<> {
        self.either(|stages| async move {
            stages.until(|stage| stage == StopStage::Over).await;
        })
    }

    fn both(&self) -> impl Iterator<Item = &StopState> {
        [&self.own].into_iter().chain(&self.parent)
    }

    /// Waits for its own stages or the whole's, whichever come first.
    fn either<W, F>(&self, wait: W) -> impl Future<Output = ()> + Send + use<W, F>
    where
        W: Fn(StopState) -> F + Send + Sync,
        F: Future<Output = ()> + Send,
    {
        let (own, whole) = (self.own.clone(), self.parent.clone());
        // Waits that were captured would have room twice, in every connection.
        async move {
            select! {
                () = wait(own) => {}
                Some(()) = OptionFuture::from(whole.map(&wait)) => {}
            }
        }
    }
}

impl StopState {
    fn new(grace: Duration) -> Self {
        Self(Arc::new(watch::Sender::new(StopStage::Serving { grace })))
    }

    fn has_begun(&self) -> bool {
        self.0.borrow().has_begun()
    }

    async fn draining(self) {
        if let StopStage::Stopping { graced } = self.until(StopStage::has_begun).await {
            select! {
                () = sleep_until(graced) => {}
                _over = self.until(|stage| stage == StopStage::Over) => {}
            }
        }
    }

    async fn until(&self, reached: impl Fn(StopStage) -> bool) -> StopStage {
        let mut stages = self.0.subscribe();
        // It cannot fail: `self` keeps the sender.
        let stage = stages.wait_for(|stage| reached(*stage)).await;
        stage.map_or(StopStage::Over, |stage| *stage)
    }
}

impl StopStage {
    fn has_begun(self) -> bool {
        !matches!(self, Self::Serving { .. })
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

/// SIGHUP, waited for: read the configuration anew.
#[derive(Debug)]
pub struct Hangups(Signal);

impl Hangups {
    /// From here on the signal no longer ends the process.
    ///
    /// # Errors
    /// If the system gives no signals.
    pub fn listen() -> io::Result<Self> {
        Ok(Self(signal(SignalKind::hangup())?))
    }

    /// Waits for the next one; several that come meanwhile are one.
    pub async fn next(&mut self) {
        // The system never ends the stream of its signals.
        let _some = self.0.recv().await;
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
    async fn a_part_stops_alone_or_with_the_whole() {
        let whole = Stop::new(Duration::from_hours(1));
        let (alone, other) = (whole.child(), whole.child());
        alone.begin();
        alone.begun().await;
        alone.draining().await;
        assert!(alone.has_begun() && !other.has_begun() && !whole.has_begun());
        whole.set_grace(Duration::ZERO);
        whole.begin();
        other.begun().await;
        other.draining().await;
        whole.end();
        tokio::join!(alone.ended(), other.ended());
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
