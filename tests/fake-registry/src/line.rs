//! One client's connection, which can be ended in ways hyper would not end it.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::net::TcpStream;

/// How a connection ends, once all that hyper has written so far is on its way.
#[derive(Debug, Clone)]
pub(crate) struct Ending {
    /// Sent outside of HTTP, before the end.
    pub(crate) last_words: Bytes,
    pub(crate) close: Close,
    /// What hyper writes from now on is swallowed.
    pub(crate) mute: bool,
}

/// What the client's kernel is told.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Close {
    /// That was all.
    Fin,
    /// Something broke; what is still under way is lost.
    Reset,
}

impl Ending {
    pub(crate) fn fin() -> Self {
        Self {
            last_words: Bytes::new(),
            close: Close::Fin,
            mute: false,
        }
    }

    pub(crate) fn reset() -> Self {
        Self {
            close: Close::Reset,
            ..Self::fin()
        }
    }

    /// `bytes` in place of an answer, then FIN.
    pub(crate) fn instead(bytes: Bytes) -> Self {
        Self {
            last_words: bytes,
            close: Close::Fin,
            mute: true,
        }
    }

    /// `bytes` behind an answer, then FIN.
    pub(crate) fn after(bytes: Bytes) -> Self {
        Self {
            last_words: bytes,
            ..Self::fin()
        }
    }
}

/// Where an answer's body leaves the ending for its connection.
#[derive(Debug, Default)]
pub(crate) struct Line {
    ending: Mutex<Option<Ending>>,
}

impl Line {
    /// Ends the connection at its next flush, which hyper makes in the same turn.
    pub(crate) fn end(&self, ending: Ending) {
        *self.ending.lock() = Some(ending);
    }
}

/// The socket under hyper.
///
/// hyper flushes the transport only when its own buffer is empty, so an ending carried out in
/// `poll_flush` comes exactly after the bytes that were to be sent.
#[derive(Debug)]
pub(crate) struct Wire {
    socket: TokioIo<TcpStream>,
    line: Arc<Line>,
}

impl Wire {
    pub(crate) fn new(socket: TcpStream, line: Arc<Line>) -> Self {
        Self {
            socket: TokioIo::new(socket),
            line,
        }
    }

    fn mute(&self) -> bool {
        self.line
            .ending
            .lock()
            .as_ref()
            .is_some_and(|ending| ending.mute)
    }

    fn poll_end(&mut self, cx: &mut Context<'_>, mut ending: Ending) -> Poll<io::Result<()>> {
        while !ending.last_words.is_empty() {
            let Poll::Ready(sent) = Pin::new(&mut self.socket).poll_write(cx, &ending.last_words)
            else {
                self.line.end(ending);
                return Poll::Pending;
            };
            ending.last_words.advance(sent?);
        }
        match ending.close {
            Close::Fin => ready!(Pin::new(&mut self.socket).poll_shutdown(cx))?,
            Close::Reset => self.socket.inner().set_zero_linger()?,
        }
        Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()))
    }
}

impl Read for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(cx, buffer)
    }
}

impl Write for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.mute() {
            return Poll::Ready(Ok(bytes.len()));
        }
        Pin::new(&mut self.socket).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.mute() {
            return Poll::Ready(Ok(slices.iter().map(|slice| slice.len()).sum()));
        }
        Pin::new(&mut self.socket).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let ending = self.line.ending.lock().take();
        match ending {
            Some(ending) => self.poll_end(cx, ending),
            None => Pin::new(&mut self.socket).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}
