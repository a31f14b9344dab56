//! Stretches of files that leave without coming here: the kernel hands them to the socket.
//!
//! The HTTP library takes nothing but bytes in memory. So a stretch is given to it as a *window*: a
//! slice of addresses that nobody ever writes to or reads from, which only stands for the stretch.
//! Where the slice comes out again, at the connection, the stretch itself is sent. A window that
//! came out anywhere else would be zeros; so there is a lane only where the connection knows what
//! to do, and every other connection refuses windows.

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

/// Longest window: what one connection may send before others have their turn.
const PLACEHOLDER_BYTES_MAX: usize = 1024 * 1024;
/// Most windows that are on their way in one lane; the HTTP library holds at most 16 buffers.
const PLACEHOLDERS_MAX: usize = 32;
/// So many windows have addresses of their own before they repeat.
const SLOTS: usize = 64;

/// The addresses. Large enough that every allocator takes them fresh from the system: pages that
/// are never touched, so they cost no memory.
static ADDRESSES: LazyLock<&'static [u8]> =
    LazyLock::new(|| Vec::leak(vec![0; SLOTS * PLACEHOLDER_BYTES_MAX]));

/// What one connection's bodies and its socket share. Clones are the same lane.
#[derive(Clone, Debug)]
pub struct SendfileQueue(Arc<Mutex<QueuedFiles>>);

/// The windows on their way, in order.
#[derive(Debug, Default)]
struct QueuedFiles {
    placeholders: VecDeque<Placeholder>,
    next_slot: usize,
}

/// What is left of a stretch, and the addresses that stand for it.
#[derive(Debug)]
struct Placeholder {
    file: Arc<dyn File>,
    offset: u64,
    addresses: &'static [u8],
}

/// Whether these bytes are none, but stand for some.
pub fn is_placeholder(slice: &[u8]) -> bool {
    ADDRESSES.as_ptr_range().contains(&slice.as_ptr())
}

impl SendfileQueue {
    /// The lane of one connection, which has to send all it writes by [`SendfileQueue::send`]. It takes a
    /// bare TCP stream to make one: what is encrypted, or framed by a protocol of its own, has none.
    pub fn of(_stream: &TcpStream) -> Self {
        Self(Arc::default())
    }

    /// A window of at most `length_max` bytes, if they can be sent without waiting for a device.
    pub(super) fn placeholder_if_cached(
        &self,
        file: &Arc<dyn File>,
        offset: u64,
        length_max: u64,
    ) -> Option<Bytes> {
        let length = placeholder_bytes(length_max);
        let near = file.sendfile()?.is_cached(offset, length);
        near.then(|| self.placeholder(file, offset, length))
            .flatten()
    }

    /// The same after waiting for the device.
    pub(super) async fn load_placeholder(
        &self,
        file: &Arc<dyn File>,
        offset: u64,
        length_max: u64,
    ) -> io::Result<Option<Bytes>> {
        let length = placeholder_bytes(length_max);
        let there = Arc::clone(file);
        let bring = move || {
            there
                .sendfile()
                .map(|direct| direct.load(offset, length))
                .transpose()
        };
        let brought = tokio::task::spawn_blocking(bring).await;
        let direct = brought.map_err(io::Error::other)??;
        Ok(direct.and_then(|()| self.placeholder(file, offset, length)))
    }

    /// None while too many are on their way.
    fn placeholder(&self, file: &Arc<dyn File>, offset: u64, length: usize) -> Option<Bytes> {
        let mut row = self.0.lock();
        let first = row.next_slot * PLACEHOLDER_BYTES_MAX;
        let addresses = ADDRESSES.get(first..first.checked_add(length)?)?;
        if row.placeholders.len() >= PLACEHOLDERS_MAX {
            return None;
        }
        row.next_slot = (row.next_slot + 1) % SLOTS;
        row.placeholders.push_back(Placeholder {
            file: Arc::clone(file),
            offset,
            addresses,
        });
        Some(Bytes::from_static(addresses))
    }

