//! What is wrong with a route.

use std::fmt;

use thiserror::Error;

/// An invalid value in a route.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{key}: {value:?}: {reason}")]
pub struct InvalidRule {
    /// The value's key.
    pub key: &'static str,
    /// The entry, if the key holds a list.
    pub index: Option<usize>,
    /// The value as written.
    pub value: String,
    /// What is wrong with it.
    pub reason: String,
    /// What to write instead.
    pub hint: Option<String>,
}

/// What is wrong with one value; [`RuleErrors`] adds its location.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RuleError {
    pub(super) reason: String,
    pub(super) hint: Option<String>,
}

impl RuleError {
    pub(super) fn new(reason: impl fmt::Display) -> Self {
        Self {
            reason: reason.to_string(),
            hint: None,
        }
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// All errors of one rule.
#[derive(Debug, Default)]
pub(super) struct RuleErrors(pub(super) Vec<InvalidRule>);

impl RuleErrors {
    pub(super) fn add(
        &mut self,
        key: &'static str,
        index: Option<usize>,
        value: &str,
        error: RuleError,
    ) {
        self.0.push(InvalidRule {
            key,
            index,
            value: value.to_owned(),
            reason: error.reason,
            hint: error.hint,
        });
    }

    pub(super) fn collect<T>(
        &mut self,
        key: &'static str,
        index: Option<usize>,
        value: &str,
        parsed: Result<T, RuleError>,
    ) -> Option<T> {
        parsed
            .map_err(|error| self.add(key, index, value, error))
            .ok()
    }

    pub(super) fn collect_each<S, T>(
        &mut self,
        key: &'static str,
        texts: &[S],
        written: impl Fn(&S) -> String,
        parse: impl Fn(&S) -> Result<T, RuleError>,
    ) -> Vec<T> {
        let texts = texts.iter().enumerate();
        texts
            .filter_map(|(index, text)| self.collect(key, Some(index), &written(text), parse(text)))
            .collect()
    }
}
