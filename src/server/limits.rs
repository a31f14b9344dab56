//! Limits of concurrent connections and requests.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Limits connections over all listeners that share a clone.
#[derive(Clone, Debug)]
pub struct ConnectionLimit {
    pub(super) permits: Arc<Semaphore>,
    /// Permits that extra responses of a connection leave to new connections.
    reserved: usize,
}

/// Limits requests in progress, over all listeners that share a clone.
#[derive(Clone, Debug)]
pub struct RequestLimit(pub(super) Arc<Semaphore>);

impl ConnectionLimit {
    /// Limits connections to this many.
    pub fn new(connections_max: usize) -> Self {
        let permits = connections_max.min(Semaphore::MAX_PERMITS);
        Self {
            permits: Arc::new(Semaphore::new(permits)),
            reserved: permits / 2,
        }
    }

    /// A permit for one more response on a connection that already sends one, because each response
    /// takes a file and memory as a connection does. `None` once half of all permits are taken, so
    /// that a few clients with many requests do not keep others out.
    pub(super) fn try_extra(&self) -> Option<OwnedSemaphorePermit> {
        if self.permits.available_permits() <= self.reserved {
            return None;
        }
        Arc::clone(&self.permits).try_acquire_owned().ok()
    }
}

impl RequestLimit {
    /// Limits requests to this many.
    pub fn new(requests_max: usize) -> Self {
        let permits = requests_max.min(Semaphore::MAX_PERMITS);
        Self(Arc::new(Semaphore::new(permits)))
    }
}
