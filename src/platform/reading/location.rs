//! Locations in files, and in texts that are embedded in files.

use std::{borrow::Cow, fmt, str::FromStr, sync::Arc};

use thiserror::Error;

/// A location in a file, as `FILE:LINE:COLUMN`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Location {
    /// The file's path as given by the caller.
    pub file: Arc<str>,
    /// Counted from 1.
    pub line: usize,
    /// In characters, counted from 1.
    pub column: usize,
}

/// A text and its location: a whole file, or one that is embedded as a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::platform) struct SourceText<'t> {
    pub(in crate::platform) text: Cow<'t, str>,
    start: Location,
    /// Decoded: its lines are not the file's.
    is_decoded: bool,
}

impl Location {
    /// The start of a file.
    pub fn start(file: impl Into<Arc<str>>) -> Self {
        Self {
            file: file.into(),
            line: 1,
            column: 1,
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, column } = self;
        write!(formatter, "{file}:{line}:{column}")
    }
}

/// Not a location in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a place is written FILE:LINE:COLUMN")]
pub struct InvalidLocation;

impl FromStr for Location {
    type Err = InvalidLocation;

    fn from_str(text: &str) -> Result<Self, InvalidLocation> {
        let mut parts = text.rsplitn(3, ':');
        let mut number = || parts.next()?.parse().ok();
        let (column, line) = (number(), number());
        match (parts.next(), line, column) {
            (Some(file), Some(line), Some(column)) => Ok(Self {
                file: file.into(),
                line,
                column,
            }),
            _ => Err(InvalidLocation),
        }
    }
}

impl<'t> SourceText<'t> {
    /// A whole file; a byte order mark is not part of it.
    pub(in crate::platform) fn file(name: &str, text: &'t str) -> Self {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        Self::within(text, Location::start(name))
    }

    /// A text embedded in a file. All its lines start in the column of the first, as in a YAML
    /// block.
    pub(in crate::platform) fn within(text: impl Into<Cow<'t, str>>, start: Location) -> Self {
        let text = text.into();
        Self {
            text,
            start,
            is_decoded: false,
        }
    }

    /// A text embedded in a file in an encoding such as base64.
    pub(in crate::platform) fn decoded(text: impl Into<Cow<'t, str>>, start: Location) -> Self {
        Self {
            is_decoded: true,
            ..Self::within(text, start)
        }
    }

    /// The start of the text.
    pub(in crate::platform) fn start(&self) -> Location {
        self.start.clone()
    }

    /// A location in it, both counted from 1.
    pub(in crate::platform) fn location(&self, line: usize, column: usize) -> Location {
        if self.is_decoded {
            return self.start();
        }
        Location {
            file: Arc::clone(&self.start.file),
            line: self.start.line + line.saturating_sub(1),
            column: self.start.column + column.saturating_sub(1),
        }
    }

    /// The location of a byte.
    pub(in crate::platform) fn location_of_byte(&self, byte: usize) -> Location {
        let before = self.text.get(..byte).unwrap_or(&self.text);
        let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default();
        self.location(line, column.chars().count() + 1)
    }

    /// Its lines with their numbers, without line ends.
    pub(in crate::platform) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text
            .lines()
            .enumerate()
            .map(|(at, line)| (at + 1, line))
    }
}

/// Distance in bytes of the offsets whose characters are counted in advance.
const BLOCK_BYTES: usize = 64;

/// Finds the locations of many bytes without counting from the start each time.
pub(in crate::platform) struct LocationIndex<'t> {
    text: &'t SourceText<'t>,
    line_starts: Vec<usize>,
    /// How many characters start before each block.
    characters: Vec<usize>,
}

impl<'t> LocationIndex<'t> {
    pub(in crate::platform) fn new(text: &'t SourceText<'t>) -> Self {
        let ends = text.text.match_indices('\n').map(|(end, _)| end + 1);
        let mut before = 0;
        let blocks = text.text.as_bytes().chunks(BLOCK_BYTES).map(|block| {
            let own = before;
            before += characters(block);
            own
        });
        Self {
            characters: blocks.collect(),
            line_starts: std::iter::once(0).chain(ends).collect(),
            text,
        }
    }

    /// The location of a byte.
    pub(in crate::platform) fn of_byte(&self, byte: usize) -> Location {
        let line = self.line_starts.partition_point(|start| *start <= byte);
        let start = line.checked_sub(1).and_then(|at| self.line_starts.get(at));
        let column = self.before(byte) - self.before(start.copied().unwrap_or(0));
        self.text.location(line, column + 1)
    }

    /// How many characters start before a byte.
    fn before(&self, byte: usize) -> usize {
        let byte = byte.min(self.text.text.len());
        let block = (byte / BLOCK_BYTES).min(self.characters.len().saturating_sub(1));
        let part = self.text.text.as_bytes().get(block * BLOCK_BYTES..byte);
        self.characters.get(block).copied().unwrap_or(0) + characters(part.unwrap_or_default())
    }
}

fn characters(bytes: &[u8]) -> usize {
    let starts = |byte: &&u8| **byte & 0xc0 != 0x80;
    bytes.iter().filter(starts).count()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn places_are_those_of_counting(text in "([a-zü😀]{0,90}\n?){0,5}") {
            let text = SourceText::within(text, Location { line: 3, column: 5, ..Location::start("f") });
            let places = LocationIndex::new(&text);
            for (byte, _) in text.text.char_indices() {
                prop_assert_eq!(places.of_byte(byte), text.location_of_byte(byte));
            }
            prop_assert_eq!(places.of_byte(text.text.len()), text.location_of_byte(text.text.len()));
        }
    }

    #[test]
    fn a_text_in_a_text_starts_where_it_stands() {
        let start = Location {
            line: 7,
            column: 5,
            ..Location::start("f")
        };
        let text = SourceText::within("ab\ncd", start.clone());
        assert_eq!(text.location_of_byte(4).to_string(), "f:8:6");
        assert_eq!(
            SourceText::decoded("ab\ncd", start.clone()).location_of_byte(4),
            start
        );
        assert_eq!(
            SourceText::file("f", "\u{feff}ab")
                .location_of_byte(1)
                .to_string(),
            "f:1:2"
        );
    }
}
