//! `OpenShift`: image streams, and mirror sets of all three kinds.

use super::mirror_set::MirrorSets;
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
    document.kind().is_some_and(is_known_kind)
}

pub(in crate::platform) fn import(
    documents: &[InputDocument<'_>],
    context: &ImportContext<'_>,
    into: &mut Imported,
) {
    let mut sets = MirrorSets::default();
    for node in trees(documents) {
        if node.is_null() {
            continue;
        }
        match kube::kind(node) {
            Some("ImageStream") => super::image_stream::import(node, context, into),
            Some(kind) => match super::mirror_set::MirrorSetKind::of(kind) {
                Some(kind) => sets.add(kind, node, into),
                None => into.report(other(kind, node)),
            },
            None => {
                let message = "this is not a Kubernetes object: it has no kind";
                into.report(Diagnostic::new(
                    DiagnosticCode::Kind,
                    &node.location,
                    message,
                ));
            }
        }
    }
    sets.routes(context, into);
}

/// Whether objects of this kind are imported.
pub(in crate::platform) fn is_known_kind(kind: &str) -> bool {
    kind == "ImageStream" || super::mirror_set::MirrorSetKind::of(kind).is_some()
}

fn other(kind: &str, node: &Node) -> Diagnostic {
    let annotated = [
        &["metadata", "annotations", RESOLVE_NAMES][..],
        &["spec", "template", "metadata", "annotations", RESOLVE_NAMES],
    ];
    if let Some(mark) = annotated.iter().find_map(|path| node.at(path)) {
        let message = "names in this object are resolved through image streams, but a pull does \
                       not say which object it is for";
        let fix = "oc set image-lookup STREAM makes every pull of the name do so";
        return Diagnostic::new(DiagnosticCode::Ignored, &mark.location, message).fix(fix);
    }
    let message = "this is neither an image stream nor a mirror set";
    Diagnostic::new(DiagnosticCode::Skipped, &node.location, message).excerpt(kind)
}

const RESOLVE_NAMES: &str = "alpha.image.policy.openshift.io/resolve-names";
