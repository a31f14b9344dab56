//! Byte ranges: as a client requests them, and resolved once the size is known (RFC 9110, section
//! 14).

use std::num::NonZeroU64;

/// Most parts in one multipart answer.
const PARTS_MAX: usize = 64;

/// The ranges of a `Range` header, before the size is known. Never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RangeRequest(Vec<RangeSpec>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RangeSpec {
    From(u64),
    Between(u64, u64),
    Last(u64),
}

/// A range of at least one byte, first to last inclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteRange {
    first: u64,
    length: NonZeroU64,
}

/// A range request resolved against a size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RangeOutcome {
    /// One part: 206.
    Single(ByteRange),
    /// Several parts that do not touch, in the requested order: 206 multipart.
    Multiple(Vec<ByteRange>),
    /// No part lies within the size: 416.
    Unsatisfiable,
    /// Too many parts for one answer: 400.
    TooMany,
}

impl RangeRequest {
    /// Parses a `Range` header's value. `None` for another unit or an invalid list: such a header
    /// is ignored and the whole is served (RFC 9110, 14.2).
    pub fn from_header(value: &str) -> Option<Self> {
        let list = value.trim().strip_prefix("bytes=")?;
        let specs = list
            .split(',')
            .map(str::trim)
            .filter(|text| !text.is_empty())
            .map(spec)
            .collect::<Option<Vec<_>>>()?;
        (!specs.is_empty()).then_some(Self(specs))
    }

    /// Resolves the request against a size: parts outside are dropped, ends are clamped, and
    /// consecutive parts that touch or overlap are merged.
    pub fn within(&self, size: u64) -> RangeOutcome {
        let mut parts: Vec<ByteRange> = Vec::new();
        for part in self.0.iter().filter_map(|spec| spec.within(size)) {
            let full = parts.len() == PARTS_MAX;
            match parts.last_mut() {
                Some(last) if last.touches(part) => *last = last.join(part),
                _ if full => return RangeOutcome::TooMany,
                _ => parts.push(part),
            }
        }
        match *parts.as_slice() {
            [] => RangeOutcome::Unsatisfiable,
            [part] => RangeOutcome::Single(part),
            _ => RangeOutcome::Multiple(parts),
        }
    }
}

impl RangeSpec {
    fn within(self, size: u64) -> Option<ByteRange> {
        match self {
            Self::From(first) => ByteRange::between(first, size.checked_sub(1)?),
            Self::Between(first, last) => ByteRange::between(first, last.min(size.checked_sub(1)?)),
            Self::Last(length) => {
                ByteRange::between(size.saturating_sub(length), size.checked_sub(1)?)
            }
        }
    }
}

impl ByteRange {
    /// First to last, inclusive; `None` if that is empty.
    pub fn between(first: u64, last: u64) -> Option<Self> {
        let length = last.checked_sub(first)?.checked_add(1)?;
        NonZeroU64::new(length).map(|length| Self { first, length })
    }

    /// Offset of the first byte.
    pub fn first(&self) -> u64 {
        self.first
    }

    /// Offset of the last byte.
    pub fn last(&self) -> u64 {
        self.first + (self.length.get() - 1)
    }

    /// How many bytes.
    pub fn length(&self) -> u64 {
        self.length.get()
    }

    fn touches(&self, other: Self) -> bool {
        other.first <= self.last().saturating_add(1) && self.first <= other.last().saturating_add(1)
    }

    fn join(self, other: Self) -> Self {
        let first = self.first.min(other.first);
        Self::between(first, self.last().max(other.last())).unwrap_or(self)
    }
}

/// `A-`, `A-B` with A <= B, or `-N` with N > 0; digits only, no sign.
fn spec(text: &str) -> Option<RangeSpec> {
    let number = |digits: &str| {
        let numeric = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        numeric.then(|| digits.parse::<u64>().ok()).flatten()
    };
    let (first, last) = text.split_once('-')?;
    match (first.trim(), last.trim()) {
        ("", length) => number(length).map(RangeSpec::Last),
        (first, "") => number(first).map(RangeSpec::From),
        (first, last) => {
            let (first, last) = (number(first)?, number(last)?);
            (first <= last).then_some(RangeSpec::Between(first, last))
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cut(value: &str, size: u64) -> Option<Vec<(u64, u64)>> {
        let pairs = |parts: &[ByteRange]| parts.iter().map(|p| (p.first(), p.last())).collect();
        match RangeRequest::from_header(value)?.within(size) {
            RangeOutcome::Single(part) => Some(pairs(&[part])),
            RangeOutcome::Multiple(parts) => Some(pairs(&parts)),
            RangeOutcome::Unsatisfiable | RangeOutcome::TooMany => Some(vec![]),
        }
    }

    #[test]
    fn b044_to_b049_ranges() {
        assert_eq!(cut("bytes=0-0", 10), Some(vec![(0, 0)]));
        assert_eq!(cut("bytes=-5", 10), Some(vec![(5, 9)]));
        assert_eq!(cut("bytes=-50", 10), Some(vec![(0, 9)]));
        assert_eq!(cut("bytes=3-99", 10), Some(vec![(3, 9)]));
        assert_eq!(cut("bytes=10-", 10), Some(vec![]));
        assert_eq!(cut("bytes=-0", 10), Some(vec![]));
        assert_eq!(cut("bytes=0-", 0), Some(vec![]));
        let ignored = [
            "bytes=5-2",
            "bytes=a-b",
            "bytes=0-18446744073709551616",
            "lines=1-2",
            "bytes=",
            "b",
        ];
        for ignored in ignored {
            assert_eq!(cut(ignored, 10), None, "{ignored}");
        }
        assert_eq!(cut("bytes=0-1,3-4", 10), Some(vec![(0, 1), (3, 4)]));
        assert_eq!(cut("bytes=0-1, 2-4", 10), Some(vec![(0, 4)]));
    }

    #[test]
    fn more_than_64_parts_are_too_many() {
        let list = |count: u64| {
            let parts: Vec<_> = (0..count).map(|n| format!("{}-{}", n * 3, n * 3)).collect();
            format!("bytes={}", parts.join(","))
        };
        let within = |count| {
            RangeRequest::from_header(&list(count))
                .unwrap()
                .within(1_000_000)
        };
        assert!(matches!(within(64), RangeOutcome::Multiple(parts) if parts.len() == 64));
        assert_eq!(within(65), RangeOutcome::TooMany);
    }

    proptest! {
        #[test]
        fn a_single_range_is_what_slicing_gives(first: u64, last: u64, size: u64) {
            let got = cut(&format!("bytes={first}-{last}"), size);
            let want = if first > last {
                None
            } else if first >= size {
                Some(vec![])
            } else {
                Some(vec![(first, last.min(size - 1))])
            };
            prop_assert_eq!(got, want);
        }

        #[test]
        fn no_header_can_panic(value in "\\PC*", size: u64) {
            let _whatever = cut(&value, size);
            let _whatever = cut(&format!("bytes={value}"), size);
        }
    }
}
