//! An answer on its way: counted, and let out whole even if it breaks.

use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;

use super::{
    activity::{Activity, TransportState},
    limits::ConnectionLimit,
};

/// Counts an answer from its request's head to its body's end.
pub(super) struct ResponseTracker {
    activity: Arc<Activity>,
    /// Where the connection's own place does not suffice.
    permit: Option<OwnedSemaphorePermit>,
}

impl ResponseTracker {
    pub(super) fn new(pulse: Arc<Activity>) -> Self {
        pulse.update(|beat| beat.responses += 1);
        Self {
            activity: pulse,
            permit: None,
        }
    }

    /// Takes a place of its own, unless it is its connection's only answer; whether there was one.
    pub(super) fn take_permit(&mut self, places: &ConnectionLimit) -> bool {
        if self.activity.state().responses > 1 {
            self.permit = places.try_extra();
            return self.permit.is_some();
        }
        true
    }

    /// Whether the client takes nothing at the moment.
    pub(super) fn is_blocked(&self) -> bool {
        self.activity.state().transport == TransportState::Blocked
    }

    /// A piece is at hand for the client.
    pub(super) fn offered(&self) {
        self.activity.update(|beat| beat.responses_blocked += 1);
    }

    /// The client took it, or never will.
    pub(super) fn taken(&self) {
        self.activity.update(|beat| {
            beat.responses_blocked = beat.responses_blocked.saturating_sub(1);
            beat.progress = beat.progress.wrapping_add(1);
        });
    }
}

impl Drop for ResponseTracker {
    fn drop(&mut self) {
        self.activity.update(|beat| {
            beat.responses = beat.responses.saturating_sub(1);
            beat.progress = beat.progress.wrapping_add(1);
        });
    }
}
