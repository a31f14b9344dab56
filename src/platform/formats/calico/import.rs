//! The Tigera operator's `Installation`, which has the location of Calico's images, and its
//! `ImageSet`, which has their digests.

use super::{image_set::ImageSet, installation::Installation};
use crate::platform::{
    model::{context::ImportContext, imported::Imported},
    reading::{
        diagnostic::{Diagnostic, DiagnosticCode},
        document::{InputDocument, trees},
        kube,
        node::Node,
    },
};

/// Whether a document is in this format.
pub(in crate::platform) fn detects(document: &InputDocument<'_>) -> bool {
    matches!(document.kind(), Some("Installation" | "ImageSet"))
}

pub(in crate::platform) fn import(
    documents: &[InputDocument<'_>],
    context: &ImportContext<'_>,
    into: &mut Imported,
) {
    let mut installations: Vec<Installation> = Vec::new();
    let mut overlays = Vec::new();
    let mut sets = Vec::new();
    for node in trees(documents) {
        match kube::kind(node) {
            Some("Installation" | "ImageSet") if !is_known(node) => unknown(node, into),
            Some("Installation") => {
                let installation = Installation::read(node, context, into);
                if kube::name(node) == Some("overlay") {
                    overlays.push(installation);
                } else {
                    installations.push(installation);
                }
            }
            Some("ImageSet") => sets.extend(ImageSet::read(node, &mut into.diagnostics)),
            Some(kind) => {
                let message = "this kind of object says nothing about Calico's images";
                into.report(
                    Diagnostic::new(DiagnosticCode::Skipped, &node.location, message).excerpt(kind),
                );
            }
            None => unknown(node, into),
        }
    }
    let has_installation = !installations.is_empty() || !overlays.is_empty();
    let mut effective = installations;
    if effective.is_empty() {
        effective.push(Installation::default());
    }
    for overlay in overlays {
        for one in &mut effective {
            one.overlay(&overlay);
        }
    }
    for installation in &effective {
        if has_installation {
            installation.add_routes(context, into);
        }
        for set in &sets {
            set.pin(installation, context, into);
        }
    }
}

fn is_known(node: &Node) -> bool {
    node.get("apiVersion").and_then(Node::text) == Some("operator.tigera.io/v1")
}

fn unknown(node: &Node, into: &mut Imported) {
    let version = node.get("apiVersion");
    let location = version.map_or(&node.location, |version| &version.location);
    let message = "this kind or apiVersion is unknown";
    let fix = "expected `apiVersion: operator.tigera.io/v1` and `kind: Installation` or `ImageSet`";
    let diagnostic = Diagnostic::new(DiagnosticCode::Kind, location, message).fix(fix);
    into.report(match version.and_then(Node::text) {
        Some(version) => diagnostic.excerpt(version),
        None => diagnostic,
    });
}
