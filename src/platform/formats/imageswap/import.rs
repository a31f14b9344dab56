//! The map of the imageswap webhook, from registries to their replacements.
//!
//! The webhook reads names in pods, we read names that nodes request, which are canonical.
//! Accidents of the webhook (a registry inserted twice, folders lost) are not reproduced.

use super::{map::SwapMap, router::SwapRouter};
use crate::{
    platform::{
        model::{context::ImportContext, imported::Imported},
        reading::{
            diagnostic::{Diagnostic, DiagnosticCode},
            document::InputDocument,
            kube,
            location::SourceText,
            node::Node,
            syntax::Syntax,
        },
    },
    route::UnmatchedPolicy,
};

/// The keys of the `ConfigMap` that the webhook mounts.
const MAP_KEYS: [&str; 2] = ["maps", "map_file.conf"];

/// The syntax of a map: `SOURCE: TARGET`, in older maps, looks like YAML.
pub(in crate::platform) fn syntax(text: &SourceText<'_>, guess: Syntax) -> Syntax {
    if guess == Syntax::Yaml && !text.text.contains("kind:") {
        Syntax::Map
    } else {
        guess
    }
}

/// Whether a document is in this format.
pub(in crate::platform) fn detects(document: &InputDocument<'_>) -> bool {
    match document {
        InputDocument::Map(_) => true,
        InputDocument::Tree(node) => {
            kube::kind(node) == Some("ConfigMap")
                && MAP_KEYS.iter().any(|key| kube::has_data_key(node, key))
        }
    }
}

pub(in crate::platform) fn import(
    documents: &[InputDocument<'_>],
    context: &ImportContext<'_>,
    into: &mut Imported,
) {
    let texts: Vec<_> = documents
        .iter()
        .flat_map(|document| texts(document, into))
        .collect();
    let mut routing = SwapRouter::new(context, into);
    let mut has_default = false;
    for text in &texts {
        let map = SwapMap::read(text, &mut routing.into.diagnostics);
        has_default |= map.default.is_some();
        routing.map(&map);
    }
    let first = texts.first().map(SourceText::start);
    let Some(first) = first.filter(|_| !has_default) else {
        return;
    };
    let message = "without `default` imageswap swaps nothing but [EXACT] and [REPLACE]; \
                   the other keys are imported all the same";
    into.report(
        Diagnostic::new(DiagnosticCode::NoDefault, &first, message).fix("add a line default::"),
    );
    if context.keeps_source() {
        into.unmatched = Some(UnmatchedPolicy::Source);
    }
}

/// The maps in a document: itself, or texts of a `ConfigMap`.
fn texts<'p>(document: &'p InputDocument<'_>, into: &mut Imported) -> Vec<SourceText<'p>> {
    let node = match document {
        InputDocument::Map(text) => return vec![text.clone()],
        InputDocument::Tree(node) => node,
    };
    if kube::kind(node) != Some("ConfigMap") {
        into.report(if let Some(kind) = kube::kind(node) {
            let message = "this kind of object has no imageswap map";
            Diagnostic::new(DiagnosticCode::Skipped, &node.location, message).excerpt(kind)
        } else {
            let message = "this is neither a map nor a ConfigMap with one";
            let fix = "a map has lines of SOURCE::TARGET";
            Diagnostic::new(DiagnosticCode::Kind, &node.location, message).fix(fix)
        });
        return Vec::new();
    }
    let mut keys: Vec<&str> = MAP_KEYS.into_iter().filter(|key| has(node, key)).collect();
    if keys.is_empty() {
        let data = node.get("data").into_iter().flat_map(Node::entries);
        keys.extend(data.map(|(key, _)| key.text.as_str()));
    }
    if keys.is_empty() {
        let diagnostic = Diagnostic::new(
            DiagnosticCode::Value,
            &node.location,
            "the ConfigMap has no map",
        );
        into.report(diagnostic.fix("the map belongs in data.maps"));
    }
    let keys = keys.into_iter();
    keys.filter_map(|key| kube::data(node, key, &mut into.diagnostics))
        .collect()
}

fn has(node: &Node, key: &str) -> bool {
    let parts = ["data", "binaryData"];
    parts.iter().any(|part| node.at(&[part, key]).is_some())
}
