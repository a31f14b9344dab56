//! A bounded pipe in place of a file: it holds only what its one reader has not taken yet.

use std::{collections::VecDeque, io};

use bytes::{Buf, Bytes};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::disk::{File, Stat};

/// How much is held before the writer has to wait: twice what is held back from readers, so that as
/// much again can be in flight.
const PIPE_BYTES_MAX: usize = 128 * 1024;

/// Bytes in memory between one writer and one reader, both sequential.
#[derive(Debug)]
pub struct Pipe {
    contents: Mutex<PipeContents>,
    room: Notify,
}

#[derive(Debug)]
struct PipeContents {
    /// The offset of the first byte held.
    first: u64,
    chunks: VecDeque<Bytes>,
    bytes: usize,
}

impl Pipe {
    /// An empty pipe, whose first byte has the offset `first`.
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

    /// Takes the next bytes once there is room for them.
    pub async fn push(&self, chunk: Bytes) {
        // A notification that comes before this wait is stored, so it is not lost.
        while self.contents.lock().bytes >= PIPE_BYTES_MAX {
            self.room.notified().await;
        }
        let mut held = self.contents.lock();
        held.bytes += chunk.len();
        held.chunks.push_back(chunk);
    }
}

impl PipeContents {
    /// Drops the bytes before `offset`.
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
        // Not at the next read: before that one the reader may wait for the writer.
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
        let pipe = Pipe::new(7);
        pipe.push(Bytes::from_static(b"abc"))
            .now_or_never()
            .unwrap();
        pipe.push(Bytes::from_static(b"def"))
            .now_or_never()
            .unwrap();
        let mut buffer = [0; 4];
        assert_eq!(pipe.read_at(&mut buffer, 7).unwrap(), 4);
        assert_eq!(&buffer, b"abcd");
        assert_eq!(pipe.read_at(&mut buffer, 11).unwrap(), 2);
        assert_eq!(&buffer[..2], b"ef");
        // Bytes that were read are gone.
        assert!(pipe.read_at(&mut buffer, 7).is_err());
        assert_eq!(pipe.read_at(&mut buffer, 13).unwrap(), 0);
        assert_eq!(pipe.contents.lock().bytes, 0);
    }

    #[tokio::test]
    async fn a_writer_waits_for_its_reader() {
        let pipe = Pipe::new(0);
        pipe.push(vec![1; PIPE_BYTES_MAX].into()).await;
        let mut next = Box::pin(pipe.push(Bytes::from_static(b"x")));
        assert!(next.as_mut().now_or_never().is_none());
        pipe.read_at(&mut [0; 10], 0).unwrap();
        next.await;
        assert_eq!(pipe.contents.lock().bytes, PIPE_BYTES_MAX - 9);
    }
}
