//! `OpenShift`: image streams, and mirror sets of all three kinds.

use super::mirror_set::MirrorSets;
use crate::{
    oci::{ImageReference, Reference},
    platform::{
        import::{ImportContext, InputDocument, trees},
        model::imported::Imported,
        reading::{
            diagnostic::{Diagnostic, DiagnosticCode},
            kube,
            location::Location,
            node::Node,
        },
    },
    route::{RuleText, TargetText},
};

pub(in crate::platform) use super::image_stream::{StreamRepository, short_name};

pub(in crate::platform) fn import(
    pieces: &[InputDocument<'_>],
    context: &ImportContext<'_>,
    into: &mut Imported,
) {
    let mut sets = MirrorSets::default();
    for node in trees(pieces) {
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
                let message = "this is no object of Kubernetes: it has no kind";
                into.report(Diagnostic::new(DiagnosticCode::Kind, &node.spot, message));
            }
        }
    }
    sets.routes(context, into);
}

/// Whether [`import`] reads objects of this kind.
pub(in crate::platform) fn is_known_kind(kind: &str) -> bool {
    kind == "ImageStream" || super::mirror_set::MirrorSetKind::of(kind).is_some()
}

/// Whether an object is of one of these versions of its kind; another is remarked on. One that
/// names none is taken for the first.
pub(in crate::platform) fn has_known_version(
    node: &Node,
    known: &[&str],
    into: &mut Imported,
) -> bool {
    let Some(version) = node.get("apiVersion") else {
        return true;
    };
    let text = version.text().unwrap_or_default();
    let is_known = known.contains(&text);
    if !is_known {
        let message = "this kind of object is not known in this apiVersion";
        let remark = Diagnostic::new(DiagnosticCode::Kind, &version.spot, message).excerpt(text);
        let fix = known.first().map(|first| format!("write {first}"));
        into.report(Diagnostic { fix, ..remark });
    }
    is_known
}

/// Leads a name to a repository instead of its own.
pub(in crate::platform) fn route_to<'i>(
    spot: &Location,
    from: &str,
    to: &str,
    context: &ImportContext<'_>,
    into: &'i mut Imported,
) -> &'i mut RuleText {
    let route = into.route(spot, from, &[to]);
    if context.adds_source() {
        route.to.push(TargetText::from("source"));
    }
    route
}

/// Leads a name to one image, whatever is asked for. To a digest only a single tag can be led.
pub(in crate::platform) fn route_to_image(
    spot: &Location,
    from: &str,
    image: &ImageReference,
    context: &ImportContext<'_>,
    into: &mut Imported,
) {
    match &image.reference {
        Reference::Tag(_) => {
            route_to(spot, from, &image.to_string(), context, into);
        }
        Reference::Digest(digest) => {
            let to = image.repository.to_string();
            route_to(spot, from, &to, context, into).digest = Some(digest.to_string());
        }
    }
}

fn other(kind: &str, node: &Node) -> Diagnostic {
    let annotated = [
        &["metadata", "annotations", RESOLVE_NAMES][..],
        &["spec", "template", "metadata", "annotations", RESOLVE_NAMES],
    ];
    if let Some(mark) = annotated.iter().find_map(|path| node.at(path)) {
        let message = "names in this one object are resolved through image streams, but a pull \
                       does not say which object it is for";
        let fix = "oc set image-lookup STREAM makes every pull of the name do so";
        return Diagnostic::new(DiagnosticCode::Ignored, &mark.spot, message).fix(fix);
    }
    let message = "image streams and mirror sets are read here, and this is neither";
    Diagnostic::new(DiagnosticCode::Skipped, &node.spot, message).excerpt(kind)
}

const RESOLVE_NAMES: &str = "alpha.image.policy.openshift.io/resolve-names";
