//! Collects problems and notes, so that reading continues after the first mistake.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

use super::problem::{ConfigProblem, ConfigProblems, ImportedLocation, ValueError};
use crate::platform::{self, Diagnostic};

/// Longest part of a value that is repeated in a problem, in characters.
const VALUE_CHARS_MAX: usize = 60;

/// A location in the document.
#[derive(Clone, Debug)]
pub(super) struct KeyLocation {
    pub(super) key: String,
    /// `None` without text in the document: a missing key, a command-line option.
    pub(super) span: Option<Range<usize>>,
    /// Whether the text at `span` is a value worth repeating, not a whole table.
    pub(super) is_value: bool,
    /// The location in an imported file that the key names.
    pub(super) imported: Option<platform::Location>,
}

impl KeyLocation {
    /// A key that is absent, or not one of the file.
    pub(super) fn absent(key: impl Into<String>) -> Self {
        Self {
            key: key.into(),
            span: None,
            is_value: false,
            imported: None,
        }
    }

    /// A location in a file that the key names.
    pub(super) fn in_imported(&self, imported: &platform::Location) -> Self {
        Self {
            is_value: false,
            imported: Some(imported.clone()),
            ..self.clone()
        }
    }

    /// Its name in notes.
    pub(super) fn display_name(&self) -> String {
        let imported = self.imported.as_ref();
        imported.map_or_else(|| self.key.clone(), ToString::to_string)
    }
}

/// Everything found so far in one document.
#[derive(Debug)]
pub(super) struct ProblemReport<'t> {
    text: &'t str,
    line_starts: Vec<usize>,
    problems: RefCell<Vec<ConfigProblem>>,
    notes: RefCell<Vec<String>>,
    unknown: RefCell<Vec<UnknownKey>>,
    /// Every known key, with the sections that have it.
    sections_by_key: RefCell<BTreeMap<&'static str, BTreeSet<String>>>,
}

/// An unknown key; its suggestion is made when all known keys are collected.
#[derive(Debug)]
struct UnknownKey {
    section: String,
    name: String,
    location: KeyLocation,
    siblings: Vec<&'static str>,
}

