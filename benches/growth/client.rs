//! A client that costs little: one connection, one GET after another.

use std::{io, net::SocketAddr};

use rustix::net::{RecvFlags, recv};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, Interest},
    net::TcpStream,
    time::Instant,
};

use crate::{Fallible, gauge::length};

const BUFFER_BYTES: usize = 16 * 1024;
/// How much of a large body is dropped in one call.
const DROP_BYTES: usize = 256 * 1024;

/// An open connection.
pub(crate) struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Fallible<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let buffer = Vec::new();
        Ok(Self { stream, buffer })
    }

    /// Gets something small, whole.
    pub(crate) async fn hit(&mut self, target: &str) -> Fallible<()> {
        let mut rest = self.ask(target).await?;
        self.buffer.resize(BUFFER_BYTES, 0);
        while rest > 0 {
            match self.stream.read(&mut self.buffer).await? {
                0 => return Err(format!("{target}: {rest} bytes are missing").into()),
                count => rest = rest.saturating_sub(count),
            }
        }
        Ok(())
    }

    /// Gets something large again and again, whose bytes the kernel drops unseen; how many came
    /// in time.
    pub(crate) async fn stream_until(&mut self, target: &str, end: Instant) -> Fallible<u64> {
        let mut bytes = 0;
        loop {
            let mut rest = self.ask(target).await?;
            while rest > 0 {
                if Instant::now() >= end {
                    return Ok(bytes);
                }
                let count = self.drop_some(rest).await?;
                if count == 0 {
                    return Err(format!("{target}: {rest} bytes are missing").into());
                }
                rest = rest.saturating_sub(count);
                bytes += u64::try_from(count)?;
            }
        }
    }

    async fn drop_some(&mut self, rest: usize) -> io::Result<usize> {
        self.buffer.resize(DROP_BYTES, 0);
        let (stream, buffer) = (&self.stream, &mut self.buffer);
        let room = buffer.get_mut(..rest.min(DROP_BYTES)).unwrap_or_default();
        let receive = || Ok(recv(stream, &mut *room, RecvFlags::TRUNC)?.1);
        stream.async_io(Interest::READABLE, receive).await
    }

    /// Asks and reads the head; how many bytes of the body are still to come.
    async fn ask(&mut self, target: &str) -> Fallible<usize> {
        let request = format!("GET {target} HTTP/1.1\r\nHost: mirror.example\r\n\r\n");
        self.stream.write_all(request.as_bytes()).await?;
        self.buffer.resize(BUFFER_BYTES, 0);
        let mut end = 0;
        loop {
            let room = self.buffer.get_mut(end..).unwrap_or_default();
            let count = self.stream.read(room).await?;
            if count == 0 {
                return Err(format!("{target}: no answer").into());
            }
            end += count;
            let read = self.buffer.get(..end).unwrap_or_default();
            let Some(head) = read.windows(4).position(|four| four == b"\r\n\r\n") else {
                continue;
            };
            let text = String::from_utf8_lossy(read.get(..head).unwrap_or_default());
            let length = length(&text).ok_or_else(|| format!("{target}: {text}"))?;
            return Ok(length.saturating_sub(end - head - 4));
        }
    }
}
