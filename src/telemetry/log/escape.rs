//! Escapes text from outside, so that neither a terminal nor a line reader interprets it.

use std::fmt;

use serde_json::to_string;

/// As a JSON string.
pub(super) struct EscapedJson<'a>(pub &'a str);

/// Unchanged, or quoted and escaped where it would be ambiguous.
pub(super) struct EscapedText<'a>(pub &'a str);

impl EscapedJson<'_> {
    /// As `Display`, without its overhead: every request's entry has ten of them.
    pub(super) fn write_to(&self, writer: &mut impl fmt::Write) -> fmt::Result {
        // Nearly all text needs no escapes.
        if self
            .0
            .bytes()
            .all(|byte| matches!(byte, b' '..=b'~') && !b"\"\\".contains(&byte))
        {
            writer.write_str("\"")?;
            writer.write_str(self.0)?;
            return writer.write_str("\"");
        }
        // serde_json escapes only quotes, backslashes and characters below U+0020.
        let quoted = to_string(self.0).map_err(|_never| fmt::Error)?;
        if !quoted.chars().any(is_control) {
            return writer.write_str(&quoted);
        }
        for character in quoted.chars() {
            if is_control(character) {
                // All of them are in the basic plane, so one escape suffices.
                write!(writer, "\\u{:04x}", u32::from(character))?;
            } else {
                writer.write_char(character)?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for EscapedJson<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_to(formatter)
    }
}

impl fmt::Display for EscapedText<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = |c: char| !c.is_whitespace() && !is_control(c) && !"\"\\=".contains(c);
        if !self.0.is_empty() && self.0.chars().all(plain) {
            return formatter.write_str(self.0);
        }
        formatter.write_str("\"")?;
        escaped(self.0, "\"\\", formatter)?;
        formatter.write_str("\"")
    }
}

/// A sentence: unquoted, but one line.
pub(super) struct EscapedSentence<'a>(pub &'a str);

impl fmt::Display for EscapedSentence<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        escaped(self.0, "", formatter)
    }
}

fn escaped(text: &str, also: &str, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
    for character in text.chars() {
        match character {
            _ if also.contains(character) => write!(formatter, "\\{character}")?,
            '\n' => formatter.write_str("\\n")?,
            '\r' => formatter.write_str("\\r")?,
            _ if is_control(character) => write!(formatter, "{}", character.escape_unicode())?,
            _ => fmt::Write::write_char(formatter, character)?,
        }
    }
    Ok(())
}

/// Control characters, other line ends, and marks that change the writing direction.
fn is_control(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}
