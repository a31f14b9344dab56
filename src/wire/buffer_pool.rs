//! Buffers for bytes on their way to a client: large while few are in use, small while many are, so
//! that many clients take about as much memory as a few. Returned buffers are reused.

use std::{
    io, mem,
    sync::atomic::{AtomicUsize, Ordering},
};

use bytes::Bytes;
use parking_lot::Mutex;

use crate::disk::File;

/// The largest buffer: large enough that the cost of the blocking pool is small beside the read.
const BUFFER_BYTES_MAX: usize = 256 * 1024;
/// Buffer sizes, each half of the one before; the last is available to every connection.
const SIZES: usize = 4;
/// Bytes in use per size before the next buffers get smaller.
const STEP_BYTES: usize = 6 * 1024 * 1024;
/// Bytes of each size that are kept for reuse.
const SPARE_BYTES_MAX: usize = 1024 * 1024;

/// Bytes in use now, in the whole process.
static USED_BYTES: AtomicUsize = AtomicUsize::new(0);
/// Returned buffers of each size.
static SPARE: [Mutex<Vec<Vec<u8>>>; SIZES] = [const { Mutex::new(Vec::new()) }; SIZES];

/// A buffer, counted as in use until its last slice is dropped.
struct PooledBuffer {
    bytes: Vec<u8>,
    size: usize,
}

/// Reads at most one buffer from `offset`; empty only at the end of the file.
pub(super) fn read(file: &dyn File, offset: u64, length_max: u64) -> io::Result<Bytes> {
    let mut buffer = PooledBuffer::new(length_max);
    let read = file.read_at(buffer.room(length_max), offset)?;
    Ok(buffer.filled(read))
}

/// Reads the same without waiting, if the page cache has it.
pub(super) fn read_cached(file: &dyn File, offset: u64, length_max: u64) -> Option<Bytes> {
    let mut buffer = PooledBuffer::new(length_max);
    let read = file.read_cached(buffer.room(length_max), offset)?;
    Some(buffer.filled(read))
}

impl PooledBuffer {
    fn new(length_max: u64) -> Self {
        let size = size(USED_BYTES.load(Ordering::Relaxed), length_max);
        let spare = SPARE.get(size).and_then(|spare| spare.lock().pop());
        let bytes = spare.unwrap_or_else(|| vec![0; BUFFER_BYTES_MAX >> size]);
        USED_BYTES.fetch_add(bytes.len(), Ordering::Relaxed);
        Self { bytes, size }
    }

    /// The part to read into.
    fn room(&mut self, length_max: u64) -> &mut [u8] {
        let length = usize::try_from(length_max).unwrap_or(usize::MAX);
        let room = self.bytes.len().min(length);
        self.bytes.get_mut(..room).unwrap_or_default()
    }

    fn filled(self, length: usize) -> Bytes {
        let mut bytes = Bytes::from_owner(self);
        bytes.truncate(length);
        bytes
    }
}

/// The size of the next buffer while `used` bytes are in use: never larger than `length_max` needs.
fn size(used: usize, length_max: u64) -> usize {
    let fits =
        |size: &usize| u64::try_from(BUFFER_BYTES_MAX >> size).is_ok_and(|n| n >= length_max);
    let needed = (0..SIZES).rev().find(fits).unwrap_or_default();
    (used / STEP_BYTES).clamp(needed, SIZES - 1)
}

impl AsRef<[u8]> for PooledBuffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for PooledBuffer {
    fn drop(&mut self) {
        let bytes = mem::take(&mut self.bytes);
        USED_BYTES.fetch_sub(bytes.len(), Ordering::Relaxed);
        if let Some(spare) = SPARE.get(self.size) {
            let mut spare = spare.lock();
            if (spare.len() + 1) * bytes.len() <= SPARE_BYTES_MAX {
                spare.push(bytes);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_shrink_while_many_are_in_use() {
        const KIB: usize = 1024;
        let buffer = |used, length| BUFFER_BYTES_MAX >> size(used, length);
        for (used_mib, buffer_kib) in [(0, 256), (5, 256), (6, 128), (12, 64), (18, 32), (4000, 32)]
        {
            assert_eq!(buffer(used_mib * KIB * KIB, u64::MAX), buffer_kib * KIB);
        }
        for (length, buffer_kib) in [
            (1, 32),
            (32 * 1024, 32),
            (32 * 1024 + 1, 64),
            (200_000, 256),
        ] {
            assert_eq!(buffer(0, length), buffer_kib * KIB);
        }
    }
}
