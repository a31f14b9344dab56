//! Reads typed values from a parsed document. A wrong value is reported and read as absent, so that
//! reading continues; keys that are never read are unknown.

use std::{ops::RangeInclusive, time::Duration};

use toml::de::{DeTable, DeValue};

use super::{
    problem::ValueError,
    report::{KeyLocation, ProblemReport, nearest},
    unit,
    value::{ConfigText, TomlValue, integer, strings, text, wrong_type},
};

/// One table, which may be absent.
#[derive(Debug)]
#[must_use = "`finish` reports unknown keys"]
pub(super) struct Section<'t> {
    pub(super) report: &'t ProblemReport<'t>,
    pub(super) location: KeyLocation,
    table: Option<&'t DeTable<'t>>,
    known_keys: Vec<&'static str>,
}

impl<'t> Section<'t> {
    /// The whole document.
    pub(super) fn root(report: &'t ProblemReport<'t>, table: &'t DeTable<'t>) -> Self {
        Self {
            report,
            location: KeyLocation::absent(""),
            table: Some(table),
            known_keys: Vec::new(),
        }
    }

    /// The string at `key`, parsed.
    pub(super) fn parse<T>(
        &mut self,
        key: &'static str,
        parse: impl FnOnce(&str) -> Result<T, ValueError>,
    ) -> Option<T> {
        let text = self.string(key)?;
        match parse(&text.text) {
            Ok(value) => Some(value),
            Err(error) => {
                self.report.problem(&text.location, error);
                None
            }
        }
    }

    /// The string at `key`.
    pub(super) fn string(&mut self, key: &'static str) -> Option<ConfigText> {
        let (value, location) = self.take(key)?;
        text(self.report, value, location)
    }

    /// The string at `key` unless it is empty, for keys whose default is `""`.
    pub(super) fn string_or_unset(&mut self, key: &'static str) -> Option<ConfigText> {
        self.string(key).filter(|text| !text.text.is_empty())
    }

    /// One string or a list of them.
    pub(super) fn strings(&mut self, key: &'static str) -> Option<Vec<ConfigText>> {
        let (value, location) = self.take(key)?;
        strings(self.report, value, &location)
    }

