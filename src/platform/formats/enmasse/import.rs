//! `EnMasse`: images of single components, overridden in its operator's configuration.

use crate::platform::reading::input::decode_text;
use std::collections::BTreeMap;

use super::overrides::ImageOverride;
use crate::{
    oci::{ImageReference, Reference},
    platform::{
        formats::openshift,
        model::{context::ImportContext, imported::Imported},
        reading::{
            diagnostic::{Diagnostic, DiagnosticCode},
            document::InputDocument,
            kube,
            node::Node,
        },
    },
    route::{MatchText, RuleText},
};

use super::components::{DEFAULT_NAMESPACE, EnmasseComponent, components};

/// Whether a document is in this format.
pub(in crate::platform) fn detects(document: &InputDocument<'_>) -> bool {
    let InputDocument::Tree(node) = document else {
        return false;
    };
    match kube::kind(node) {
        Some("IoTConfig") => true,
        Some("Deployment" | "DeploymentConfig" | "StatefulSet") => has_image_variables(node),
        Some("ConfigMap") => kube::has_data_key(node, "operatorImageMap.yaml"),
        Some(_) => false,
        None => node.has_any(&[&["address-space-controller"], &["iot-auth-service"]]),
    }
}

pub(in crate::platform) fn import(
    documents: &[InputDocument<'_>],
    context: &ImportContext<'_>,
    into: &mut Imported,
) {
    let is_openshift = |document: &&InputDocument<'_>| match document {
        InputDocument::Tree(node) => kube::kind(node).is_some_and(openshift::import::is_known_kind),
        InputDocument::Map(_) => false,
    };
    let openshift: Vec<InputDocument<'_>> =
        documents.iter().filter(is_openshift).cloned().collect();
    openshift::import::import(&openshift, context, into);

    let mut found = Vec::new();
    for document in documents.iter().filter(|document| !is_openshift(document)) {
        if let InputDocument::Tree(node) = document {
            super::overrides::read(node, &mut found, into);
        }
    }
    let defaults = default_images(context, into);
    for replaced in super::overrides::effective(found) {
        route_override(&replaced, &defaults, context, into);
    }
}

/// The images without an override, by component.
fn default_images(
    context: &ImportContext<'_>,
    into: &mut Imported,
) -> BTreeMap<String, DefaultImage> {
    let given = context.options.baseline.and_then(|baseline| {
        let text = decode_text(&baseline).map_err(|diagnostic| into.report(diagnostic));
        let mut found = Vec::new();
        super::overrides::read_text(text.ok()?, baseline.name, context, &mut found, into);
        let found = super::overrides::effective(found)
            .into_iter()
            .filter_map(|named| {
                let ImageReference {
                    repository,
                    reference,
                } = named.image(into)?;
                let tag = match reference {
                    Reference::Tag(tag) => Some(tag),
                    Reference::Digest(_) => None,
                };
                Some((named.component, DefaultImage { repository, tag }))
            });
        let found: BTreeMap<_, _> = found.collect();
        Some(found).filter(|found| !found.is_empty())
    });
    given.unwrap_or_else(|| {
        let known = components().filter_map(|EnmasseComponent { name, repository }| {
            let ImageReference { repository, .. } = repository.parse().ok()?;
            let tag = None;
            Some((name.to_owned(), DefaultImage { repository, tag }))
        });
        known.collect()
    })
}

/// The image without an override.
#[derive(Debug)]
struct DefaultImage {
    repository: crate::oci::Repository,
    /// If it is known.
    tag: Option<crate::oci::Tag>,
}

