//! Memory for bytes on their way to a client: large pieces while few are out, small ones when many
//! are, so that a crowd costs about as much as a few.

use std::{
    io,
    sync::atomic::{AtomicUsize, Ordering},
};

use bytes::Bytes;

use crate::disk::File;

/// The largest piece: large enough that a hand-over to the blocking pool is small beside it.
const PIECE_BYTES_MAX: usize = 256 * 1024;
/// The smallest: what every connection may have.
const PIECE_BYTES_MIN: usize = 32 * 1024;
/// So much may be out at each size before pieces get smaller.
const STEP_BYTES: usize = 6 * 1024 * 1024;

/// Bytes that are out now, in the whole process.
static OUT_BYTES: AtomicUsize = AtomicUsize::new(0);

/// A piece of memory, counted until the last slice of it is gone.
struct Lent(Vec<u8>);

/// Reads at most one piece from `offset`; empty only where the file ends.
pub(super) fn read(file: &dyn File, offset: u64, length_max: u64) -> io::Result<Bytes> {
    let mut lent = Lent::new(length_max);
    let read = file.read_at(&mut lent.0, offset)?;
    Ok(lent.filled(read))
}

/// The same without waiting, if that is possible.
pub(super) fn read_near(file: &dyn File, offset: u64, length_max: u64) -> Option<Bytes> {
    let mut lent = Lent::new(length_max);
    let read = file.read_near(&mut lent.0, offset)?;
    Some(lent.filled(read))
}

impl Lent {
    fn new(length_max: u64) -> Self {
        let piece = piece_bytes(OUT_BYTES.load(Ordering::Relaxed));
        let length = usize::try_from(length_max).map_or(piece, |length| length.min(piece));
        OUT_BYTES.fetch_add(length, Ordering::Relaxed);
        Self(vec![0; length])
    }

    fn filled(self, length: usize) -> Bytes {
        let mut bytes = Bytes::from_owner(self);
        bytes.truncate(length);
        bytes
    }
}

/// How large the next piece is while `out` bytes are out.
fn piece_bytes(out: usize) -> usize {
    let halvings = u32::try_from(out / STEP_BYTES).unwrap_or(u32::MAX);
    PIECE_BYTES_MAX
        .checked_shr(halvings)
        .unwrap_or_default()
        .max(PIECE_BYTES_MIN)
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        OUT_BYTES.fetch_sub(self.0.len(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_shrink_while_many_are_out() {
        const KIB: usize = 1024;
        for (out_mib, piece_kib) in [(0, 256), (5, 256), (6, 128), (12, 64), (18, 32), (4000, 32)] {
            assert_eq!(piece_bytes(out_mib * KIB * KIB), piece_kib * KIB);
        }
    }
}
