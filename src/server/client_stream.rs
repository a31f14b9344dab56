//! One stream type for TCP, Unix and TLS connections.

use std::{
    io,
    io::IoSlice,
    os::fd::AsFd,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, Interest, ReadBuf},
    net::{TcpStream, UnixStream},
    time::timeout,
};
use tokio_rustls::server::TlsStream;

use crate::wire::{SendfileQueue, is_placeholder, unexpected_placeholder};

/// Time and bytes for which we read on after our last byte: closing with unread bytes resets the
/// connection, and a reset may overtake the response.
const LINGER_MAX: Duration = Duration::from_secs(1);
const LINGER_BYTES_MAX: usize = 64 * 1024;

/// An accepted connection.
#[derive(Debug)]
pub(super) enum ClientStream {
    Tcp(TcpStream),
    Unix(UnixStream),
    /// TLS over either of them, after the handshake.
    Tls(Box<TlsStream<Self>>),
}

impl ClientStream {
    /// A new sendfile queue where the kernel can send files: on a plain-text TCP connection.
    pub(super) fn sendfile_queue(&self) -> Option<SendfileQueue> {
        match self {
            Self::Tcp(stream) => Some(SendfileQueue::of(stream)),
            Self::Unix(_) | Self::Tls(_) => None,
        }
    }

    /// Writes `slices`; placeholders only with the sendfile queue that holds their files.
    pub(super) fn poll_send(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
        queue: Option<&SendfileQueue>,
    ) -> Poll<io::Result<usize>> {
        match (&*self, queue) {
            (Self::Tcp(stream), Some(queue)) => poll_sendfile(stream, queue, slices, context),
            _ if slices.iter().any(|slice| is_placeholder(slice)) => {
                Poll::Ready(Err(unexpected_placeholder()))
            }
            _ => self.poll_write_vectored(context, slices),
        }
    }
}

fn poll_sendfile(
    stream: &TcpStream,
    queue: &SendfileQueue,
    slices: &[IoSlice<'_>],
    context: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    loop {
        ready!(stream.poll_write_ready(context))?;
        let send = || queue.send(stream.as_fd(), slices);
        match stream.try_io(Interest::WRITABLE, send) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            outcome => return Poll::Ready(outcome),
        }
    }
}

/// Ends with FIN, so that a client which received a part requests the rest instead of giving up.
pub(super) async fn lingering_close(mut stream: ClientStream) {
    let reading = async {
        if stream.shutdown().await.is_err() {
            return;
        }
        let mut unwanted = vec![0; 4096];
        let mut left = LINGER_BYTES_MAX;
        while let Ok(read @ 1..) = stream.read(&mut unwanted).await {
            left = left.saturating_sub(read);
            if left == 0 {
                return;
            }
        }
    };
    // The connection ends either way.
    let _late = timeout(LINGER_MAX, reading).await.is_err();
}

/// Delegates a call to the inner stream.
macro_rules! each {
    ($stream:expr, $inner:ident => $call:expr) => {
        match $stream.get_mut() {
            ClientStream::Tcp(stream) => {
                let $inner = Pin::new(stream);
                $call
            }
            ClientStream::Unix(stream) => {
                let $inner = Pin::new(stream);
                $call
            }
            ClientStream::Tls(stream) => {
                let $inner = Pin::new(stream);
                $call
            }
        }
    };
}

impl AsyncRead for ClientStream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        each!(self, stream => stream.poll_read(context, buffer))
    }
}

impl AsyncWrite for ClientStream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        each!(self, stream => stream.poll_write(context, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        each!(self, stream => stream.poll_write_vectored(context, slices))
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Tcp(stream) => stream.is_write_vectored(),
            Self::Unix(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => stream.poll_flush(context))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => stream.poll_shutdown(context))
    }
}