impl<'t> ProblemReport<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        let ends = text.match_indices('\n').map(|(end, _)| end + 1);
        Self {
            text,
            line_starts: std::iter::once(0).chain(ends).collect(),
            problems: RefCell::default(),
            notes: RefCell::default(),
            unknown: RefCell::default(),
            sections_by_key: RefCell::default(),
        }
    }

    pub(super) fn problem(&self, location: &KeyLocation, error: ValueError) {
        let ValueError { reason, hint, code } = error;
        let imported = location.imported.as_ref();
        let imported = imported.map(|location| ImportedLocation::new(location, code));
        let prefix = imported.as_ref().map(ImportedLocation::to_string);
        let position = location
            .span
            .as_ref()
            .map(|span| self.line_and_column(span.start));
        let value = location.span.clone().filter(|_| location.is_value);
        let problem = ConfigProblem {
            // A table's name may be a URL.
            key: redacted(&location.key),
            value: value.map(|span| shortened(self.text.get(span).unwrap_or_default())),
            line: position.map(|(line, _)| line),
            column: position.map(|(_, column)| column),
            imported,
            reason: prefix.unwrap_or_default() + &redacted(&reason),
            hint: hint.as_deref().map(redacted),
        };
        self.problems.borrow_mut().push(problem);
    }

    /// A problem in an imported file; `location` is the key that names it.
    pub(super) fn imported(&self, location: &KeyLocation, diagnostic: &Diagnostic) {
        let excerpt = diagnostic
            .excerpt
            .as_ref()
            .map(|excerpt| format!(": {excerpt:?}"));
        let error = ValueError {
            reason: diagnostic.message.clone() + &excerpt.unwrap_or_default(),
            hint: diagnostic.fix.clone(),
            code: Some(diagnostic.code),
        };
        self.problem(&location.in_imported(&diagnostic.location), error);
    }

    /// Invalid TOML.
    pub(super) fn syntax_error(&self, span: Option<Range<usize>>, message: &str) {
        let line = span.as_ref().map(|span| self.line_and_column(span.start).0);
        let location = KeyLocation {
            span,
            ..KeyLocation::absent("")
        };
        let error = ValueError::new(format!("invalid TOML: {message}"));
        let line = line
            .and_then(|line| self.text.lines().nth(line - 1))
            .unwrap_or_default();
        let bare = line
            .split_once('=')
            .is_some_and(|(_, value)| !value.trim_start().starts_with(['"', '\'', '[', '{', '#']));
        let hint = "put strings in quotes: key = \"value\"";
        self.problem(&location, if bare { error.hint(hint) } else { error });
    }

    /// A problem with a value that is not part of the file.
    pub(super) fn problem_elsewhere(&self, key: &str, value: &str, error: ValueError) {
        let problem = ConfigProblem {
            key: key.to_owned(),
            value: Some(shortened(&format!("{value:?}"))),
            line: None,
            column: None,
            imported: None,
            reason: error.reason,
            hint: error.hint,
        };
        self.problems.borrow_mut().push(problem);
    }

    pub(super) fn note(&self, note: impl Into<String>) {
        self.notes.borrow_mut().push(note.into());
    }

    /// Line and character of a byte, both counted from 1.
    pub(super) fn line_and_column(&self, byte: usize) -> (usize, usize) {
        let line = self.line_starts.partition_point(|start| *start <= byte);
        let start = line.checked_sub(1).and_then(|at| self.line_starts.get(at));
        let before = self.text.get(start.copied().unwrap_or(0)..byte);
        (line, before.unwrap_or_default().chars().count() + 1)
    }

    /// Records a known key of `section`.
    pub(super) fn expect_key(&self, section: &KeyLocation, name: &'static str) {
        self.sections_by_key
            .borrow_mut()
            .entry(name)
            .or_default()
            .insert(header(&section.key));
    }

    pub(super) fn unknown(&self, name: &str, location: KeyLocation, siblings: Vec<&'static str>) {
        let section = header(
            location
                .key
                .strip_suffix(name)
                .unwrap_or_default()
                .trim_end_matches('.'),
        );
        self.unknown.borrow_mut().push(UnknownKey {
            section,
            name: name.to_owned(),
            location,
            siblings,
        });
    }

    /// Every known key.
    #[cfg(test)]
    pub(super) fn known(&self) -> Vec<&'static str> {
        self.sections_by_key.borrow().keys().copied().collect()
    }

    /// Ends the reading: the notes, or all problems.
    pub(super) fn finish(self, file: &str) -> Result<Vec<String>, ConfigProblems> {
        for unknown in self.unknown.take() {
            let hint = self.suggestion(&unknown);
            self.problem(
                &unknown.location,
                ValueError {
                    hint,
                    ..ValueError::new("no such key")
                },
            );
        }
        let mut problems = self.problems.take();
        // Invalid TOML causes further problems in its line; only the cause is reported.
        let broken: BTreeSet<_> = problems
            .iter()
            .filter(|problem| problem.key.is_empty())
            .map(|problem| problem.line)
            .collect();
        problems.retain(|problem| problem.key.is_empty() || !broken.contains(&problem.line));
        problems.sort_by_key(|problem| (problem.line.unwrap_or(usize::MAX), problem.column));
        // The first problem of a value is the cause of the others.
        problems.dedup_by(|later, first| {
            let same_value = first.value.is_some()
                && (&later.key, later.line, later.column) == (&first.key, first.line, first.column);
            same_value || later == first
        });
        if problems.is_empty() {
            Ok(self.notes.take())
        } else {
            Err(ConfigProblems {
                file: file.to_owned(),
                problems,
            })
        }
    }

    fn suggestion(&self, unknown: &UnknownKey) -> Option<String> {
        if ["password", "passwd", "token", "secret"].contains(&unknown.name.as_str()) {
            let hint = "secrets are read from files: password_file = \"FILE\", mode 0600";
            return Some(hint.to_owned());
        }
        self.right_section(unknown).or_else(|| {
            let near = nearest(&unknown.name, unknown.siblings.iter().copied())?;
            Some(format!("did you mean \"{near}\"?"))
        })
    }

    /// The sections that have a key of exactly this name.
    fn right_section(&self, unknown: &UnknownKey) -> Option<String> {
        let sections = self.sections_by_key.borrow();
        let sections = sections.get(unknown.name.as_str())?;
        let elsewhere = sections
            .iter()
            .filter(|section| **section != unknown.section);
        let elsewhere: Vec<_> = elsewhere.map(String::as_str).collect();
        match elsewhere.as_slice() {
            [] => None,
            [""] => Some(format!(
                "\"{}\" belongs at the top, before the first [table]",
                unknown.name
            )),
            sections => Some(format!(
                "\"{}\" belongs under {}",
                unknown.name,
                sections.join(" or ")
            )),
        }
    }
}