fn route_override(
    replaced: &ImageOverride,
    defaults: &BTreeMap<String, DefaultImage>,
    context: &ImportContext<'_>,
    into: &mut Imported,
) {
    let ImageOverride {
        component,
        location,
        ..
    } = replaced;
    if replaced.text.is_empty() {
        let message = "this leaves the component without an image";
        let diagnostic =
            Diagnostic::new(DiagnosticCode::Ignored, location, message).excerpt(component);
        return into.report(diagnostic.fix("write its image, or remove the variable"));
    }
    let Some(image) = resolve_image(replaced, context, into) else {
        return;
    };
    let Some(DefaultImage { repository, tag }) = defaults.get(component) else {
        let message = "the default image of this component is unknown";
        let diagnostic =
            Diagnostic::new(DiagnosticCode::Ignored, location, message).excerpt(component);
        return into.report(diagnostic.fix(BASELINE_HINT));
    };
    let is_same = image.repository == *repository;
    let from = match (&image.reference, tag) {
        (Reference::Tag(_), _) if !is_same => format!("{repository}:*"),
        // An operator's environment has every component, most of them with the default.
        (Reference::Tag(new), Some(tag)) if new == tag => return,
        (_, Some(tag)) => format!("{repository}:{tag}"),
        (_, None) if is_same => return,
        (_, None) => {
            let message = "this digest can only replace a known tag, and the default tag is \
                           unknown";
            let diagnostic =
                Diagnostic::new(DiagnosticCode::Ignored, location, message).excerpt(&replaced.text);
            let fix = format!("name the image by its tag, or {BASELINE_HINT}");
            return into.report(diagnostic.fix(fix));
        }
    };
    openshift::route::route_to_image(location, &from, &image, context, into);
}

/// The image of an override; for a name without a registry, the image of the stream of that name.
fn resolve_image(
    replaced: &ImageOverride,
    context: &ImportContext<'_>,
    into: &mut Imported,
) -> Option<ImageReference> {
    let image = replaced.image(into)?;
    if replaced.text.contains('/') {
        return Some(image);
    }
    let stream = image.repository.name.strip_prefix("library")?;
    if let Some(found) = image_in_stream(stream, &image.reference, into) {
        return Some(found);
    }
    let location = &replaced.location;
    let Some(registry) = context.options.internal_registry else {
        let message = "a name without a registry means Docker Hub, because no image stream of \
                       this name is among the files";
        let diagnostic =
            Diagnostic::new(DiagnosticCode::HubRoot, location, message).excerpt(&replaced.text);
        into.report(diagnostic.fix("import the ImageStream too, or give the internal registry"));
        return Some(image);
    };
    let namespace = replaced.namespace.as_deref().unwrap_or_else(|| {
        let message = format!("no namespace is set: {DEFAULT_NAMESPACE} is assumed");
        into.report(
            Diagnostic::new(DiagnosticCode::Assumed, location, message)
                .fix("write metadata.namespace"),
        );
        DEFAULT_NAMESPACE
    });
    let target = openshift::image_stream::StreamRepository::new(registry, namespace, stream);
    target.route_short_name(location, stream, context, into);
    image_in_stream(stream, &image.reference, into)
}

/// Looks up the route of an image stream; streams are imported before.
fn image_in_stream(stream: &str, reference: &Reference, into: &Imported) -> Option<ImageReference> {
    let route = |tag: &str| {
        let matches = MatchText::From(vec![openshift::image_stream::short_name(stream, tag)]);
        into.routes.iter().find(|route| route.matches == matches)
    };
    let target_of = |route: &RuleText| route.to.first().map(|to| to.target.clone());
    if let Reference::Tag(tag) = reference
        && let Some(route) = route(tag.as_str())
    {
        let digest = route.digest.as_ref();
        let digest = digest
            .map(|digest| format!("@{digest}"))
            .unwrap_or_default();
        return format!("{}{digest}", target_of(route)?).parse().ok();
    }
    let target: ImageReference = target_of(route("*")?)?.parse().ok()?;
    let reference = reference.clone();
    Some(ImageReference {
        reference,
        ..target
    })
}

const BASELINE_HINT: &str = "give the operator's own image map as the baseline";

/// Whether a container's environment has image variables.
fn has_image_variables(node: &Node) -> bool {
    let containers = node.at(&["spec", "template", "spec", "containers"]);
    let containers = containers.map(Node::items).unwrap_or_default();
    let variables = containers.iter().filter_map(|one| one.get("env"));
    let mut names = variables
        .flat_map(Node::items)
        .filter_map(|one| one.get("name")?.text());
    names.any(|name| name.ends_with("_IMAGE") || name.starts_with("RELATED_IMAGE_"))
}
