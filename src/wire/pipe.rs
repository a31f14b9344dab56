//! A file that is not one: it remembers only what its one reader has not taken yet.

use std::{collections::VecDeque, io};

use bytes::{Buf, Bytes};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::disk::{File, Stat};

/// How much is held before the writer has to wait: what is held back from readers anyway, and as
/// much again on its way.
const PIPE_BYTES_MAX: usize = 128 * 1024;

/// Bytes in memory between one writer and one reader, who both go forward only.
#[derive(Debug)]
pub struct Pipe {
    contents: Mutex<PipeContents>,
    room: Notify,
}

#[derive(Debug)]
struct PipeContents {
    /// The offset of the first byte that is held.
    first: u64,
    chunks: VecDeque<Bytes>,
    bytes: usize,
}

impl Pipe {
    /// Nothing held yet; the first byte will have this offset.
    pub fn new(first: u64) -> Self {
        Self {
            contents: Mutex::new(PipeContents {
                first,
                chunks: VecDeque::new(),
                bytes: 0,
            }),
            room: Notify::new(),
        }
    }

    /// Takes the next bytes, once the reader has made room for them.
    pub async fn push(&self, chunk: Bytes) {
        // The reader's permit waits for us if it comes before we do.
        while self.contents.lock().bytes >= PIPE_BYTES_MAX {
            self.room.notified().await;
        }
        let mut held = self.contents.lock();
        held.bytes += chunk.len();
        held.chunks.push_back(chunk);
    }
}

impl PipeContents {
    /// Lets go of what lies before `offset`.
    fn forget(&mut self, offset: u64) {
        while let Some(chunk) = self.chunks.front_mut()
            && self.first < offset
        {
            let before = usize::try_from(offset - self.first).unwrap_or(usize::MAX);
            let taken = before.min(chunk.len());
            chunk.advance(taken);
            if chunk.is_empty() {
                self.chunks.pop_front();
            }
            self.bytes -= taken;
            self.first += u64::try_from(taken).unwrap_or(u64::MAX);
        }
    }
}

impl File for Pipe {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut held = self.contents.lock();
        held.forget(offset);
        if held.first != offset {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let mut read = 0;
        for chunk in &held.chunks {
            let rest = buffer.get_mut(read..).unwrap_or_default();
            let length = rest.len().min(chunk.len());
            if let (Some(to), Some(from)) = (rest.get_mut(..length), chunk.get(..length)) {
                to.copy_from_slice(from);
            }
            read += length;
        }
        // Now, not at the next read: for that the reader may be waiting for the writer.
        held.forget(offset + u64::try_from(read).unwrap_or_default());
        drop(held);
        self.room.notify_one();
        Ok(read)
    }

    fn write_at(&self, _bytes: &[u8], _offset: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn truncate(&self, _length: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn sync(&self) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn stat(&self) -> io::Result<Stat> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn a_reader_gets_what_is_pushed_and_makes_room() {
        let ring = Pipe::new(7);
        ring.push(Bytes::from_static(b"abc"))
            .now_or_never()
            .unwrap();
        ring.push(Bytes::from_static(b"def"))
            .now_or_never()
            .unwrap();
        let mut buffer = [0; 4];
        assert_eq!(ring.read_at(&mut buffer, 7).unwrap(), 4);
        assert_eq!(&buffer, b"abcd");
        assert_eq!(ring.read_at(&mut buffer, 11).unwrap(), 2);
        assert_eq!(&buffer[..2], b"ef");
        // What was left behind is gone.
        assert!(ring.read_at(&mut buffer, 7).is_err());
        assert_eq!(ring.read_at(&mut buffer, 13).unwrap(), 0);
        assert_eq!(ring.contents.lock().bytes, 0);
    }

    #[tokio::test]
    async fn a_writer_waits_for_its_reader() {
        let ring = Pipe::new(0);
        ring.push(vec![1; PIPE_BYTES_MAX].into()).await;
        let mut next = Box::pin(ring.push(Bytes::from_static(b"x")));
        assert!(next.as_mut().now_or_never().is_none());
        ring.read_at(&mut [0; 10], 0).unwrap();
        next.await;
        assert_eq!(ring.contents.lock().bytes, PIPE_BYTES_MAX - 9);
    }
}
