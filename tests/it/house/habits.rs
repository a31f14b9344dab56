//! Rules for single files: their length, and what they may touch.

use std::collections::BTreeSet;

use super::{model::Crate, sources::Source};

/// Most lines of a file without its tests, and with them.
const LINES_MAX: (usize, usize) = (400, 600);
const MEANINGLESS_NAMES: [&str; 4] = ["mod", "util", "common", "helpers"];

/// Files outside of `disk` that touch file APIs: a socket's file belongs to its listener. (The
/// index is not here: its database opens its own file.)
const TOUCH_FILES: [&str; 1] = ["src/server/socket_file.rs"];

/// The rooms that answer HTTP, each with one file that picks failing statuses.
const PICK_STATUSES: [&str; 3] = ["src/api/error.rs", "src/admin.rs", "src/control.rs"];
const FINE_STATUSES: [&str; 3] = ["OK", "PARTIAL_CONTENT", "NOT_MODIFIED"];

/// Words of I/O and waiting, which `oci` does without.
const IMPURE: [&str; 5] = ["tokio", "fs", "TcpStream", "TcpListener", "UdpSocket"];

/// Files that are too long, begin without a `//!` line or have a name that says nothing.
pub(super) fn lengths_and_names(sources: &[Source], code: &Crate) -> Vec<String> {
    let mut wrong = Vec::new();
    for Source { path, text } in sources {
        let is_code = code.files.iter().any(|file| file.path == *path);
        let own = if is_code { before_tests(text) } else { "" };
        let (without, with) = (own.lines().count(), text.lines().count());
        if without > LINES_MAX.0 || with > LINES_MAX.1 {
            wrong.push(format!("{path}: {without} of {with} lines"));
        }
        let name = path.rsplit('/').next().unwrap_or_default();
        if !text.starts_with("//!") || MEANINGLESS_NAMES.contains(&name.trim_end_matches(".rs")) {
            wrong.push(format!("{path}: no first line, or no name"));
        }
    }
    wrong
}

/// Files other than those listed that touch files, wait or pick failing statuses.
pub(super) fn touches_and_statuses(code: &Crate) -> Vec<String> {
    let mut wrong = BTreeSet::new();
    for file in &code.files {
        let path = file.path.as_str();
        let is_disk = path.starts_with("src/disk");
        if file.words.contains("fs") && !is_disk && !TOUCH_FILES.contains(&path) {
            wrong.insert(format!("{path} touches files"));
        }
        let is_impure = IMPURE.iter().any(|word| file.words.contains(*word));
        if path.starts_with("src/oci") && is_impure {
            wrong.insert(format!("{path} waits or does I/O"));
        }
    }
    for mention in &code.mentions {
        let path = code.files[code.scopes[mention.scope].file].path.as_str();
        if !PICK_STATUSES.contains(&path) && names_failing_status(&mention.path) {
            wrong.insert(format!("{path} picks a failing status"));
        }
    }
    wrong.into_iter().collect()
}

fn names_failing_status(path: &[String]) -> bool {
    let is_constant = |name: &str| name.chars().all(|c| c.is_ascii_uppercase() || c == '_');
    path.windows(2).any(|pair| {
        let name = pair[1].as_str();
        pair[0] == "StatusCode" && is_constant(name) && !FINE_STATUSES.contains(&name)
    })
}

fn before_tests(text: &str) -> &str {
    let mut parts = text.split("\n#[cfg(test)]\nmod tests {");
    parts.next().unwrap_or(text)
}
