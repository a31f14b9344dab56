//! Routes to an image, and the versions of objects: what `EnMasse` shares.

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
        let diagnostic =
            Diagnostic::new(DiagnosticCode::Kind, &version.location, message).excerpt(text);
        let fix = known.first().map(|first| format!("write {first}"));
        into.report(Diagnostic { fix, ..diagnostic });
    }
    is_known
}

/// Leads a name to a repository instead of its own.
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

/// Leads a name to one image, whatever is asked for. To a digest only a single tag can be led.
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
