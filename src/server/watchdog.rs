//! Ends connections that make no progress, and those left at the end of a drain.

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

/// Polls a connection until it ends or has to be ended. `poll` gets `true` once, when the drain
/// begins.
pub(super) async fn run_with_watchdog(
    shared: &ServerContext,
    activity: &Arc<Activity>,
    mut poll: impl FnMut(&mut Context<'_>, bool) -> Poll<Result<(), hyper::Error>>,
) -> ConnectionEnd {
    let mut watchdog = Watchdog::new(shared, Arc::clone(activity));
    poll_fn(|context| {
        let drains = watchdog.drain_begins(context);
        if let Poll::Ready(result) = poll(context, drains) {
            return Poll::Ready(ConnectionEnd::Served(result));
        }
        watchdog.poll_end()
    })
    .await
}

/// How a connection ended.
pub(super) enum ConnectionEnd {
    /// hyper is done with it.
    Served(Result<(), hyper::Error>),
    /// It made no progress for too long.
    TimedOut(ConnectionPhase),
    /// The drain's time is over.
    Drained,
    /// The stop ended every connection at once.
    Stopped,
}

/// Decides when a connection has to be ended.
struct Watchdog {
    settings: Settings,
    activity: Arc<Activity>,
    phase_timer: PhaseTimer,
    /// Set to the next deadline or an earlier one, so that it is seldom reset.
    alarm: Pin<Box<Sleep>>,
    draining: Pin<Box<dyn Future<Output = ()> + Send>>,
    over: Pin<Box<dyn Future<Output = ()> + Send>>,
    drained: Option<Instant>,
    wake_flag: Arc<WakeFlag>,
    /// Woken by the alarm and by the stop; raises `wake_flag`.
    timer_waker: Waker,
    /// Whether this poll has to poll them, because one of them woke it.
    polls_timers: bool,
}

/// Tells a wake by the alarm or the stop from the many by the stream: polling those two takes locks
/// that all connections share.
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
    fn new(shared: &ServerContext, activity: Arc<Activity>) -> Self {
        let now = Instant::now();
        let settings = shared.settings.now();
        let wake_flag = Arc::new(WakeFlag {
            // Each of them has to be polled once to register its waker.
            raised: AtomicBool::new(true),
            connection: AtomicWaker::new(),
        });
        Self {
            timer_waker: Waker::from(Arc::clone(&wake_flag)),
            wake_flag,
            polls_timers: false,
            settings,
            activity,
            phase_timer: PhaseTimer::new(now),
            alarm: Box::pin(sleep_until(now + settings.idle_max)),
            draining: Box::pin(shared.stop.draining()),
            over: Box::pin(shared.stop.ended()),
            drained: None,
        }
    }

    /// True once, when the drain begins. Called first in every poll of the connection.
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
        let deadline = self
            .phase_timer
            .update(self.activity.state(), now, &self.settings);
        if self.drained.is_some_and(|drained| drained <= now) {
            return Poll::Ready(ConnectionEnd::Drained);
        }
        if deadline.is_some_and(|deadline| deadline <= now) {
            return Poll::Ready(ConnectionEnd::TimedOut(self.phase_timer.phase()));
        }
        let due = [deadline, self.drained].into_iter().flatten().min();
        if let Some(due) = due
            && (self.alarm.is_elapsed() || due < self.alarm.deadline())
        {
            self.alarm.as_mut().reset(due);
            self.polls_timers = true;
        }
        if self.polls_timers && self.alarm.as_mut().poll(&mut context).is_ready() && due.is_some() {
            // It was set for an earlier deadline, or this one is due just now: poll again.
            self.timer_waker.wake_by_ref();
        }
        Poll::Pending
    }
}
