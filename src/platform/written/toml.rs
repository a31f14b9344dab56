//! Writes TOML: tables below comments with their origin.

use std::{
    fmt::{Display, Write as _},
    time::Duration,
};

use crate::platform::printable;

/// A document under construction.
#[derive(Debug, Default)]
pub(super) struct TomlWriter(String);

/// Longest list on one line, in characters.
const LINE_CHARS_MAX: usize = 90;

impl TomlWriter {
    /// An empty line, unless the document is empty.
    pub(super) fn gap(&mut self) {
        if !self.0.is_empty() {
            self.0.push('\n');
        }
    }

    /// A table header below a comment.
    pub(super) fn table(&mut self, header: &str, comment: impl Display) {
        self.gap();
        self.comment(comment);
        self.line(header);
    }

    /// A comment of one line, with control characters escaped.
    pub(super) fn comment(&mut self, text: impl Display) {
        self.line(&format!("# {}", printable(&text.to_string())));
    }

    /// A key and a formatted value.
    pub(super) fn entry(&mut self, key: &str, value: &str) {
        self.line(&format!("{key} = {value}"));
    }

    /// Another document.
    pub(super) fn append(&mut self, other: &Self) {
        self.gap();
        self.0.push_str(&other.0);
    }

    /// Another document, as comments.
    pub(super) fn append_as_comments(&mut self, other: &Self) {
        self.gap();
        for line in other.0.lines() {
            // Comments stay as they are.
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

/// A string; one with backslashes or quotes, such as a regex, is a literal string if possible.
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

/// A list of formatted values.
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
