//! Proof that bytes match their digest: counted and hashed to the end.

use sha2::{Digest as _, Sha256, Sha512};
use thiserror::Error;

use super::{Algorithm, Digest};

/// Hashes bytes as they pass. Only [`Verifier::finish`] makes a `Verified`.
#[derive(Clone, Debug)]
pub struct Verifier {
    want: Digest,
    state: HashState,
    seen: u64,
}

#[derive(Clone, Debug)]
enum HashState {
    Sha256(Sha256),
    Sha512(Sha512),
}

/// The proof: bytes of this size were hashed from the first to the last and have this digest.
/// The store commits nothing without one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verified {
    digest: Digest,
    size: u64,
}

/// The bytes do not match their digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the bytes do not hash to {want}")]
pub struct Mismatch {
    /// The expected digest.
    pub want: Digest,
}

impl Verifier {
    /// Starts at the first byte.
    pub fn new(want: Digest) -> Self {
        let state = match want.algorithm() {
            Algorithm::Sha256 => HashState::Sha256(Sha256::new()),
            Algorithm::Sha512 => HashState::Sha512(Sha512::new()),
        };
        Self {
            want,
            state,
            seen: 0,
        }
    }

    /// Takes the next bytes, in order.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.state {
            HashState::Sha256(hash) => hash.update(bytes),
            HashState::Sha512(hash) => hash.update(bytes),
        }
        self.seen += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    }

    /// The number of bytes hashed so far.
    pub fn seen(&self) -> u64 {
        self.seen
    }

    /// Compares the hash with the expected digest.
    pub fn finish(self) -> Result<Verified, Mismatch> {
        let got = match self.state {
            HashState::Sha256(hash) => Digest::Sha256(hash.finalize().into()),
            HashState::Sha512(hash) => Digest::Sha512(hash.finalize().into()),
        };
        if got == self.want {
            Ok(Verified {
                digest: got,
                size: self.seen,
            })
        } else {
            Err(Mismatch { want: self.want })
        }
    }
}

impl Verified {
    /// Verifies bytes that are all in memory.
    pub fn of(want: Digest, bytes: &[u8]) -> Result<Self, Mismatch> {
        let mut verifier = Verifier::new(want);
        verifier.update(bytes);
        verifier.finish()
    }

    /// The verified digest.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The number of bytes.
    pub fn size(&self) -> u64 {
        self.size
    }
}

impl Digest {
    /// The digest of bytes that are all in memory.
    pub fn of(algorithm: Algorithm, bytes: &[u8]) -> Self {
        match algorithm {
            Algorithm::Sha256 => Self::Sha256(Sha256::digest(bytes).into()),
            Algorithm::Sha512 => Self::Sha512(Sha512::digest(bytes).into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_right_bytes_give_a_proof() {
        for algorithm in Algorithm::ALL {
            let want = Digest::of(algorithm, b"hello world");
            let proof = Verified::of(want, b"hello world").unwrap();
            assert_eq!((proof.digest(), proof.size()), (want, 11));
            assert!(Verified::of(want, b"hello worle").is_err());
            assert!(Verified::of(want, b"hello worl").is_err());
        }
    }
}
