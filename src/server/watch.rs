//! The clock beside a connection.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use tokio::time::{Instant, Sleep, sleep_until};

use super::{
    Settings, Shared,
    deadline::{Phase, Pulse, Stillness},
};

/// Polls a connection to its end, or to where it has to end. `poll` is told once when the drain
/// begins.
pub(super) async fn watched(
    shared: &Shared,
    pulse: &Arc<Pulse>,
    mut poll: impl FnMut(&mut Context<'_>, bool) -> Poll<Result<(), hyper::Error>>,
) -> End {
    let mut watch = Watch::new(shared, Arc::clone(pulse));
    poll_fn(|context| {
        let drains = watch.drain_begins(context);
        if let Poll::Ready(result) = poll(context, drains) {
            return Poll::Ready(End::Done(result));
        }
        watch.poll_late(context)
    })
    .await
}

/// How a connection ended.
pub(super) enum End {
    /// The HTTP library is done with it.
    Done(Result<(), hyper::Error>),
    /// Nothing moved for too long.
    Late(Phase),
    /// The drain's time is over.
    Drained,
    /// No time is left at all.
    Over,
}

/// Decides when a connection has to end although its client does nothing.
struct Watch {
    settings: Settings,
    pulse: Arc<Pulse>,
    stillness: Stillness,
    /// Set to the next deadline or an earlier one, so that it is seldom set anew.
    alarm: Pin<Box<Sleep>>,
    draining: Pin<Box<dyn Future<Output = ()> + Send>>,
    over: Pin<Box<dyn Future<Output = ()> + Send>>,
    drained: Option<Instant>,
}

impl Watch {
    fn new(shared: &Shared, pulse: Arc<Pulse>) -> Self {
        let now = Instant::now();
        let settings = shared.settings.now();
        Self {
            settings,
            pulse,
            stillness: Stillness::new(now),
            alarm: Box::pin(sleep_until(now + settings.idle_max)),
            draining: Box::pin(shared.stop.draining()),
            over: Box::pin(shared.stop.ended()),
            drained: None,
        }
    }

    /// True once, when the drain begins.
    fn drain_begins(&mut self, context: &mut Context<'_>) -> bool {
        let begins = self.drained.is_none() && self.draining.as_mut().poll(context).is_ready();
        if begins {
            self.drained = Some(Instant::now() + self.settings.drain_max);
        }
        begins
    }

    fn poll_late(&mut self, context: &mut Context<'_>) -> Poll<End> {
        if self.over.as_mut().poll(context).is_ready() {
            return Poll::Ready(End::Over);
        }
        let now = Instant::now();
        let still = self
            .stillness
            .settle(self.pulse.beat(), now, &self.settings);
        if self.drained.is_some_and(|drained| drained <= now) {
            return Poll::Ready(End::Drained);
        }
        if still.is_some_and(|still| still <= now) {
            return Poll::Ready(End::Late(self.stillness.phase()));
        }
        let Some(due) = [still, self.drained].into_iter().flatten().min() else {
            return Poll::Pending;
        };
        if self.alarm.is_elapsed() || due < self.alarm.deadline() {
            self.alarm.as_mut().reset(due);
        }
        ready!(self.alarm.as_mut().poll(context));
        // It was set for an earlier deadline, or this one has just come: look again.
        context.waker().wake_by_ref();
        Poll::Pending
    }
}
