//! A body on its way through HTTP/1.1.

use std::{
    mem,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::response::ResponseTracker;

/// A body whose end is seen. It gives one piece at a time, and none while the client takes nothing:
/// what waits here would only take memory.
///
/// If it breaks, the error is held back until what it gave before has left: the HTTP library drops
/// all it has not written yet when a body fails, and the client would have to fetch it again.
pub(super) struct Http1Body<B: Body> {
    body: B,
    broken: Option<B::Error>,
    /// Whether the next look for bytes waits until the last ones were tried on the client.
    yields_once: bool,
    tracker: ResponseTracker,
}

impl<B: Body> Http1Body<B> {
    pub(super) fn new(body: B, answering: ResponseTracker) -> Self {
        Self {
            body,
            broken: None,
            yields_once: false,
            tracker: answering,
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
            // The library comes back when the client has taken something.
            return Poll::Pending;
        }
        if let Some(broken) = watched.broken.take() {
            return Poll::Ready(Some(Err(broken)));
        }
        if mem::take(&mut watched.yields_once) {
            // The library writes whenever a body has nothing, and then asks again.
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
