//! Output of commands on stdout and stderr.

use std::{
    fmt::Display,
    io::{self, Write},
};

use crate::platform::printable;

/// Prints a line on stdout. A closed pipe is not an error.
pub(super) fn print_line(line: impl Display) {
    let line = printable_lines(line);
    let _closed = writeln!(io::stdout().lock(), "{line}").is_err();
}

/// Prints a whole text on stdout.
pub(super) fn print_text(text: &str) {
    let mut out = io::stdout().lock();
    let _closed = out
        .write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .is_err();
}

/// Prints a line on stderr; control characters are escaped, also those of file names.
pub(super) fn eprint_line(line: impl Display) {
    let line = printable(&line.to_string());
    let _closed = writeln!(io::stderr().lock(), "{line}").is_err();
}

/// Prints an error on stderr.
pub(super) fn eprint_error(error: impl Display) {
    let error = printable_lines(error);
    let _closed = writeln!(io::stderr().lock(), "roadstead: {error}").is_err();
}

/// As [`printable`], of several lines.
fn printable_lines(text: impl Display) -> String {
    let text = text.to_string();
    let lines: Vec<_> = text.split('\n').map(printable).collect();
    lines.join("\n")
}
