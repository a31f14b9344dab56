//! TOML as it is written: tables under comments that say where they come from.

use std::{
    fmt::{Display, Write as _},
    time::Duration,
};

use crate::platform::printable;

/// A document as it grows.
#[derive(Debug, Default)]
pub(super) struct TomlWriter(String);

/// A list that would be longer, in characters, stands on several lines.
const LINE_CHARS_MAX: usize = 90;

impl TomlWriter {
    /// An empty line, if something stands before it.
    pub(super) fn gap(&mut self) {
        if !self.0.is_empty() {
            self.0.push('\n');
        }
    }

    /// The header of a table, below a comment.
    pub(super) fn table(&mut self, header: &str, comment: impl Display) {
        self.gap();
        self.comment(comment);
        self.line(header);
    }

    /// A comment of one line, whatever stands in the text.
    pub(super) fn comment(&mut self, text: impl Display) {
        self.line(&format!("# {}", printable(&text.to_string())));
    }

    /// A key and what is already written as a value.
    pub(super) fn entry(&mut self, key: &str, value: &str) {
        self.line(&format!("{key} = {value}"));
    }

    /// All of another document.
    pub(super) fn append(&mut self, other: &Self) {
        self.gap();
        self.0.push_str(&other.0);
    }

    /// All of another document, as comments.
    pub(super) fn append_as_comments(&mut self, other: &Self) {
        self.gap();
        for line in other.0.lines() {
            // Its own comments stay as they are.
            let mark = if line.starts_with('#') { "" } else { "# " };
            self.line(&format!("{mark}{line}"));
        }
    }

    pub(super) fn into_text(self) -> String {
        self.0
    }

    /// A line as it is.
    pub(super) fn line(&mut self, line: &str) {
        self.0.push_str(line);
        self.0.push('\n');
    }
}

/// A string; one with backslashes or quotes, such as a regex, stands as it is if it can.
pub(super) fn string(text: &str) -> String {
    let is_plain = |letter: char| !letter.is_control() && letter != '\'';
    if text.contains(['\\', '"']) && text.chars().all(is_plain) {
        return format!("'{text}'");
    }
    let mut quoted = "\"".to_owned();
    for letter in text.chars() {
        match letter {
            '"' | '\\' => quoted.extend(['\\', letter]),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            control if control.is_control() => {
                let _infallible = write!(quoted, "\\u{:04X}", u32::from(control)).is_ok();
            }
            letter => quoted.push(letter),
        }
    }
    quoted.push('"');
    quoted
}

/// A list of written values.
pub(super) fn list(values: &[String]) -> String {
    let line = format!("[{}]", values.join(", "));
    if values.len() < 2 || line.chars().count() <= LINE_CHARS_MAX {
        return line;
    }
    format!("[\n    {},\n]", values.join(",\n    "))
}

/// A duration with its unit.
pub(super) fn duration(duration: Duration) -> String {
    match duration.as_millis() {
        ms if ms % 1000 == 0 => format!("{}s", ms / 1000),
        ms => format!("{ms}ms"),
    }
}
