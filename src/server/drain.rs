//! Shutdown: a grace, then a drain, then the end; a second signal skips to the end.

use std::{future::Future, io, sync::Arc, time::Duration};

use futures_util::future::OptionFuture;
use tokio::{
    select,
    signal::unix::{Signal, SignalKind, signal},
    sync::watch,
    time::{Instant, sleep_until},
};

/// The stage of shutdown; clones share it.
///
/// From [`Stop::begin`] on the server is not ready. During the grace it still accepts, so that load
/// balancers can leave. Then listeners close, idle connections close and running responses finish.
#[derive(Clone, Debug)]
pub struct Stop {
    own: StopState,
    /// Set for a part that may also stop alone.
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
    /// A stop that has not begun.
    pub fn new(grace: Duration) -> Self {
        Self {
            own: StopState::new(grace),
            parent: None,
        }
    }

    /// The stop of a part: it also stops when this does. Alone it has no grace, because load
    /// balancers no longer use a listener that was removed from the configuration.
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

    /// Begins the stop; idempotent.
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

    /// Whether it has begun; readiness reads this.
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

    /// Waits for a stage of its own or of its parent, whichever comes first.
    fn either<W, F>(&self, wait: W) -> impl Future<Output = ()> + Send + use<W, F>
    where
        W: Fn(StopState) -> F + Send + Sync,
        F: Future<Output = ()> + Send,
    {
        let (own, parent) = (self.own.clone(), self.parent.clone());
        // Futures captured here would take their size twice, in every connection.
        async move {
            select! {
                () = wait(own) => {}
                Some(()) = OptionFuture::from(parent.map(&wait)) => {}
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
        // Cannot fail: `self` keeps the sender.
        let stage = stages.wait_for(|stage| reached(*stage)).await;
        stage.map_or(StopStage::Over, |stage| *stage)
    }
}

impl StopStage {
    fn has_begun(self) -> bool {
        !matches!(self, Self::Serving { .. })
    }
}

/// Receives SIGTERM and SIGINT.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Takes over both signals, which no longer end the process at once. Called before anything
    /// starts, so that a stop during the start is orderly too.
    ///
    /// # Errors
    /// If the handlers cannot be registered.
    pub fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Begins the stop at the first signal and ends it at the second. Not spawned in `Tasks`,
    /// because shutdown waits for tasks.
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

/// Receives SIGHUP: reload the configuration.
#[derive(Debug)]
pub struct Hangups(Signal);

impl Hangups {
    /// Takes over the signal, which no longer ends the process.
    ///
    /// # Errors
    /// If the handler cannot be registered.
    pub fn listen() -> io::Result<Self> {
        Ok(Self(signal(SignalKind::hangup())?))
    }

    /// Waits for the next signal; several that arrive meanwhile count as one.
    pub async fn next(&mut self) {
        // The stream of signals never ends.
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
