//! Response bodies in HTTP/1.1.

use std::{
    mem,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::response::ResponseTracker;

/// A body whose end is tracked. It yields one chunk at a time, and none while the client takes
/// nothing, because waiting chunks would only take memory.
///
/// If it fails, the error is held back until the chunks before it are written: hyper drops all
/// unwritten bytes when a body fails, and the client would have to fetch them again.
pub(super) struct Http1Body<B: Body> {
    body: B,
    broken: Option<B::Error>,
    /// Whether the next poll yields once, so that hyper first writes the last chunk.
    yields_once: bool,
    tracker: ResponseTracker,
}

impl<B: Body> Http1Body<B> {
    pub(super) fn new(body: B, tracker: ResponseTracker) -> Self {
        Self {
            body,
            broken: None,
            yields_once: false,
            tracker,
        }
    }
}

impl<B: Body<Data = Bytes, Error: Unpin> + Unpin> Body for Http1Body<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let watched = self.get_mut();
        if watched.tracker.is_blocked() {
            // hyper polls again when the client has taken bytes.
            return Poll::Pending;
        }
        if let Some(broken) = watched.broken.take() {
            return Poll::Ready(Some(Err(broken)));
        }
        if mem::take(&mut watched.yields_once) {
            // hyper writes whenever a body is pending, and then polls again.
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let frame = ready!(Pin::new(&mut watched.body).poll_frame(context));
        if let Some(Err(broken)) = frame {
            watched.broken = Some(broken);
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        watched.yields_once = true;
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
