//! A client that costs next to nothing: one connection, one GET after another, and bodies are
//! dropped without a copy unless they are compared.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use rustix::net::{RecvFlags, recv};

use crate::{Fallible, bodies::Body, gauge::length};

/// What every client sends, so that all servers choose the same manifest.
pub(crate) const ACCEPT: &str = "Accept: application/vnd.oci.image.manifest.v1+json, */*";

const HEAD_BYTES_MAX: usize = 16 * 1024;
const CHUNK_BYTES: usize = 1024 * 1024;
/// A server that is silent for so long has failed.
const SILENCE_MAX: Duration = Duration::from_mins(1);

/// An open connection to a server.
pub(crate) struct Connection<S> {
    stream: S,
    chunk: Vec<u8>,
}

/// An answer whose head was read, and perhaps the begin of its body.
pub(crate) struct Answer {
    /// The bytes of the chunk that belong to the body.
    early: std::ops::Range<usize>,
    length: usize,
}

/// Gets a body once and looks at each byte. A mirror has it from then on.
pub(crate) fn check(address: SocketAddr, body: &Body) -> Fallible<()> {
    let mut connection = Connection::over(connect(address)?);
    let answer = connection.ask(&body.target)?;
    connection.compare(&answer, &body.bytes)
}

pub(crate) fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(SILENCE_MAX))?;
    Ok(stream)
}

impl<S: Read + Write> Connection<S> {
    pub(crate) fn over(stream: S) -> Self {
        let chunk = vec![0; CHUNK_BYTES];
        Self { stream, chunk }
    }

    /// Asks and reads the head; anything but 200 with a length is an error.
    pub(crate) fn ask(&mut self, target: &str) -> Fallible<Answer> {
        let head = format!("GET {target} HTTP/1.1\r\nHost: 127.0.0.1\r\n{ACCEPT}\r\n\r\n");
        self.stream.write_all(head.as_bytes())?;
        let mut end = 0;
        loop {
            let room = self.chunk.get_mut(end..HEAD_BYTES_MAX).ok_or("long head")?;
            let count = self.stream.read(room)?;
            if count == 0 {
                return Err(format!("{target}: closed before an answer").into());
            }
            end += count;
            let read = self.chunk.get(..end).unwrap_or_default();
            if let Some(before) = read.windows(4).position(|four| four == b"\r\n\r\n") {
                let text = String::from_utf8_lossy(read.get(..before).unwrap_or_default());
                let length = length(&text).ok_or_else(|| format!("{target}: {text}"))?;
                let early = before + 4..end;
                return Ok(Answer { early, length });
            }
        }
    }

    /// Reads a body and holds it against the one that it should be.
    pub(crate) fn compare(&mut self, answer: &Answer, expected: &[u8]) -> Fallible<()> {
        if answer.length != expected.len() {
            return Err(format!("{} bytes instead of {}", answer.length, expected.len()).into());
        }
        let (mut got, mut rest) = (answer.early.clone(), expected);
        loop {
            let bytes = self.chunk.get(got).unwrap_or_default();
            rest = rest.strip_prefix(bytes).ok_or("wrong bytes in a body")?;
            if rest.is_empty() {
                return Ok(());
            }
            got = 0..self.stream.read(&mut self.chunk)?;
            if got.is_empty() {
                return Err(format!("a body ends {} bytes short", rest.len()).into());
            }
        }
    }
}

impl Connection<TcpStream> {
    /// Lets the kernel drop a body unseen, as long as `go_on` likes the count of its bytes so far.
    /// Returns how many came.
    pub(crate) fn discard(
        &mut self,
        answer: &Answer,
        mut go_on: impl FnMut(usize) -> bool,
    ) -> Fallible<usize> {
        let mut count = answer.early.len();
        while go_on(count) && count < answer.length {
            let most = CHUNK_BYTES.min(answer.length - count);
            let room = self.chunk.get_mut(..most).unwrap_or_default();
            match recv(&self.stream, room, RecvFlags::TRUNC)? {
                (_, 0) => return Err(format!("a body ends after {count} bytes").into()),
                (_, more) => count += more,
            }
        }
        Ok(count)
    }
}
