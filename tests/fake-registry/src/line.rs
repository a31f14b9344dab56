//! One client's connection, which can end in ways that hyper does not offer.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

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

/// A connection, with or without TLS.
#[derive(Debug)]
pub(crate) enum Socket {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Socket {
    fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(tcp) => tcp,
            Self::Tls(tls) => tls.get_ref().0,
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_read(cx, buffer),
            Self::Tls(tls) => Pin::new(tls).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_write(cx, bytes),
            Self::Tls(tls) => Pin::new(tls).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_write_vectored(cx, slices),
            Self::Tls(tls) => Pin::new(tls).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(tcp) => tcp.is_write_vectored(),
            Self::Tls(tls) => tls.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_flush(cx),
            Self::Tls(tls) => Pin::new(tls).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Self::Tls(tls) => Pin::new(tls).poll_shutdown(cx),
        }
    }
}

/// The socket under hyper.
///
/// hyper flushes the transport only when its own buffer is empty, so an ending carried out in
/// `poll_flush` comes exactly after the bytes that were to be sent.
#[derive(Debug)]
pub(crate) struct Wire {
    socket: TokioIo<Socket>,
    line: Arc<Line>,
}

impl Wire {
    pub(crate) fn new(socket: Socket, line: Arc<Line>) -> Self {
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
            Close::Reset => self.socket.inner().tcp().set_zero_linger()?,
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