    /// One of a few words.
    pub(super) fn choice<T: Copy>(
        &mut self,
        key: &'static str,
        words: &[(&'static str, T)],
    ) -> Option<T> {
        self.parse(key, |text| {
            if let Some((_, meaning)) = words.iter().find(|(word, _)| *word == text) {
                return Ok(*meaning);
            }
            let names: Vec<_> = words
                .iter()
                .map(|(word, _)| format!("\"{word}\""))
                .collect();
            let error = ValueError::new(format!("it must be one of {}", names.join(", ")));
            Err(
                match nearest(&text.to_lowercase(), words.iter().map(|(word, _)| *word)) {
                    Some(word) => error.hint(format!("did you mean \"{word}\"?")),
                    None => error,
                },
            )
        })
    }

    /// `true` or `false`.
    pub(super) fn flag(&mut self, key: &'static str) -> Option<bool> {
        let (value, location) = self.take(key)?;
        if let DeValue::Boolean(flag) = value.get_ref() {
            return Some(*flag);
        }
        let error = wrong_type("true or false", value);
        let quoted = matches!(value.get_ref().as_str(), Some("true" | "false"));
        let error = if quoted {
            error.hint("remove the quotes")
        } else {
            error
        };
        self.report.problem(&location, error);
        None
    }

    /// A whole number within bounds.
    pub(super) fn integer(
        &mut self,
        key: &'static str,
        bounds: &RangeInclusive<usize>,
    ) -> Option<usize> {
        let (value, location) = self.take(key)?;
        match integer(value, bounds, "a whole number") {
            Ok(number) => Some(number),
            Err(error) => {
                self.report.problem(&location, error);
                None
            }
        }
    }

    /// A whole number within bounds, or `"auto"`, which reads as absent.
    pub(super) fn integer_or_auto(
        &mut self,
        key: &'static str,
        bounds: &RangeInclusive<usize>,
    ) -> Option<usize> {
        let (value, location) = self.take(key)?;
        if value.get_ref().as_str() == Some("auto") {
            return None;
        }
        match integer(value, bounds, "\"auto\" or a whole number") {
            Ok(number) => Some(number),
            Err(error) => {
                self.report.problem(&location, error);
                None
            }
        }
    }

    /// A size in bytes with its unit.
    pub(super) fn size(&mut self, key: &'static str, bounds: &RangeInclusive<u64>) -> Option<u64> {
        self.measure(key, |text| unit::size(text, bounds))
    }

    /// A duration with its unit, its bounds in milliseconds.
    pub(super) fn duration(
        &mut self,
        key: &'static str,
        bounds_ms: &RangeInclusive<u64>,
    ) -> Option<Duration> {
        self.measure(key, |text| unit::duration(text, bounds_ms))
    }

    /// The duration at `key` unless it is empty, for keys whose default is `""`.
    pub(super) fn duration_or_unset(
        &mut self,
        key: &'static str,
        bounds_ms: &RangeInclusive<u64>,
    ) -> Option<Duration> {
        let unset = |text: &str| {
            if text.is_empty() {
                Ok(None)
            } else {
                unit::duration(text, bounds_ms).map(Some)
            }
        };
        self.measure(key, unset).flatten()
    }

    /// The table at `key`; an empty one if it is absent.
    pub(super) fn section(&mut self, key: &'static str) -> Self {
        let (report, absent) = (self.report, self.absent(key));
        let Some((value, location)) = self.take(key) else {
            return absent;
        };
        table_at(
            report,
            value,
            location,
            &format!("write [{key}] on a line of its own"),
        )
        .unwrap_or(absent)
    }

    /// The tables of a list, written `[[key]]` or as a list of inline tables.
    pub(super) fn sections(&mut self, key: &'static str) -> Vec<Self> {
        let Some((value, location)) = self.take(key) else {
            return Vec::new();
        };
        let hint = format!("write [[{key}]], with two brackets");
        let DeValue::Array(list) = value.get_ref() else {
            let location = KeyLocation {
                is_value: !value.get_ref().is_table(),
                ..location
            };
            self.report
                .problem(&location, wrong_type("a list of tables", value).hint(hint));
            return Vec::new();
        };
        let open =
            |(index, value)| table_at(self.report, value, location.element(index, value), &hint);
        list.iter().enumerate().filter_map(open).collect()
    }

    /// The elements of a list of strings and tables; `None` for an element that is neither.
    pub(super) fn elements(&mut self, key: &'static str) -> Vec<Option<ListElement<'t>>> {
        let Some((value, location)) = self.take(key) else {
            return Vec::new();
        };
        let DeValue::Array(list) = value.get_ref() else {
            let hint = "put it in brackets: [\"…\"]";
            self.report
                .problem(&location, wrong_type("a list", value).hint(hint));
            return Vec::new();
        };
        let element = |(index, value): (usize, &'t TomlValue<'t>)| {
            let location = location.element(index, value);
            let hint = "write a string or an inline table { … }";
            match value.get_ref() {
                DeValue::Table(_) => {
                    table_at(self.report, value, location, hint).map(ListElement::Table)
                }
                _ => text(self.report, value, location).map(ListElement::Text),
            }
        };
        list.iter().enumerate().map(element).collect()
    }

    /// All keys of a table whose keys are the user's own, with one string or a list at each.
    pub(super) fn named_strings(&self) -> Vec<(String, Vec<ConfigText>)> {
        let read = |(key, value): (_, &'t TomlValue<'t>)| {
            let location = self.location.below(key, value);
            strings(self.report, value, &location).map(|texts| (String::from(key), texts))
        };
        self.entries().filter_map(read).collect()
    }

    /// All tables of a table whose keys are the user's own.
    pub(super) fn named_sections(&self) -> Vec<(String, Self)> {
        let read = |(key, value): (_, &'t TomlValue<'t>)| {
            let hint = format!("write a table for each: [{}.\"NAME\"]", self.location.key);
            table_at(self.report, value, self.location.below(key, value), &hint)
                .map(|section| (String::from(key), section))
        };
        self.entries().filter_map(read).collect()
    }

    /// The rest of an unquoted name with dots: `[a.b.c]` is a table in a table.
    pub(super) fn cut_name(&self) -> Option<String> {
        let mut name = String::new();
        let mut table = self.table?;
        while let Some((key, value)) = table.iter().next().filter(|_| table.len() == 1)
            && let DeValue::Table(below) = value.get_ref()
        {
            name.extend([".", key.get_ref().as_ref()]);
            table = below;
        }
        Some(name).filter(|name| !name.is_empty())
    }

    /// The location of `key`'s value, or of its `index`th element; of the table if both are absent.
    pub(super) fn location_of(&self, key: &str, index: Option<usize>) -> KeyLocation {
        let Some(value) = self.table.and_then(|table| table.get(key)) else {
            return self.location.clone();
        };
        let location = self.location.below(key, value);
        let list = value.get_ref().as_array();
        match index.and_then(|index| Some((index, list?.get(index)?))) {
            Some((index, element)) => location.element(index, element),
            None => location,
        }
    }

    /// Whether `key` is present.
    pub(super) fn has(&self, key: &str) -> bool {
        self.table.is_some_and(|table| table.contains_key(key))
    }

    /// Reports unknown keys.
    pub(super) fn finish(self) {
        for (key, _) in self.table.into_iter().flatten() {
            let name = key.get_ref().as_ref();
            if !self.known_keys.contains(&name) {
                let whole = self.location.below(name, key);
                let location = KeyLocation {
                    is_value: false,
                    ..whole
                };
                self.report.unknown(name, location, self.known_keys.clone());
            }
        }
    }

    fn measure<T>(
        &mut self,
        key: &'static str,
        parse: impl FnOnce(&str) -> Result<T, ValueError>,
    ) -> Option<T> {
        let (value, location) = self.take(key)?;
        let result = match value.get_ref() {
            DeValue::String(text) => parse(text),
            // A bare number gets the same hint as a string without a unit.
            DeValue::Integer(number) => parse(number.as_str()),
            DeValue::Float(number) => parse(number.as_str()),
            _ => Err(wrong_type("a string", value)),
        };
        result
            .map_err(|error| self.report.problem(&location, error))
            .ok()
    }

    fn take(&mut self, key: &'static str) -> Option<(&'t TomlValue<'t>, KeyLocation)> {
        self.known_keys.push(key);
        self.report.expect_key(&self.location, key);
        let value = self.table?.get(key)?;
        Some((value, self.location.below(key, value)))
    }

    fn absent(&self, key: &str) -> Self {
        Self {
            report: self.report,
            location: KeyLocation::absent(self.location.join(key)),
            table: None,
            known_keys: Vec::new(),
        }
    }

    fn entries(&self) -> impl Iterator<Item = (&'t str, &'t TomlValue<'t>)> + use<'t> {
        self.table
            .into_iter()
            .flatten()
            .map(|(key, value)| (key.get_ref().as_ref(), value))
    }
}

/// One element of a list of strings and tables.
#[derive(Debug)]
pub(super) enum ListElement<'t> {
    Text(ConfigText),
    Table(Section<'t>),
}

fn table_at<'t>(
    report: &'t ProblemReport<'t>,
    value: &'t TomlValue<'t>,
    location: KeyLocation,
    hint: &str,
) -> Option<Section<'t>> {
    if let DeValue::Table(table) = value.get_ref() {
        let location = KeyLocation {
            is_value: false,
            ..location
        };
        return Some(Section {
            report,
            location,
            table: Some(table),
            known_keys: Vec::new(),
        });
    }
    let written_as_tables = value
        .get_ref()
        .as_array()
        .is_some_and(|list| list.iter().any(|one| one.get_ref().is_table()));
    let location = KeyLocation {
        is_value: !written_as_tables,
        ..location
    };
    report.problem(&location, wrong_type("a table", value).hint(hint));
    None
}
