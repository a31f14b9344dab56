//! File ranges that the kernel sends to the socket without copying them to the process.
//!
//! The HTTP library accepts only bytes in memory. So a range is given to it as a *placeholder*: a
//! slice of addresses that are never written or read and only stand for the range. Where the slice
//! comes out again, at the connection, the range itself is sent. A placeholder that came out
//! anywhere else would be zeros; so only a connection that can send it has a queue, and every other
//! connection refuses placeholders.

use std::{
    collections::VecDeque,
    io::{self, IoSlice},
    ptr,
    sync::{Arc, LazyLock},
};

use bytes::Bytes;
use parking_lot::Mutex;
use rustix::{
    fd::BorrowedFd,
    io::Errno,
    net::{SendAncillaryBuffer, SendFlags, sendmsg},
};

use tokio::net::TcpStream;

use crate::disk::File;

/// Longest placeholder: what one connection sends before others have their turn.
const PLACEHOLDER_BYTES_MAX: usize = 1024 * 1024;
/// Most placeholders in one queue; the HTTP library holds at most 16 buffers.
const PLACEHOLDERS_MAX: usize = 32;
/// How many placeholders have distinct addresses before these repeat.
const SLOTS: usize = 64;

/// The addresses. Large enough that every allocator maps them fresh from the system: their pages
/// are never touched, so they take no memory.
static ADDRESSES: LazyLock<&'static [u8]> =
    LazyLock::new(|| Vec::leak(vec![0; SLOTS * PLACEHOLDER_BYTES_MAX]));

/// The queue that one connection's bodies and its socket share; clones are the same queue.
#[derive(Clone, Debug)]
pub struct SendfileQueue(Arc<Mutex<QueuedFiles>>);

/// The placeholders in flight, in order.
#[derive(Debug, Default)]
struct QueuedFiles {
    placeholders: VecDeque<Placeholder>,
    next_slot: usize,
}

/// The unsent rest of a file range, and the addresses that stand for it.
#[derive(Debug)]
struct Placeholder {
    file: Arc<dyn File>,
    offset: u64,
    addresses: &'static [u8],
}

/// Whether this slice is a placeholder and not bytes.
pub fn is_placeholder(slice: &[u8]) -> bool {
    ADDRESSES.as_ptr_range().contains(&slice.as_ptr())
}

impl SendfileQueue {
    /// The queue of one connection, which must write everything by [`SendfileQueue::send`]. Only a
    /// bare TCP stream has one: TLS and framed protocols do not send file bytes as they are.
    pub fn of(_stream: &TcpStream) -> Self {
        Self(Arc::default())
    }

    /// A placeholder for at most `length_max` bytes, if they are in the page cache.
    pub(super) fn placeholder_if_cached(
        &self,
        file: &Arc<dyn File>,
        offset: u64,
        length_max: u64,
    ) -> Option<Bytes> {
        let length = placeholder_bytes(length_max);
        let cached = file.sendfile()?.is_cached(offset, length);
        cached
            .then(|| self.placeholder(file, offset, length))
            .flatten()
    }

    /// The same after loading them into the page cache.
    pub(super) async fn load_placeholder(
        &self,
        file: &Arc<dyn File>,
        offset: u64,
        length_max: u64,
    ) -> io::Result<Option<Bytes>> {
        let length = placeholder_bytes(length_max);
        let source = Arc::clone(file);
        let load = move || {
            source
                .sendfile()
                .map(|sendfile| sendfile.load(offset, length))
                .transpose()
        };
        let done = tokio::task::spawn_blocking(load).await;
        let loaded = done.map_err(io::Error::other)??;
        Ok(loaded.and_then(|()| self.placeholder(file, offset, length)))
    }

    /// `None` while the queue is full.
    fn placeholder(&self, file: &Arc<dyn File>, offset: u64, length: usize) -> Option<Bytes> {
        let mut queued = self.0.lock();
        let first = queued.next_slot * PLACEHOLDER_BYTES_MAX;
        let addresses = ADDRESSES.get(first..first.checked_add(length)?)?;
        if queued.placeholders.len() >= PLACEHOLDERS_MAX {
            return None;
        }
        queued.next_slot = (queued.next_slot + 1) % SLOTS;
        queued.placeholders.push_back(Placeholder {
            file: Arc::clone(file),
            offset,
            addresses,
        });
        Some(Bytes::from_static(addresses))
    }

    /// Sends some of the next bytes, or a part of one placeholder's range, as `writev` would.
    ///
    /// # Errors
    /// Those of the socket, including `WouldBlock`; `UnexpectedEof` if the file was truncated or
    /// cannot be read.
    pub fn send(&self, socket: BorrowedFd<'_>, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let plain = slices
            .iter()
            .take_while(|slice| !is_placeholder(slice))
            .count();
        let (bytes, rest) = slices.split_at(plain);
        match rest.first() {
            Some(placeholder) if plain == 0 => self.send_file(socket, placeholder),
            // The head shares a segment with the first bytes of its body.
            Some(_) => {
                let mut nothing = SendAncillaryBuffer::default();
                Ok(sendmsg(socket, bytes, &mut nothing, SendFlags::MORE)?)
            }
            None => Ok(rustix::io::writev(socket, bytes)?),
        }
    }

