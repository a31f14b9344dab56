//! How many connections and requests there may be at once.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The places for connections, over all listeners that share a clone.
#[derive(Clone, Debug)]
pub struct ConnectionLimit {
    pub(super) permits: Arc<Semaphore>,
    /// What further answers of one connection leave to connections.
    reserved: usize,
}

/// The places for requests at work, which listeners with clones of it share.
#[derive(Clone, Debug)]
pub struct RequestLimit(pub(super) Arc<Semaphore>);

impl ConnectionLimit {
    /// This many places.
    pub fn new(connections_max: usize) -> Self {
        let places = connections_max.min(Semaphore::MAX_PERMITS);
        Self {
            permits: Arc::new(Semaphore::new(places)),
            reserved: places / 2,
        }
    }

    /// A place for one more answer on a connection that sends one already: that is what a place
    /// is for, a file and memory. Nothing if half of all are taken, so that a few clients who ask
    /// for much keep nobody out.
    pub(super) fn try_extra(&self) -> Option<OwnedSemaphorePermit> {
        if self.permits.available_permits() <= self.reserved {
            return None;
        }
        Arc::clone(&self.permits).try_acquire_owned().ok()
    }
}

impl RequestLimit {
    /// So many places.
    pub fn new(requests_max: usize) -> Self {
        let places = requests_max.min(Semaphore::MAX_PERMITS);
        Self(Arc::new(Semaphore::new(places)))
    }
}
