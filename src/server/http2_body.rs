//! A body on its way through HTTP/2, whose client says how much it takes.

use std::{
    mem,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::response::ResponseTracker;

/// Most bytes handed over at once: with the nine bytes of its frame's head, as much as one TLS record
/// holds. A client that takes less than this in the time of `progress_max` is too slow.
const CHUNK_BYTES_MAX: usize = 16 * 1024 - 9;

/// A body in small pieces. The HTTP library asks for the next one when the client has taken the
/// last: as long as it does not ask, the client is who is waited for.
pub(super) struct Http2Body<B> {
    /// Nothing for the answer to a HEAD.
    body: Option<B>,
    rest: Bytes,
    /// Whether a piece was handed over, and the next one not asked for.
    offered: bool,
    tracker: ResponseTracker,
}

impl<B> Http2Body<B> {
    pub(super) fn new(body: Option<B>, answering: ResponseTracker) -> Self {
        Self {
            body,
            rest: Bytes::new(),
            offered: false,
            tracker: answering,
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
        let pieces = self.get_mut();
        if mem::take(&mut pieces.offered) {
            pieces.tracker.taken();
        }
        if pieces.rest.is_empty() {
            let Some(body) = &mut pieces.body else {
                return Poll::Ready(None);
            };
            let frame = match ready!(Pin::new(body).poll_frame(context)) {
                Some(Ok(frame)) => frame.into_data(),
                other => return Poll::Ready(other),
            };
            match frame {
                Ok(bytes) => pieces.rest = bytes,
                Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
            }
        }
        let bytes = pieces.rest.len().min(CHUNK_BYTES_MAX);
        let piece = pieces.rest.split_to(bytes);
        pieces.offered = true;
        pieces.tracker.offered();
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    /// Asked for before the first piece.
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
