//! Content nobody can guess or compress, made anew wherever it is needed instead of kept in memory.

use std::io::{self, Read};

/// The same endless bytes for the same seed, from any offset, up to `end`.
#[derive(Clone)]
pub(crate) struct Noise {
    seed: u64,
    at: u64,
    end: u64,
}

impl Noise {
    pub(crate) fn new(seed: u64, length: u64) -> Self {
        Self::slice(seed, 0, length)
    }

    /// The bytes from `start` up to, not including, `end`.
    pub(crate) fn slice(seed: u64, start: u64, end: u64) -> Self {
        Self {
            seed,
            at: start,
            end,
        }
    }

    pub(crate) fn bytes(mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.read_to_end(&mut bytes).unwrap();
        bytes
    }
}

impl Read for Noise {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() && self.at < self.end {
            let word = mix(self.seed.wrapping_add(self.at / 8)).to_le_bytes();
            let from = usize::try_from(self.at % 8).unwrap();
            let left = usize::try_from(self.end - self.at).unwrap_or(usize::MAX);
            let count = (8 - from).min(buffer.len() - filled).min(left);
            buffer[filled..filled + count].copy_from_slice(&word[from..from + count]);
            filled += count;
            self.at += u64::try_from(count).unwrap();
        }
        Ok(filled)
    }
}

/// `SplitMix64`'s finaliser: every word by its position, so reading may start anywhere.
fn mix(position: u64) -> u64 {
    let mut word = position.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    word ^ (word >> 31)
}
