//! A document as a tree with locations, the same for YAML, JSON and TOML.

use super::{
    diagnostic::{Diagnostic, DiagnosticCode},
    location::{Location, SourceText},
};

/// Most values in one file, including those that aliases repeat.
pub(in crate::platform) const VALUES_MAX: usize = 200_000;
/// Deepest nesting of values.
pub(in crate::platform) const DEPTH_MAX: usize = 64;

/// One value and its location.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::platform) struct Node {
    pub(in crate::platform) location: Location,
    pub(in crate::platform) kind: NodeKind,
}

#[derive(Clone, Debug, PartialEq)]
pub(in crate::platform) enum NodeKind {
    Null,
    Scalar(Scalar),
    Sequence(Vec<Node>),
    /// Keys in the order of the file, without duplicates.
    Mapping(Vec<(Scalar, Node)>),
}

/// A scalar's text as written, without its quotes: `4.10` is not `4.1`.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::platform) struct Scalar {
    pub(in crate::platform) text: String,
    /// The location of its first character, after the quote or below a block's header.
    pub(in crate::platform) start: Location,
    /// Without quotes: it may be a number or a boolean.
    pub(in crate::platform) is_plain: bool,
    /// Characters and lines are those of the file, without escapes or folding.
    pub(in crate::platform) is_verbatim: bool,
}

impl Node {
    /// The value at a mapping's key; null counts as absent.
    pub(in crate::platform) fn get(&self, key: &str) -> Option<&Self> {
        let found = self.entries().find(|(name, _)| name.text == key);
        found.map(|(_, node)| node).filter(|node| !node.is_null())
    }

    /// The value at a path of keys.
    pub(in crate::platform) fn at(&self, path: &[&str]) -> Option<&Self> {
        path.iter().try_fold(self, |node, key| node.get(key))
    }

    /// Whether there is a value at any of these paths of keys.
    pub(in crate::platform) fn has_any(&self, paths: &[&[&str]]) -> bool {
        paths.iter().any(|path| self.at(path).is_some())
    }

    /// Whether a mapping has the key, even with a null value.
    pub(in crate::platform) fn has(&self, key: &str) -> bool {
        self.entries().any(|(name, _)| name.text == key)
    }

    /// A mapping's keys and values; empty for other types.
    pub(in crate::platform) fn entries(&self) -> impl Iterator<Item = (&Scalar, &Self)> {
        let entries = match &self.kind {
            NodeKind::Mapping(entries) => entries.as_slice(),
            _ => &[],
        };
        entries.iter().map(|(key, node)| (key, node))
    }

    /// A sequence's items; empty for other types.
    pub(in crate::platform) fn items(&self) -> &[Self] {
        match &self.kind {
            NodeKind::Sequence(items) => items,
            _ => &[],
        }
    }

    pub(in crate::platform) fn is_null(&self) -> bool {
        matches!(self.kind, NodeKind::Null)
    }

    pub(in crate::platform) fn is_mapping(&self) -> bool {
        matches!(self.kind, NodeKind::Mapping(_))
    }

    /// A scalar's text.
    pub(in crate::platform) fn text(&self) -> Option<&str> {
        self.scalar().map(|scalar| scalar.text.as_str())
    }

    pub(in crate::platform) fn scalar(&self) -> Option<&Scalar> {
        match &self.kind {
            NodeKind::Scalar(scalar) => Some(scalar),
            _ => None,
        }
    }

    /// A scalar's text as an embedded file, such as a `ConfigMap`'s value.
    pub(in crate::platform) fn embedded_text(&self) -> Option<SourceText<'_>> {
        let Scalar {
            text,
            start,
            is_verbatim,
            ..
        } = self.scalar()?;
        Some(if *is_verbatim {
            SourceText::within(text, start.clone())
        } else {
            SourceText::decoded(text, start.clone())
        })
    }

    /// The scalar at a key. Reports other types.
    pub(in crate::platform) fn string(
        &self,
        key: &str,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Option<&Scalar> {
        let node = self.get(key)?;
        let scalar = node.scalar();
        if scalar.is_none() {
            diagnostics.push(node.wrong_type(&format!("{key} must be a string")));
        }
        scalar
    }

    /// The mapping at a key. Reports other types.
    pub(in crate::platform) fn mapping(
        &self,
        key: &str,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Option<&Self> {
        let node = self.get(key)?;
        if !node.is_mapping() {
            diagnostics.push(node.wrong_type(&format!("{key} must be a mapping")));
            return None;
        }
        Some(node)
    }

    /// The boolean at a key, quoted or not. Reports other values.
    pub(in crate::platform) fn flag(
        &self,
        key: &str,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Option<bool> {
        let node = self.get(key)?;
        match node.text() {
            Some("true" | "True" | "TRUE") => Some(true),
            Some("false" | "False" | "FALSE") => Some(false),
            // Templates leave empty strings.
            Some("") => None,
            _ => {
                let diagnostic = node.wrong_type(&format!("{key} must be true or false"));
                diagnostics.push(diagnostic.fix("write true or false"));
                None
            }
        }
    }

    /// The scalars of a list at a key, or the one scalar there. Reports other types.
    pub(in crate::platform) fn strings(
        &self,
        key: &str,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Vec<&Scalar> {
        let Some(node) = self.get(key) else {
            return Vec::new();
        };
        let items = match &node.kind {
            NodeKind::Sequence(items) => items.as_slice(),
            _ => std::slice::from_ref(node),
        };
        let mut texts = Vec::new();
        for item in items {
            match item.scalar() {
                Some(scalar) => texts.push(scalar),
                None => {
                    diagnostics.push(item.wrong_type(&format!("{key} must be a list of strings")));
                }
            }
        }
        texts
    }

    /// `E-VALUE` for a value of the wrong type; a scalar's text is not repeated.
    pub(in crate::platform) fn wrong_type(&self, message: &str) -> Diagnostic {
        let found = match &self.kind {
            NodeKind::Null => "nothing",
            NodeKind::Scalar(_) => "a string",
            NodeKind::Sequence(_) => "a list",
            NodeKind::Mapping(_) => "a mapping",
        };
        let message = format!("{message}: found {found}");
        Diagnostic::new(DiagnosticCode::Value, &self.location, message)
    }
}
