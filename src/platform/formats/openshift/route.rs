//! Routes to an image, and versions of objects; also used by `EnMasse`.

use crate::{
    oci::{ImageReference, Reference},
    platform::{
        model::{context::ImportContext, imported::Imported},
        reading::{
            diagnostic::{Diagnostic, DiagnosticCode},
            location::Location,
            node::Node,
        },
    },
    route::{RuleText, TargetText},
};

/// Whether an object has one of these versions, or none, which means the first; reports others.
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
        let message = "unknown apiVersion for this kind of object";
        let diagnostic =
            Diagnostic::new(DiagnosticCode::Kind, &version.location, message).excerpt(text);
        let fix = known.first().map(|first| format!("write {first}"));
        into.report(Diagnostic { fix, ..diagnostic });
    }
    is_known
}

/// Routes a name to another repository.
pub(in crate::platform) fn route_to<'i>(
    location: &Location,
    from: &str,
    to: &str,
    context: &ImportContext<'_>,
    into: &'i mut Imported,
) -> &'i mut RuleText {
    let route = into.route(location, from, &[to]);
    if context.adds_source() {
        route.to.push(TargetText::from("source"));
    }
    route
}

/// Routes a name to one image. Only a single tag can be routed to a digest.
pub(in crate::platform) fn route_to_image(
    location: &Location,
    from: &str,
    image: &ImageReference,
    context: &ImportContext<'_>,
    into: &mut Imported,
) {
    match &image.reference {
        Reference::Tag(_) => {
            route_to(location, from, &image.to_string(), context, into);
        }
        Reference::Digest(digest) => {
            let to = image.repository.to_string();
            route_to(location, from, &to, context, into).digest = Some(digest.to_string());
        }
    }
}
