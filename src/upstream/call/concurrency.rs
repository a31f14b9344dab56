//! How many requests run at once.

use std::sync::Arc;

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout_at},
};

use super::request::RequestKind;

/// Places for requests. Blobs never take the last quarter: they hold theirs for minutes, and a
/// manifest must not wait behind them.
#[derive(Debug)]
pub(in crate::upstream) struct ConcurrencyLimit {
    all: Arc<Semaphore>,
    blobs: Arc<Semaphore>,
}

/// A place, held until the body has been read.
#[derive(Debug)]
pub(in crate::upstream) struct ConcurrencyPermit {
    _all: OwnedSemaphorePermit,
    _blob: Option<OwnedSemaphorePermit>,
}

impl ConcurrencyLimit {
    /// So many places.
    pub(in crate::upstream) fn new(concurrent_max: usize) -> Self {
        let all = concurrent_max.clamp(1, Semaphore::MAX_PERMITS);
        Self {
            all: Arc::new(Semaphore::new(all)),
            blobs: Arc::new(Semaphore::new(all - all / 4)),
        }
    }

    /// Waits for a place; none when the deadline passed.
    pub(in crate::upstream) async fn acquire(
        &self,
        kind: RequestKind,
        deadline: Instant,
    ) -> Option<ConcurrencyPermit> {
        let take = async {
            // A blob's own place first: it must not hold one of everybody's while it waits.
            let blob = if kind.is_long_transfer() {
                Some(Arc::clone(&self.blobs).acquire_owned().await.ok()?)
            } else {
                None
            };
            let all = Arc::clone(&self.all).acquire_owned().await.ok()?;
            Some(ConcurrencyPermit {
                _all: all,
                _blob: blob,
            })
        };
        timeout_at(deadline, take).await.ok().flatten()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn blobs_leave_places_for_manifests() {
        let turns = ConcurrencyLimit::new(4);
        let soon = || Instant::now() + Duration::from_secs(1);
        let mut held = Vec::new();
        for _ in 0..3 {
            held.push(turns.acquire(RequestKind::Blob, soon()).await.unwrap());
        }
        assert!(turns.acquire(RequestKind::Blob, soon()).await.is_none());
        held.push(turns.acquire(RequestKind::Tags, soon()).await.unwrap());
        assert!(turns.acquire(RequestKind::Tags, soon()).await.is_none());
        held.clear();
        assert!(turns.acquire(RequestKind::Blob, soon()).await.is_some());
        assert!(
            ConcurrencyLimit::new(0)
                .acquire(RequestKind::Blob, soon())
                .await
                .is_some()
        );
    }
}
