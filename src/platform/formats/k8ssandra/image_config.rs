//! An `ImageConfig` of either version: the image of each component, with and without overrides.

use std::collections::BTreeMap;

use crate::platform::reading::{
    diagnostic::{Diagnostic, DiagnosticCode},
    location::Location,
    name_part,
    node::{Node, Scalar},
};

/// The content of one `ImageConfig`.
#[derive(Debug, Default)]
pub(super) struct ImageConfig {
    pub(super) components: Vec<K8ssandraComponent>,
    /// The pull Secrets in use, with the first location of each.
    pub(super) secrets: BTreeMap<String, Location>,
}

/// A component and its image.
#[derive(Debug)]
pub(super) struct K8ssandraComponent {
    pub(super) name: String,
    /// The version of the server, if it is about a single one.
    pub(super) server: Option<String>,
    pub(super) image: ComponentImage,
    /// The image without overrides; `None` if only the overrides name the component.
    pub(super) plain: Option<ComponentImage>,
    pub(super) location: Location,
    /// The location of the setting of its registry and folder.
    pub(super) placed_at: Location,
}

/// A composed image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ComponentImage {
    /// The whole reference; for a server's image, without the tag.
    pub(super) text: String,
    /// Prefix and suffix of the server's version in the tag; `None` if the image has a fixed tag.
    pub(super) around: Option<(String, String)>,
}

impl ComponentImage {
    /// The reference for a version of the server.
    pub(super) fn reference(&self, server: &str) -> String {
        let Self { text, around } = self;
        match around {
            Some((prefix, suffix)) => format!("{text}:{prefix}{server}{suffix}"),
            None => text.clone(),
        }
    }
}

impl ImageConfig {
    pub(super) fn secret(&mut self, named: &Scalar) {
        if !named.text.is_empty() {
            let location = named.start.clone();
            self.secrets.entry(named.text.clone()).or_insert(location);
        }
    }

    pub(super) fn names(&self, component: &str) -> bool {
        self.components.iter().any(|known| known.name == component)
    }
}

/// The part of a name at a key.
pub(super) fn part(node: &Node, key: &str, diagnostics: &mut Vec<Diagnostic>) -> Option<String> {
    let Scalar { text, start, .. } = node.string(key, diagnostics)?;
    name_part::name_part(text, start, diagnostics)
}

/// The registry at a key.
pub(super) fn registry(
    node: &Node,
    key: &str,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<String> {
    let Scalar { text, start, .. } = node.string(key, diagnostics)?;
    name_part::registry(text, start, diagnostics)
}

/// Reports `W-MISPLACED` for keys that the operator does not read in this mapping.
pub(super) fn misplaced(
    node: &Node,
    keys: &[&str],
    message: &str,
    fix: &str,
    diagnostics: &mut Vec<Diagnostic>,
) {
    for (key, _) in node.entries() {
        if keys.contains(&key.text.as_str()) {
            let diagnostic =
                Diagnostic::new(DiagnosticCode::Misplaced, &key.start, message).excerpt(&key.text);
            diagnostics.push(diagnostic.fix(fix));
        }
    }
}
