//! The clock beside a connection.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use futures_util::task::AtomicWaker;
use tokio::time::{Instant, Sleep, sleep_until};

use super::{
    ServerContext, Settings,
    activity::{Activity, ConnectionPhase, PhaseTimer},
};

/// Polls a connection to its end, or to where it has to end. `poll` is told once when the drain
/// begins.
pub(super) async fn run_with_watchdog(
    shared: &ServerContext,
    pulse: &Arc<Activity>,
    mut poll: impl FnMut(&mut Context<'_>, bool) -> Poll<Result<(), hyper::Error>>,
) -> ConnectionEnd {
    let mut watch = Watchdog::new(shared, Arc::clone(pulse));
    poll_fn(|context| {
        let drains = watch.drain_begins(context);
        if let Poll::Ready(result) = poll(context, drains) {
            return Poll::Ready(ConnectionEnd::Served(result));
        }
        watch.poll_end()
    })
    .await
}

/// How a connection ended.
pub(super) enum ConnectionEnd {
    /// The HTTP library is done with it.
    Served(Result<(), hyper::Error>),
    /// Nothing moved for too long.
    TimedOut(ConnectionPhase),
    /// The drain's time is over.
    Drained,
    /// No time is left at all.
    Stopped,
}

/// Decides when a connection has to end although its client does nothing.
struct Watchdog {
    settings: Settings,
    activity: Arc<Activity>,
    phase_timer: PhaseTimer,
    /// Set to the next deadline or an earlier one, so that it is seldom set anew.
    alarm: Pin<Box<Sleep>>,
    draining: Pin<Box<dyn Future<Output = ()> + Send>>,
    over: Pin<Box<dyn Future<Output = ()> + Send>>,
    drained: Option<Instant>,
    wake_flag: Arc<WakeFlag>,
    /// What the clock and the stop wake: it rings the bell.
    timer_waker: Waker,
    /// Whether they have to be asked in this poll, since one of them rang.
    polls_timers: bool,
}

/// Tells a wake by the clock or by the stop from the many by the stream: asking those two takes
/// locks that all connections share.
struct WakeFlag {
    raised: AtomicBool,
    connection: AtomicWaker,
}

impl Wake for WakeFlag {
    fn wake(self: Arc<Self>) {
        self.raised.store(true, Ordering::Release);
        self.connection.wake();
    }
}

impl Watchdog {
    fn new(shared: &ServerContext, pulse: Arc<Activity>) -> Self {
        let now = Instant::now();
        let settings = shared.settings.now();
        let bell = Arc::new(WakeFlag {
            // All of them have to be asked once, to know whom to wake.
            raised: AtomicBool::new(true),
            connection: AtomicWaker::new(),
        });
        Self {
            timer_waker: Waker::from(Arc::clone(&bell)),
            wake_flag: bell,
            polls_timers: false,
            settings,
            activity: pulse,
            phase_timer: PhaseTimer::new(now),
            alarm: Box::pin(sleep_until(now + settings.idle_max)),
            draining: Box::pin(shared.stop.draining()),
            over: Box::pin(shared.stop.ended()),
            drained: None,
        }
    }

    /// True once, when the drain begins. Every poll of the connection begins here.
    fn drain_begins(&mut self, connection: &Context<'_>) -> bool {
        self.wake_flag.connection.register(connection.waker());
        self.polls_timers = self.wake_flag.raised.swap(false, Ordering::Acquire);
        if !self.polls_timers || self.drained.is_some() {
            return false;
        }
        let mut context = Context::from_waker(&self.timer_waker);
        let begins = self.draining.as_mut().poll(&mut context).is_ready();
        if begins {
            self.drained = Some(Instant::now() + self.settings.drain_max);
        }
        begins
    }

    fn poll_end(&mut self) -> Poll<ConnectionEnd> {
        let mut context = Context::from_waker(&self.timer_waker);
        if self.polls_timers && self.over.as_mut().poll(&mut context).is_ready() {
            return Poll::Ready(ConnectionEnd::Stopped);
        }
        let now = Instant::now();
        let still = self
            .phase_timer
            .update(self.activity.state(), now, &self.settings);
        if self.drained.is_some_and(|drained| drained <= now) {
            return Poll::Ready(ConnectionEnd::Drained);
        }
        if still.is_some_and(|still| still <= now) {
            return Poll::Ready(ConnectionEnd::TimedOut(self.phase_timer.phase()));
        }
        let due = [still, self.drained].into_iter().flatten().min();
        if let Some(due) = due
            && (self.alarm.is_elapsed() || due < self.alarm.deadline())
        {
            self.alarm.as_mut().reset(due);
            self.polls_timers = true;
        }
        if self.polls_timers && self.alarm.as_mut().poll(&mut context).is_ready() && due.is_some() {
            // It was set for an earlier deadline, or this one has just come: look again.
            self.timer_waker.wake_by_ref();
        }
        Poll::Pending
    }
}