/// How the table with this path begins in a file: `[store]`, `[[route]]`, `[upstream."NAME"]`.
fn header(path: &str) -> String {
    match path.split_once(['[', '.']) {
        None if path.is_empty() => String::new(),
        None => format!("[{path}]"),
        Some(("upstream", _)) => "[upstream.\"NAME\"]".to_owned(),
        Some((list, _)) => format!("[[{list}]]"),
    }
}

/// The word closest to a mistyped one: at most two letters away, or one in a short word.
pub(super) fn nearest<'a>(text: &str, words: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let far = if text.len() < 5 { 1 } else { 2 };
    let letters = |text: &str| {
        let mut letters: Vec<_> = text.chars().collect();
        letters.sort_unstable();
        letters
    };
    // `form` for `from` counts as one mistake.
    let swapped = |word: &str| letters(word) == letters(text);
    words
        .map(|word| {
            (
                if swapped(word) {
                    1
                } else {
                    distance(text, word)
                },
                word,
            )
        })
        .filter(|(distance, _)| *distance <= far)
        .min()
        .map(|(_, word)| word)
}

/// Levenshtein's distance.
fn distance(left: &str, right: &str) -> usize {
    let mut row: Vec<usize> = (0..=right.chars().count()).collect();
    for (index, from) in left.chars().enumerate() {
        let mut diagonal = index;
        let mut last = index + 1;
        if let Some(first) = row.first_mut() {
            *first = last;
        }
        for (cell, to) in row.iter_mut().skip(1).zip(right.chars()) {
            let changed = diagonal + usize::from(from != to);
            diagonal = *cell;
            last = changed.min(last + 1).min(diagonal + 1);
            *cell = last;
        }
    }
    row.last().copied().unwrap_or_default()
}

/// A value's first line, shortened, without credentials.
fn shortened(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    let redacted = redacted(line);
    let whole = redacted.chars().count() <= VALUE_CHARS_MAX && line.len() == text.len();
    if whole {
        redacted
    } else {
        redacted
            .chars()
            .take(VALUE_CHARS_MAX)
            .chain(['…'])
            .collect()
    }
}

/// The text without the credentials of a URL (`https://USER:PASSWORD@HOST`, `USER:PASSWORD@HOST`).
fn redacted(text: &str) -> String {
    let Some((before, host)) = text.rsplit_once('@') else {
        return text.to_owned();
    };
    let start = match before.find("://") {
        Some(scheme) => scheme + 3,
        // A tag and a digest look alike, but a repository precedes them.
        None if before.contains(':') && !before.contains('/') => {
            before.rfind(['"', ' ', '\'']).map_or(0, |quote| quote + 1)
        }
        None => return text.to_owned(),
    };
    format!(
        "{}[redacted]@{host}",
        before.get(..start).unwrap_or_default()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_closest_word() {
        let words = ["listen", "names", "to", "digest"];
        for (text, word) in [
            ("lisen", Some("listen")),
            ("lsiten", Some("listen")),
            ("name", Some("names")),
            ("too", Some("to")),
            ("ot", Some("to")),
            ("url", None),
        ] {
            assert_eq!(nearest(text, words.into_iter()), word, "{text}");
        }
    }

    #[test]
    fn counts_lines_and_characters() {
        let report = ProblemReport::new("a = 1\nä = 2\n");
        assert_eq!(report.line_and_column(0), (1, 1));
        assert_eq!(report.line_and_column(11), (2, 5));
    }

    #[test]
    fn shows_no_credentials_and_no_long_values() {
        assert_eq!(
            shortened("\"https://me:pw@host\""),
            "\"https://[redacted]@host\""
        );
        assert_eq!(shortened("\"me:pw@host\""), "\"[redacted]@host\"");
        assert_eq!(shortened("\"host/a:1@sha256:0\""), "\"host/a:1@sha256:0\"");
        assert_eq!(shortened("[\n1\n]"), "[…");
        assert_eq!(
            shortened(&"x".repeat(100)).chars().count(),
            VALUE_CHARS_MAX + 1
        );
    }
}
