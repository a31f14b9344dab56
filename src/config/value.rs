//! Single values of a document: strings, lists of strings, whole numbers.

use std::ops::RangeInclusive;

use toml::{Spanned, de::DeValue};

use super::{
    problem::ValueError,
    report::{KeyLocation, ProblemReport},
};

/// A value of the document with its span in the text.
pub(super) type TomlValue<'t> = Spanned<DeValue<'t>>;

/// A string, and where it is written.
#[derive(Clone, Debug)]
pub(super) struct ConfigText {
    pub(super) text: String,
    pub(super) location: KeyLocation,
}

impl KeyLocation {
    pub(super) fn below<T>(&self, key: &str, value: &Spanned<T>) -> Self {
        Self {
            key: self.join(key),
            span: Some(value.span()),
            is_value: true,
            imported: None,
        }
    }

    pub(super) fn element<T>(&self, index: usize, value: &Spanned<T>) -> Self {
        let key = format!("{}[{index}]", self.key);
        Self {
            key,
            span: Some(value.span()),
            is_value: true,
            imported: None,
        }
    }

    pub(super) fn join(&self, key: &str) -> String {
        let bare = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        let quoted = key.is_empty() || !key.bytes().all(bare);
        let key = if quoted {
            format!("{key:?}")
        } else {
            key.to_owned()
        };
        if self.key.is_empty() {
            key
        } else {
            format!("{}.{key}", self.key)
        }
    }
}

/// A string.
pub(super) fn text(
    report: &ProblemReport<'_>,
    value: &TomlValue<'_>,
    location: KeyLocation,
) -> Option<ConfigText> {
    match value.get_ref() {
        DeValue::String(text) => Some(ConfigText {
            text: text.as_ref().to_owned(),
            location,
        }),
        other => {
            let error = wrong_type("a string", value);
            let bare = matches!(
                other,
                DeValue::Boolean(_) | DeValue::Integer(_) | DeValue::Float(_)
            );
            let error = if bare {
                error.hint("put it in quotes")
            } else {
                error
            };
            report.problem(&location, error);
            None
        }
    }
}

/// One string or a list of them.
pub(super) fn strings(
    report: &ProblemReport<'_>,
    value: &TomlValue<'_>,
    location: &KeyLocation,
) -> Option<Vec<ConfigText>> {
    match value.get_ref() {
        DeValue::Array(list) => {
            let element = |(index, value)| text(report, value, location.element(index, value));
            let texts: Vec<_> = list.iter().enumerate().filter_map(element).collect();
            Some(texts).filter(|texts| !texts.is_empty() || list.is_empty())
        }
        DeValue::String(_) => text(report, value, location.clone()).map(|text| vec![text]),
        other => {
            let error = wrong_type("a string or a list of strings", value);
            let error = match other {
                DeValue::Table(_) => error.hint("put a name with dots in quotes"),
                _ => error,
            };
            report.problem(location, error);
            None
        }
    }
}

/// A whole number within bounds.
pub(super) fn integer(
    value: &TomlValue<'_>,
    bounds: &RangeInclusive<usize>,
    wanted: &str,
) -> Result<usize, ValueError> {
    let DeValue::Integer(number) = value.get_ref() else {
        return Err(wrong_type(wanted, value));
    };
    let read = usize::from_str_radix(number.as_str(), number.radix()).ok();
    read.filter(|number| bounds.contains(number))
        .ok_or_else(|| {
            let (from, to) = (bounds.start(), bounds.end());
            ValueError::new(format!("it must be between {from} and {to}"))
        })
}

/// The error for a value of another type than `wanted`.
pub(super) fn wrong_type(wanted: &str, value: &TomlValue<'_>) -> ValueError {
    let found = match value.get_ref() {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    };
    ValueError::new(format!("expected {wanted}, found {found}"))
}
