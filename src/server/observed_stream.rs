//! A stream between hyper and the client that observes every read and write.

use std::{
    io,
    io::IoSlice,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{
    activity::{Activity, TransportState},
    client_stream::ClientStream,
};
use crate::wire::SendfileQueue;

/// Scans the bytes read, to know where in a protocol the client is.
pub(super) trait Scan {
    /// Whether every written byte counts as progress of a response.
    const WRITING_IS_PROGRESS: bool;
    /// Why bytes must not reach the parser.
    type Refused;

    /// Scans the next bytes.
    fn scan(&mut self, bytes: &[u8]) -> Result<(), Self::Refused>;

    /// Whether a head has begun and not ended.
    fn is_within_head(&self) -> bool;
}

/// Reports reads and writes to an [`Activity`], and returns the inner stream there when dropped:
/// hyper drops its stream, but `connection` decides how the connection ends.
#[derive(Debug)]
pub(super) struct ObservedStream<R> {
    /// Some until the drop.
    stream: Option<ClientStream>,
    sendfile_queue: Option<SendfileQueue>,
    scanner: R,
    activity: Arc<Activity>,
}

impl<R: Scan> ObservedStream<R> {
    pub(super) fn new(stream: ClientStream, scanner: R, activity: Arc<Activity>) -> Self {
        Self {
            sendfile_queue: stream.sendfile_queue(),
            stream: Some(stream),
            scanner,
            activity,
        }
    }

    /// The queue for parts of files to be sent by sendfile.
    pub(super) fn sendfile_queue(&self) -> Option<SendfileQueue> {
        self.sendfile_queue.clone()
    }

    fn stream(&mut self) -> io::Result<Pin<&mut ClientStream>> {
        let stream = self.stream.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        Ok(Pin::new(stream))
    }

    fn wrote(&self, outcome: &Poll<io::Result<usize>>) {
        self.activity.update(|state| match outcome {
            Poll::Ready(Ok(bytes)) => {
                if *bytes > 0
                    && (R::WRITING_IS_PROGRESS || state.transport == TransportState::Blocked)
                {
                    state.progress = state.progress.wrapping_add(1);
                }
                if state.transport == TransportState::Blocked {
                    state.transport = TransportState::Ready;
                }
            }
            // A file that ended early; the connection still ends in order.
            Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {}
            Poll::Ready(Err(_broken)) => state.transport = TransportState::Closed,
            Poll::Pending => state.transport = TransportState::Blocked,
        });
    }

    fn read(&mut self, fresh: &[u8]) -> io::Result<()> {
        if fresh.is_empty() {
            self.activity
                .update(|state| state.transport = TransportState::Closed);
            return Ok(());
        }
        let outcome = self.scanner.scan(fresh);
        let within_head = self.scanner.is_within_head();
        self.activity.update(|state| {
            state.within_head = within_head;
            if outcome.is_err() {
                state.transport = TransportState::Malformed;
            }
        });
        outcome.map_err(|_refused| io::ErrorKind::InvalidData.into())
    }
}

impl<R: Scan + Unpin> AsyncRead for ObservedStream<R> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let observed = self.get_mut();
        let before = buffer.filled().len();
        let room = buffer.remaining();
        match observed.stream()?.poll_read(context, buffer) {
            Poll::Ready(Ok(())) if room > 0 => {
                let fresh = buffer.filled().get(before..).unwrap_or_default();
                Poll::Ready(observed.read(fresh))
            }
            Poll::Ready(Err(broken)) => {
                observed
                    .activity
                    .update(|state| state.transport = TransportState::Closed);
                Poll::Ready(Err(broken))
            }
            other => other,
        }
    }
}

impl<R: Scan + Unpin> AsyncWrite for ObservedStream<R> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(context, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let observed = self.get_mut();
        let stream = observed
            .stream
            .as_mut()
            .ok_or(io::ErrorKind::NotConnected)?;
        let outcome = Pin::new(stream).poll_send(context, slices, observed.sendfile_queue.as_ref());
        observed.wrote(&outcome);
        outcome
    }

    /// True for a plain stream: hyper then queues a body's buffers instead of copying them.
    fn is_write_vectored(&self) -> bool {
        self.stream
            .as_ref()
            .is_some_and(AsyncWrite::is_write_vectored)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().stream()?.poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().stream()?.poll_shutdown(context)
    }
}

impl<R> Drop for ObservedStream<R> {
    fn drop(&mut self) {
        *self.activity.returned_stream.lock() = self.stream.take();
    }
}
