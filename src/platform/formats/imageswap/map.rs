//! The map's grammar: `SOURCE::TARGET`, in lines or separated by commas, with a location for every
//! part.

use std::collections::HashMap;

use crate::{
    oci::{ImageReference, InvalidReference},
    platform::reading::{
        diagnostic::{Diagnostic, DiagnosticCode},
        location::{Location, SourceText},
        name_part,
        placeholder::placeholder,
    },
};

/// A map, grouped by the kind of its keys.
#[derive(Debug, Default)]
pub(in crate::platform) struct SwapMap {
    /// `[EXACT]IMAGE`.
    pub(in crate::platform) exact: MapEntries,
    /// `[REPLACE]GLOB`; the first match takes effect.
    pub(in crate::platform) replace: MapEntries,
    /// `REGISTRY` and `REGISTRY/library`.
    pub(in crate::platform) registries: MapEntries,
    /// The value of `default`.
    pub(in crate::platform) default: Option<LocatedText>,
    /// The values of `noswap_wildcards`.
    pub(in crate::platform) opt_outs: Vec<LocatedText>,
}

/// A line of the map, without the marker of its kind.
#[derive(Debug)]
pub(in crate::platform) struct MapEntry {
    pub(in crate::platform) key: LocatedText,
    pub(in crate::platform) value: LocatedText,
}

/// A part of a line, without spaces.
#[derive(Clone, Debug)]
pub(in crate::platform) struct LocatedText {
    pub(in crate::platform) text: String,
    pub(in crate::platform) location: Location,
}

/// Entries in the order of the file. A repeated key has the last value, at the position of the
/// first.
#[derive(Debug, Default)]
pub(in crate::platform) struct MapEntries {
    pub(in crate::platform) all: Vec<MapEntry>,
    known: HashMap<String, usize>,
}

/// Most lines and commas of a map, since each may yield a diagnostic.
const ITEMS_MAX: usize = 200_000;

impl SwapMap {
    /// Reads a text; reports invalid lines.
    pub(in crate::platform) fn read(
        text: &SourceText<'_>,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Self {
        let mut map = Self::default();
        let ends = text.text.bytes().filter(|byte| b",\n".contains(byte));
        if ends.count() > ITEMS_MAX {
            let message = format!("more than {ITEMS_MAX} lines and commas");
            diagnostics.push(
                Diagnostic::new(DiagnosticCode::File, &text.start(), message).fix("split the map"),
            );
            return map;
        }
        for (number, line) in text.lines() {
            let line = without_comment(line, number, text, diagnostics);
            // Only opt-outs may contain commas.
            let is_list =
                !(line.trim_start().starts_with(NOSWAP_KEY) && split_entry(line).is_some());
            let mut column = 1;
            for written in line.split(|letter| is_list && letter == ',') {
                let item = MapItem {
                    text,
                    written,
                    position: (number, column),
                };
                if let Err(diagnostic) = map.take(&item) {
                    diagnostics.push(diagnostic);
                }
                column += written.chars().count() + 1;
            }
        }
        map
    }

    fn take(&mut self, item: &MapItem<'_, '_>) -> Result<(), Diagnostic> {
        let line = item.written.trim_end().replace(' ', "");
        if line.is_empty() {
            return Ok(());
        }
        let whole = item.part(0, &line);
        let (key, value) = split_entry(&line).ok_or_else(|| {
            whole.placeholder().unwrap_or_else(|| {
                let diagnostic = Diagnostic::new(
                    DiagnosticCode::Separator,
                    &whole.location,
                    "this is not SOURCE::TARGET",
                );
                let fix = "write SOURCE::TARGET, always with two colons where there is a port";
                diagnostic.excerpt(&line).fix(fix)
            })
        })?;
        let value = item.part(line.len() - value.len(), value);
        if let Some(diagnostic) = whole.placeholder() {
            return Err(value.placeholder().unwrap_or(diagnostic));
        }
        let marked = |mark: &str| key.strip_prefix(mark).map(|key| item.part(mark.len(), key));
        if let Some(key) = marked("[EXACT]") {
            self.exact.put(MapEntry { key, value });
        } else if let Some(key) = marked("[REPLACE]") {
            self.replace.put(MapEntry { key, value });
        } else if key == "default" {
            self.default = Some(value);
        } else if key == NOSWAP_KEY {
            let mut at = line.len() - value.text.len();
            let parts = value.text.split(',').map(|part| {
                let located = item.part(at, part);
                at += part.len() + 1;
                located
            });
            self.opt_outs = parts.filter(|part| !part.text.is_empty()).collect();
        } else {
            let key = item.part(0, key);
            self.registries.put(MapEntry { key, value });
        }
        Ok(())
    }
}