    fn send_file(&self, socket: BorrowedFd<'_>, slice: &[u8]) -> io::Result<usize> {
        let mut queued = self.0.lock();
        let Some(placeholder) = queued
            .placeholders
            .front_mut()
            .filter(|next| next.matches(slice))
        else {
            return Err(unexpected_placeholder());
        };
        let file = placeholder.file.sendfile();
        let file = file.ok_or_else(unexpected_placeholder)?;
        let sent = match file.send(socket, placeholder.offset, slice.len()) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Err(error) if error.raw_os_error() == Some(Errno::IO.raw_os_error()) => {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, error));
            }
            sent => sent?,
        };
        placeholder.offset += u64::try_from(sent).unwrap_or(u64::MAX);
        placeholder.addresses = placeholder.addresses.get(sent..).unwrap_or_default();
        if placeholder.addresses.is_empty() {
            queued.placeholders.pop_front();
        }
        Ok(sent)
    }
}

impl Placeholder {
    /// Whether these addresses stand for it.
    fn matches(&self, slice: &[u8]) -> bool {
        ptr::eq(self.addresses.as_ptr(), slice.as_ptr()) && slice.len() <= self.addresses.len()
    }
}

/// A placeholder in a stream that cannot send it: a bug, and a broken connection is better than
/// wrong bytes.
pub fn unexpected_placeholder() -> io::Error {
    io::Error::other("a placeholder reached a stream that cannot send it")
}

fn placeholder_bytes(length_max: u64) -> usize {
    usize::try_from(length_max).map_or(PLACEHOLDER_BYTES_MAX, |length| {
        length.min(PLACEHOLDER_BYTES_MAX)
    })
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use rustix::fd::AsFd;
    use tokio::net::TcpListener;

    use super::*;
    use crate::{
        disk::{Disk, RealDisk},
        wire::{Body, BodyPart},
    };

    /// A queue and the two ends of its connection.
    async fn queue() -> (SendfileQueue, TcpStream, TcpStream) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let near = TcpStream::connect(address).await.unwrap();
        let (far, _) = listener.accept().await.unwrap();
        (SendfileQueue::of(&near), near, far)
    }

    fn file(bytes: &[u8]) -> Arc<dyn File> {
        let folder = tempfile::tempdir().unwrap();
        let file = RealDisk.create(&folder.path().join("f")).unwrap();
        file.write_at(bytes, 0).unwrap();
        file
    }

    fn body(queue: &SendfileQueue, file: &Arc<dyn File>, length: u64) -> Body {
        let part = BodyPart::File {
            file: Arc::clone(file),
            offset: 0,
            length,
        };
        Body::from_parts([part].into()).with_sendfile(Some(queue.clone()))
    }

    #[tokio::test]
    async fn a_placeholder_is_sent_by_its_own_queue_only_and_once() {
        let (queue, near, far) = queue().await;
        let placeholder = body(&queue, &file(b"0123456789"), 10).collect().await;
        let placeholder = placeholder.unwrap().to_bytes();
        assert!(is_placeholder(&placeholder) && !is_placeholder(b"0123456789"));
        let slices = [IoSlice::new(b"head"), IoSlice::new(&placeholder)];
        let (other, ..) = self::queue().await;
        let refused = other.send(near.as_fd(), &slices[1..]).unwrap_err();
        assert_eq!(refused.to_string(), unexpected_placeholder().to_string());
        assert_eq!(queue.send(near.as_fd(), &slices).unwrap(), 4);
        assert_eq!(queue.send(near.as_fd(), &slices[1..]).unwrap(), 10);
        assert!(queue.send(near.as_fd(), &slices[1..]).is_err());
        drop(near);
        let mut got = Vec::new();
        tokio::io::AsyncReadExt::read_to_end(&mut { far }, &mut got)
            .await
            .unwrap();
        assert_eq!(got, b"head0123456789");
    }

    #[tokio::test]
    async fn a_file_shorter_than_its_placeholder_is_an_error() {
        let (queue, near, _far) = queue().await;
        let placeholder = body(&queue, &file(b"0123"), 5).collect().await;
        let placeholder = placeholder.unwrap().to_bytes();
        assert_eq!(
            queue
                .send(near.as_fd(), &[IoSlice::new(&placeholder)])
                .unwrap(),
            4
        );
        let ended = queue.send(near.as_fd(), &[IoSlice::new(&placeholder[4..])]);
        assert_eq!(ended.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }

    #[tokio::test]
    async fn a_queue_takes_only_so_many_placeholders() {
        let (queue, ..) = queue().await;
        let file = file(&[7; 100]);
        let mut kinds = Vec::new();
        for _ in 0..=PLACEHOLDERS_MAX {
            let got = body(&queue, &file, 100).collect().await.unwrap().to_bytes();
            kinds.push(is_placeholder(&got));
        }
        let last = kinds.pop().unwrap();
        assert!(kinds.iter().all(|is_placeholder| *is_placeholder) && !last);
    }
}
