//! Counts the responses of a connection while they are sent.

use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;

use super::{
    activity::{Activity, TransportState},
    limits::ConnectionLimit,
};

/// Counts a response from its request's head to its body's end.
pub(super) struct ResponseTracker {
    activity: Arc<Activity>,
    /// Held by every concurrent response after the connection's first.
    permit: Option<OwnedSemaphorePermit>,
}

impl ResponseTracker {
    pub(super) fn new(activity: Arc<Activity>) -> Self {
        activity.update(|state| state.responses += 1);
        Self {
            activity,
            permit: None,
        }
    }

    /// Takes a permit unless this is the connection's only response; `false` if none was left.
    pub(super) fn take_permit(&mut self, limit: &ConnectionLimit) -> bool {
        if self.activity.state().responses > 1 {
            self.permit = limit.try_extra();
            return self.permit.is_some();
        }
        true
    }

    /// Whether the client takes no bytes at the moment.
    pub(super) fn is_blocked(&self) -> bool {
        self.activity.state().transport == TransportState::Blocked
    }

    /// Reports that a chunk waits for the client.
    pub(super) fn offered(&self) {
        self.activity.update(|state| state.responses_blocked += 1);
    }

    /// Reports that the client took it, or never will.
    pub(super) fn taken(&self) {
        self.activity.update(|state| {
            state.responses_blocked = state.responses_blocked.saturating_sub(1);
            state.progress = state.progress.wrapping_add(1);
        });
    }
}

impl Drop for ResponseTracker {
    fn drop(&mut self) {
        self.activity.update(|state| {
            state.responses = state.responses.saturating_sub(1);
            state.progress = state.progress.wrapping_add(1);
        });
    }
}