const NOSWAP_KEY: &str = "noswap_wildcards";

impl LocatedText {
    /// The text as an image reference.
    pub(super) fn image(&self) -> Result<ImageReference, Diagnostic> {
        self.reject_scheme()?;
        let wrong = |invalid: InvalidReference| {
            self.diagnostic(DiagnosticCode::Reference, invalid.to_string())
        };
        self.text.parse().map_err(wrong)
    }

    /// `E-DEADKEY`.
    pub(super) fn dead_key(&self) -> Diagnostic {
        let message = "imageswap never uses this key: a key is REGISTRY, REGISTRY:PORT, \
                       docker.io/library, default or noswap_wildcards";
        let fix = "to reroute one image, write [EXACT]IMAGE::IMAGE";
        self.diagnostic(DiagnosticCode::DeadKey, message).fix(fix)
    }

    pub(super) fn reject_scheme(&self) -> Result<(), Diagnostic> {
        name_part::reject_scheme(&self.text, &self.location)
    }

    /// A diagnostic about it.
    pub(in crate::platform) fn diagnostic(
        &self,
        code: DiagnosticCode,
        message: impl Into<String>,
    ) -> Diagnostic {
        Diagnostic::new(code, &self.location, message).excerpt(&self.text)
    }

    fn placeholder(&self) -> Option<Diagnostic> {
        placeholder(&self.text, &self.location)
    }
}

impl MapEntries {
    /// Whether the key is known.
    pub(in crate::platform) fn has(&self, key: &str) -> bool {
        self.known.contains_key(key)
    }

    /// Adds an entry, or replaces its value.
    pub(in crate::platform) fn put(&mut self, pair: MapEntry) {
        let next = self.all.len();
        let at = *self.known.entry(pair.key.text.clone()).or_insert(next);
        match self.all.get_mut(at) {
            Some(known) => *known = pair,
            None => self.all.push(pair),
        }
    }
}

/// A line, or the text between two commas of one.
struct MapItem<'i, 't> {
    text: &'i SourceText<'t>,
    written: &'i str,
    /// The location of its start.
    position: (usize, usize),
}

impl MapItem<'_, '_> {
    /// A part of the line without spaces, which begins at byte `at`.
    fn part(&self, at: usize, part: &str) -> LocatedText {
        let mut left = at;
        let before = self.written.chars().take_while(|letter| {
            let is_before = *letter == ' ' || left > 0;
            if *letter != ' ' {
                left = left.saturating_sub(letter.len_utf8());
            }
            is_before
        });
        let (line, column) = self.position;
        LocatedText {
            text: part.to_owned(),
            location: self.text.location(line, column + before.count()),
        }
    }
}

/// The text before the first `#`. imageswap cuts only at the last run of them, and so reads a
/// comment with two as part of the value.
fn without_comment<'l>(
    line: &'l str,
    number: usize,
    text: &SourceText<'_>,
    diagnostics: &mut Vec<Diagnostic>,
) -> &'l str {
    let Some((before, comment)) = line.split_once('#') else {
        return line;
    };
    if !before.trim().is_empty() && comment.trim_start_matches('#').contains('#') {
        let location = text.location(number, before.chars().count() + 1);
        let message = "two comment marks in one line: imageswap reads the first one as part of \
                       the value";
        let diagnostic = Diagnostic::new(DiagnosticCode::MultiHash, &location, message);
        diagnostics.push(diagnostic.excerpt(line.trim()).fix("leave one #"));
    }
    before
}

/// Key and value, split at the only `::`, or at the only colon as in older maps.
fn split_entry(line: &str) -> Option<(&str, &str)> {
    let at = |separator| {
        let (key, value) = line.split_once(separator)?;
        (!value.contains(separator)).then_some((key, value))
    };
    let is_port = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    // `registry:5000` alone is a key without a value.
    at("::").or_else(|| at(":").filter(|(_, value)| !is_port(value.trim())))
}
