//! An `ImageConfig` of either version: which image each component has, with and without what
//! overrides it.

use std::collections::BTreeMap;

use crate::platform::reading::{
    diagnostic::{Diagnostic, DiagnosticCode},
    location::Location,
    name_part,
    node::{Node, Scalar},
};

/// What one `ImageConfig` says.
#[derive(Debug, Default)]
pub(super) struct ImageConfig {
    pub(super) components: Vec<K8ssandraComponent>,
    /// The pull Secrets that are in use, and where each is named first.
    pub(super) secrets: BTreeMap<String, Location>,
}

/// A component, and where its image comes from.
#[derive(Debug)]
pub(super) struct K8ssandraComponent {
    pub(super) name: String,
    /// The one version of the server that this is about.
    pub(super) server: Option<String>,
    pub(super) image: ComponentImage,
    /// The same without what overrides it; none if only the overrides speak of the component.
    pub(super) plain: Option<ComponentImage>,
    pub(super) location: Location,
    /// Where it is decided in which registry and folder the image lies.
    pub(super) placed_at: Location,
}

/// An image as it is put together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ComponentImage {
    /// The whole reference; of a server's image all before the tag.
    pub(super) text: String,
    /// What stands around the server's version in the tag; none if the image has its own tag.
    pub(super) around: Option<(String, String)>,
}

impl ComponentImage {
    /// The reference, for this version of the server.
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

/// `W-MISPLACED` for keys of this mapping that their program does not look for here.
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
