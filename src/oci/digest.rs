//! Digests: an algorithm and its value (image-spec, "Digests").

use std::{fmt, str::FromStr};

use thiserror::Error;

/// The name of exact bytes. Small, `Copy`, and never contains a path separator.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Digest {
    /// `sha256:` and 64 lower-case hexadecimal digits.
    Sha256([u8; 32]),
    /// `sha512:` and 128 lower-case hexadecimal digits.
    Sha512([u8; 64]),
}

/// The algorithm of a digest; only those that we can verify.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// SHA-256, which nearly every registry uses.
    Sha256,
    /// SHA-512, registered and rare.
    Sha512,
}

/// Why text is not a valid digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum InvalidDigest {
    /// The value has no `ALGORITHM:` prefix.
    #[error("a digest is written ALGORITHM:HEX")]
    NoAlgorithm,
    /// We cannot verify the algorithm.
    #[error("the digest algorithm must be sha256 or sha512")]
    UnknownAlgorithm,
    /// The number of digits is not that of the algorithm.
    #[error("{algorithm} takes {want} hexadecimal digits, not {got}")]
    Length {
        /// The algorithm named in the text.
        algorithm: Algorithm,
        /// The number of its digits.
        want: usize,
        /// The length of the text, in bytes.
        got: usize,
    },
    /// A byte is not a lower-case hexadecimal digit.
    #[error("a digest holds lower-case hexadecimal digits only")]
    NotHex,
}

impl Algorithm {
    /// Both algorithms, for walking the store's folders.
    pub const ALL: [Self; 2] = [Self::Sha256, Self::Sha512];

    /// The name before the colon, and the store's folder name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl Digest {
    /// The algorithm.
    pub fn algorithm(&self) -> Algorithm {
        match self {
            Self::Sha256(_) => Algorithm::Sha256,
            Self::Sha512(_) => Algorithm::Sha512,
        }
    }

    /// The raw value.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Sha256(value) => value,
            Self::Sha512(value) => value,
        }
    }

    /// The value in lower-case hexadecimal, without the algorithm.
    pub fn hex(&self) -> String {
        self.digits(str::to_owned)
    }

    /// Appends the whole digest to `text`, as `Display` does but without its overhead: every
    /// request writes one.
    pub fn push_to(&self, text: &mut String) {
        text.push_str(self.algorithm().as_str());
        text.push(':');
        self.digits(|digits| text.push_str(digits));
    }

    /// Passes the hexadecimal digits on without allocating.
    fn digits<T>(&self, then: impl FnOnce(&str) -> T) -> T {
        let mut buffer = [0; 2 * 64];
        let value = self.as_bytes();
        for (pair, byte) in buffer.chunks_exact_mut(2).zip(value) {
            pair.copy_from_slice(&[digit(byte >> 4), digit(byte & 0xf)]);
        }
        let digits = buffer.get(..2 * value.len()).unwrap_or_default();
        // The digits are ASCII.
        then(str::from_utf8(digits).unwrap_or_default())
    }

    /// Parses the hexadecimal part alone, as in the store's file names.
    pub fn from_hex(algorithm: Algorithm, hex: &str) -> Result<Self, InvalidDigest> {
        match algorithm {
            Algorithm::Sha256 => decode(algorithm, hex).map(Self::Sha256),
            Algorithm::Sha512 => decode(algorithm, hex).map(Self::Sha512),
        }
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.algorithm().as_str())?;
        formatter.write_str(":")?;
        self.digits(|digits| formatter.write_str(digits))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl FromStr for Digest {
    type Err = InvalidDigest;

    fn from_str(text: &str) -> Result<Self, InvalidDigest> {
        let (name, hex) = text.split_once(':').ok_or(InvalidDigest::NoAlgorithm)?;
        let algorithm = Algorithm::ALL
            .into_iter()
            .find(|algorithm| algorithm.as_str() == name)
            .ok_or(InvalidDigest::UnknownAlgorithm)?;
        Self::from_hex(algorithm, hex)
    }
}

fn decode<const N: usize>(algorithm: Algorithm, hex: &str) -> Result<[u8; N], InvalidDigest> {
    if hex.len() != N * 2 {
        return Err(InvalidDigest::Length {
            algorithm,
            want: N * 2,
            got: hex.len(),
        });
    }
    let mut value = [0; N];
    for (byte, pair) in value.iter_mut().zip(hex.as_bytes().chunks_exact(2)) {
        *byte = pair
            .iter()
            .try_fold(0, |sum: u8, digit| Ok(sum << 4 | nibble(*digit)?))?;
    }
    Ok(value)
}

fn digit(nibble: u8) -> u8 {
    match nibble {
        0..=9 => b'0' + nibble,
        _ => b'a' - 10 + nibble,
    }
}

fn nibble(digit: u8) -> Result<u8, InvalidDigest> {
    match digit {
        b'0'..=b'9' => Ok(digit - b'0'),
        b'a'..=b'f' => Ok(digit - b'a' + 10),
        _ => Err(InvalidDigest::NotHex),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_value_are_inverses() {
        for text in [
            format!("sha256:{}", "0a".repeat(32)),
            format!("sha512:{}", "f9".repeat(64)),
        ] {
            assert_eq!(text.parse::<Digest>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_no_digest_says_why() {
        use InvalidDigest::{NoAlgorithm, NotHex, UnknownAlgorithm};
        let check = |text: &str, why| assert_eq!(text.parse::<Digest>(), Err(why), "{text}");
        check("", NoAlgorithm);
        check("abc", NoAlgorithm);
        check("md5:d41d8cd98f00b204e9800998ecf8427e", UnknownAlgorithm);
        check("SHA256:00", UnknownAlgorithm);
        check(&format!("sha256:{}", "0A".repeat(32)), NotHex);
        check(&format!("sha256:{}", "../".repeat(21) + "x"), NotHex);
        for digits in [3, 63, 65] {
            let why = InvalidDigest::Length {
                algorithm: Algorithm::Sha256,
                want: 64,
                got: digits,
            };
            check(&format!("sha256:{}", "0".repeat(digits)), why);
        }
    }
}