    /// Sends some of what is next, bytes or a part of one window, as `writev` would.
    ///
    /// # Errors
    /// The socket's, `WouldBlock` among them; `UnexpectedEof` if the file does not have the bytes
    /// any more or cannot be read.
    pub fn send(&self, socket: BorrowedFd<'_>, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let plain = slices
            .iter()
            .take_while(|slice| !is_placeholder(slice))
            .count();
        let (bytes, rest) = slices.split_at(plain);
        match rest.first() {
            Some(window) if plain == 0 => self.send_file(socket, window),
            // A head leaves in one segment with the first bytes of its body.
            Some(_) => {
                let mut nothing = SendAncillaryBuffer::default();
                Ok(sendmsg(socket, bytes, &mut nothing, SendFlags::MORE)?)
            }
            None => Ok(rustix::io::writev(socket, bytes)?),
        }
    }

    fn send_file(&self, socket: BorrowedFd<'_>, slice: &[u8]) -> io::Result<usize> {
        let mut row = self.0.lock();
        let Some(window) = row
            .placeholders
            .front_mut()
            .filter(|next| next.matches(slice))
        else {
            return Err(unexpected_placeholder());
        };
        let direct = window.file.sendfile().ok_or_else(unexpected_placeholder)?;
        let sent = match direct.send(socket, window.offset, slice.len()) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Err(error) if error.raw_os_error() == Some(Errno::IO.raw_os_error()) => {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, error));
            }
            sent => sent?,
        };
        window.offset += u64::try_from(sent).unwrap_or(u64::MAX);
        window.addresses = window.addresses.get(sent..).unwrap_or_default();
        if window.addresses.is_empty() {
            row.placeholders.pop_front();
        }
        Ok(sent)
    }
}

impl Placeholder {
    /// Whether it is what these addresses mean.
    fn matches(&self, slice: &[u8]) -> bool {
        ptr::eq(self.addresses.as_ptr(), slice.as_ptr()) && slice.len() <= self.addresses.len()
    }
}

/// A window at a place where nobody knows what it stands for: a bug, and better a broken
/// connection than wrong bytes.
pub fn unexpected_placeholder() -> io::Error {
    io::Error::other("a window came out where it cannot be sent")
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

    /// A lane, and the two ends of its connection.
    async fn lane() -> (SendfileQueue, TcpStream, TcpStream) {
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

    fn body(lane: &SendfileQueue, file: &Arc<dyn File>, length: u64) -> Body {
        let part = BodyPart::File {
            file: Arc::clone(file),
            offset: 0,
            length,
        };
        Body::from_parts([part].into()).with_sendfile(Some(lane.clone()))
    }

    #[tokio::test]
    async fn a_window_is_sent_by_its_own_lane_only_and_once() {
        let (lane, near, far) = lane().await;
        let window = body(&lane, &file(b"0123456789"), 10).collect().await;
        let window = window.unwrap().to_bytes();
        assert!(is_placeholder(&window) && !is_placeholder(b"0123456789"));
        let slices = [IoSlice::new(b"head"), IoSlice::new(&window)];
        let (other, ..) = self::lane().await;
        let refused = other.send(near.as_fd(), &slices[1..]).unwrap_err();
        assert_eq!(refused.to_string(), unexpected_placeholder().to_string());
        assert_eq!(lane.send(near.as_fd(), &slices).unwrap(), 4);
        assert_eq!(lane.send(near.as_fd(), &slices[1..]).unwrap(), 10);
        assert!(lane.send(near.as_fd(), &slices[1..]).is_err());
        drop(near);
        let mut got = Vec::new();
        tokio::io::AsyncReadExt::read_to_end(&mut { far }, &mut got)
            .await
            .unwrap();
        assert_eq!(got, b"head0123456789");
    }

    #[tokio::test]
    async fn a_file_shorter_than_its_window_is_an_error() {
        let (lane, near, _far) = lane().await;
        let window = body(&lane, &file(b"0123"), 5).collect().await;
        let window = window.unwrap().to_bytes();
        assert_eq!(
            lane.send(near.as_fd(), &[IoSlice::new(&window)]).unwrap(),
            4
        );
        let ended = lane.send(near.as_fd(), &[IoSlice::new(&window[4..])]);
        assert_eq!(ended.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }

    #[tokio::test]
    async fn a_lane_takes_only_so_many_windows() {
        let (lane, ..) = lane().await;
        let file = file(&[7; 100]);
        let mut kinds = Vec::new();
        for _ in 0..=PLACEHOLDERS_MAX {
            let got = body(&lane, &file, 100).collect().await.unwrap().to_bytes();
            kinds.push(is_placeholder(&got));
        }
        let last = kinds.pop().unwrap();
        assert!(kinds.iter().all(|is_window| *is_window) && !last);
    }
}
