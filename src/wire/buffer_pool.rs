//! Memory for bytes on their way to a client: large pieces while few are out, small ones when many
//! are, so that a crowd costs about as much as a few. Pieces that come back are lent again.

use std::{
    io, mem,
    sync::atomic::{AtomicUsize, Ordering},
};

use bytes::Bytes;
use parking_lot::Mutex;

use crate::disk::File;

/// The largest piece: large enough that a hand-over to the blocking pool is small beside it.
const BUFFER_BYTES_MAX: usize = 256 * 1024;
/// Sizes of pieces, each half of the one before; the last is what every connection may have.
const SIZES: usize = 4;
/// So much may be out at each size before pieces get smaller.
const STEP_BYTES: usize = 6 * 1024 * 1024;
/// Bytes of each size that wait to be lent again.
const SPARE_BYTES_MAX: usize = 1024 * 1024;

/// Bytes that are out now, in the whole process.
static LENT_BYTES: AtomicUsize = AtomicUsize::new(0);
/// Pieces of each size that came back.
static SPARE: [Mutex<Vec<Vec<u8>>>; SIZES] = [const { Mutex::new(Vec::new()) }; SIZES];

/// A piece of memory, counted until the last slice of it is gone.
struct PooledBuffer {
    bytes: Vec<u8>,
    size: usize,
}

/// Reads at most one piece from `offset`; empty only where the file ends.
pub(super) fn read(file: &dyn File, offset: u64, length_max: u64) -> io::Result<Bytes> {
    let mut lent = PooledBuffer::new(length_max);
    let read = file.read_at(lent.room(length_max), offset)?;
    Ok(lent.filled(read))
}

/// The same without waiting, if that is possible.
pub(super) fn read_cached(file: &dyn File, offset: u64, length_max: u64) -> Option<Bytes> {
    let mut lent = PooledBuffer::new(length_max);
    let read = file.read_cached(lent.room(length_max), offset)?;
    Some(lent.filled(read))
}

impl PooledBuffer {
    fn new(length_max: u64) -> Self {
        let size = size(LENT_BYTES.load(Ordering::Relaxed), length_max);
        let spare = SPARE.get(size).and_then(|spare| spare.lock().pop());
        let piece = spare.unwrap_or_else(|| vec![0; BUFFER_BYTES_MAX >> size]);
        LENT_BYTES.fetch_add(piece.len(), Ordering::Relaxed);
        Self { bytes: piece, size }
    }

    /// What may be read into.
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

/// Which size the next piece has while `out` bytes are out: none is larger than what it is for
/// needs.
fn size(out: usize, length_max: u64) -> usize {
    let fits =
        |size: &usize| u64::try_from(BUFFER_BYTES_MAX >> size).is_ok_and(|n| n >= length_max);
    let needed = (0..SIZES).rev().find(fits).unwrap_or_default();
    (out / STEP_BYTES).clamp(needed, SIZES - 1)
}

impl AsRef<[u8]> for PooledBuffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for PooledBuffer {
    fn drop(&mut self) {
        let piece = mem::take(&mut self.bytes);
        LENT_BYTES.fetch_sub(piece.len(), Ordering::Relaxed);
        if let Some(spare) = SPARE.get(self.size) {
            let mut spare = spare.lock();
            if (spare.len() + 1) * piece.len() <= SPARE_BYTES_MAX {
                spare.push(piece);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_shrink_while_many_are_out() {
        const KIB: usize = 1024;
        let piece = |out, length| BUFFER_BYTES_MAX >> size(out, length);
        for (out_mib, piece_kib) in [(0, 256), (5, 256), (6, 128), (12, 64), (18, 32), (4000, 32)] {
            assert_eq!(piece(out_mib * KIB * KIB, u64::MAX), piece_kib * KIB);
        }
        for (length, piece_kib) in [
            (1, 32),
            (32 * 1024, 32),
            (32 * 1024 + 1, 64),
            (200_000, 256),
        ] {
            assert_eq!(piece(0, length), piece_kib * KIB);
        }
    }
}
