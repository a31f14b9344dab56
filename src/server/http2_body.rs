//! Response bodies in HTTP/2, whose flow control lets the client say how much it takes.

use std::{
    mem,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::response::ResponseTracker;

/// Most bytes of one chunk: with the nine bytes of its frame header, one full TLS record. A client
/// that takes less than this within `progress_max` is too slow.
const CHUNK_BYTES_MAX: usize = 16 * 1024 - 9;

/// A body in small chunks. hyper polls for the next one when the client has taken the last; until
/// then the connection waits for the client.
pub(super) struct Http2Body<B> {
    /// `None` in the response to HEAD.
    body: Option<B>,
    rest: Bytes,
    /// Whether a chunk was handed over and the next one not polled for.
    offered: bool,
    tracker: ResponseTracker,
}

impl<B> Http2Body<B> {
    pub(super) fn new(body: Option<B>, tracker: ResponseTracker) -> Self {
        Self {
            body,
            rest: Bytes::new(),
            offered: false,
            tracker,
        }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Http2Body<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.get_mut();
        if mem::take(&mut this.offered) {
            this.tracker.taken();
        }
        if this.rest.is_empty() {
            let Some(body) = &mut this.body else {
                return Poll::Ready(None);
            };
            let frame = match ready!(Pin::new(body).poll_frame(context)) {
                Some(Ok(frame)) => frame.into_data(),
                other => return Poll::Ready(other),
            };
            match frame {
                Ok(bytes) => this.rest = bytes,
                Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
            }
        }
        let bytes = this.rest.len().min(CHUNK_BYTES_MAX);
        let chunk = this.rest.split_to(bytes);
        this.offered = true;
        this.tracker.offered();
        Poll::Ready(Some(Ok(Frame::data(chunk))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    /// Called before the first chunk only.
    fn size_hint(&self) -> SizeHint {
        self.body
            .as_ref()
            .map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

impl<B> Drop for Http2Body<B> {
    fn drop(&mut self) {
        if self.offered {
            self.tracker.taken();
        }
    }
}
