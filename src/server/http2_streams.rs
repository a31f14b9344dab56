//! The requests in flight on one HTTP/2 connection.

use std::{
    fmt,
    future::Future,
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use futures_util::{StreamExt, stream::FuturesUnordered};
use hyper::rt::Executor;
use parking_lot::Mutex;

type StreamFuture = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Runs them on the connection's own task: they end with it at any point, and what they report to
/// its activity is never seen late.
#[derive(Default)]
pub(super) struct Http2Streams {
    executor: StreamExecutor,
    running: FuturesUnordered<StreamFuture>,
}

/// Takes them from hyper, which bounds their number by its settings.
#[derive(Clone, Default)]
pub(super) struct StreamExecutor(Arc<Mutex<Vec<StreamFuture>>>);

impl Http2Streams {
    /// The executor for hyper.
    pub(super) fn executor(&self) -> StreamExecutor {
        self.executor.clone()
    }

    /// Whether a request arrived since the last [`Http2Streams::poll`].
    pub(super) fn has_new(&self) -> bool {
        !self.executor.0.lock().is_empty()
    }

    /// Polls every request that was woken.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) {
        self.running.extend(self.executor.take());
        while self.running.poll_next_unpin(context) == Poll::Ready(Some(())) {}
    }
}

impl StreamExecutor {
    fn take(&self) -> Vec<StreamFuture> {
        mem::take(&mut *self.0.lock())
    }
}

impl Drop for Http2Streams {
    /// Breaks a reference cycle: each request holds an executor, which holds the new requests.
    fn drop(&mut self) {
        drop(self.executor.take());
    }
}

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for StreamExecutor {
    fn execute(&self, work: F) {
        self.0.lock().push(Box::pin(work));
    }
}

impl fmt::Debug for StreamExecutor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("StreamExecutor")
            .finish_non_exhaustive()
    }
}
