//! `ImageStream`: short names for images in the cluster's internal registry.

use super::route::{has_known_version, route_to, route_to_image};
use crate::{
    oci::{ImageReference, RepositoryName},
    platform::{
        model::{context::ImportContext, imported::Imported},
        reading::{
            diagnostic::{Diagnostic, DiagnosticCode},
            location::Location,
            node::Node,
        },
    },
    route::MatchText,
};

/// The repository of a stream's images.
#[derive(Debug)]
pub(in crate::platform) struct StreamRepository {
    registry: String,
    /// `NAMESPACE/NAME`.
    repository: String,
}

impl StreamRepository {
    pub(in crate::platform) fn new(registry: &str, namespace: &str, stream: &str) -> Self {
        Self {
            registry: registry.to_owned(),
            repository: format!("{namespace}/{stream}"),
        }
    }

    /// Routes a stream's short name to its images, and adds its registry.
    pub(in crate::platform) fn route_short_name(
        &self,
        location: &Location,
        stream: &str,
        context: &ImportContext<'_>,
        into: &mut Imported,
    ) {
        let Self {
            registry,
            repository,
        } = self;
        if stream.contains('/') || repository.parse::<RepositoryName>().is_err() {
            let message = "this is not a repository name";
            return into.report(
                Diagnostic::new(DiagnosticCode::Reference, location, message).excerpt(repository),
            );
        }
        let target = format!("{registry}/{repository}");
        route_to(location, &short_name(stream, "*"), &target, context, into);
        let matches = MatchText::From(vec![registry.clone()]);
        if !into.routes.iter().any(|route| route.matches == matches) {
            into.route(location, registry, &["source"]);
        }
        let message = format!(
            "every pull of {stream} is routed to {target}: a pull does not say which namespace it \
             comes from"
        );
        into.report(Diagnostic::new(
            DiagnosticCode::LibraryWider,
            location,
            message,
        ));
    }
}

/// The canonical form of a stream's short name; the tag may be `*`.
pub(in crate::platform) fn short_name(stream: &str, tag: &str) -> String {
    format!("docker.io/library/{stream}:{tag}")
}

pub(super) fn import(node: &Node, context: &ImportContext<'_>, into: &mut Imported) {
    if !has_known_version(node, &["image.openshift.io/v1", "v1"], into) {
        return;
    }
    let name = node.get("metadata").unwrap_or(node);
    let Some(name) = name.string("name", &mut into.diagnostics) else {
        let message = "an image stream needs a name";
        let diagnostic = Diagnostic::new(DiagnosticCode::Value, &node.location, message);
        into.report(diagnostic.fix("write metadata.name"));
        return;
    };
    let policy = node.at(&["spec", "lookupPolicy"]);
    let is_local = policy.and_then(|policy| policy.flag("local", &mut into.diagnostics));
    if is_local != Some(true) {
        let message = "short names do not resolve to this image stream: its \
                       spec.lookupPolicy.local is not true";
        let diagnostic =
            Diagnostic::new(DiagnosticCode::Skipped, &name.start, message).excerpt(&name.text);
        into.report(diagnostic.fix(format!("oc set image-lookup {}", name.text)));
        return;
    }
    let Some(target) = repository(node, &name.text, context, into) else {
        return;
    };
    target.route_short_name(&name.start, &name.text, context, into);
    let tags = node.at(&["spec", "tags"]).map(Node::items);
    for tag in tags.unwrap_or_default() {
        route_tag(tag, &name.text, context, into);
    }
}

/// The repository of a stream, if short names resolve in its namespace.
fn repository(
    node: &Node,
    name: &str,
    context: &ImportContext<'_>,
    into: &mut Imported,
) -> Option<StreamRepository> {
    let metadata = node.get("metadata")?;
    let namespace = metadata.string("namespace", &mut into.diagnostics);
    let keys = ["dockerImageRepository", "publicDockerImageRepository"];
    let known = node.get("status").and_then(|status| {
        let mut known = keys
            .iter()
            .filter_map(|key| status.string(key, &mut into.diagnostics));
        let known = known.find(|known| !known.text.is_empty())?;
        let (registry, repository) = known.text.split_once('/')?;
        Some((registry, repository, &known.start))
    });
    let named = namespace.map(|namespace| (namespace.text.as_str(), &namespace.start));
    let listed =
        known.and_then(|(_, repository, location)| Some((repository.split_once('/')?.0, location)));
    let Some((namespace, location)) = named.or(listed) else {
        let message = "this image stream has no namespace, which is part of the images' names";
        let diagnostic =
            Diagnostic::new(DiagnosticCode::Value, &metadata.location, message).excerpt(name);
        into.report(diagnostic.fix("write metadata.namespace"));
        return None;
    };
    if namespace == "default"
        || RESERVED_NAMESPACES
            .iter()
            .any(|start| namespace.starts_with(start))
    {
        let message = "short names do not resolve to image streams in this namespace";
        let diagnostic =
            Diagnostic::new(DiagnosticCode::Ignored, location, message).excerpt(namespace);
        into.report(diagnostic.fix("move the image stream to a project of yours"));
        return None;
    }
    match (context.options.internal_registry, known) {
        (Some(registry), _) => Some(StreamRepository::new(registry, namespace, name)),
        (None, Some((registry, repository, _))) => Some(StreamRepository {
            registry: registry.to_owned(),
            repository: repository.to_owned(),
        }),
        (None, None) => {
            let message = format!(
                "the file does not say where its images are: {DEFAULT_REGISTRY} is assumed"
            );
            let diagnostic = Diagnostic::new(DiagnosticCode::Assumed, &metadata.location, message);
            into.report(diagnostic.fix("give the internal registry, if it has another name"));
            Some(StreamRepository::new(DEFAULT_REGISTRY, namespace, name))
        }
    }
}

/// Routes a tag that refers to another image to that image, unless its policy is `Local`.
fn route_tag(tag: &Node, stream: &str, context: &ImportContext<'_>, into: &mut Imported) {
    let diagnostics = &mut into.diagnostics;
    let policy = tag.get("referencePolicy");
    let policy = policy.and_then(|policy| policy.string("type", diagnostics));
    let is_local = match policy.map(|policy| (policy.text.as_str(), &policy.start)) {
        None | Some(("Source" | "", _)) => false,
        Some(("Local", _)) => true,
        Some((other, location)) => {
            let message = "unknown policy";
            let diagnostic =
                Diagnostic::new(DiagnosticCode::Value, location, message).excerpt(other);
            diagnostics.push(diagnostic.fix("Local or Source"));
            return;
        }
    };
    // Such a tag is never imported into the internal registry, whatever its policy.
    let is_elsewhere = tag.flag("reference", diagnostics) == Some(true);
    let Some(from) = tag.get("from") else { return };
    let kind = from.string("kind", diagnostics);
    if is_local && !is_elsewhere || kind.is_none_or(|kind| kind.text != "DockerImage") {
        return;
    }
    let (Some(name), Some(image)) = (
        tag.string("name", diagnostics),
        from.string("name", diagnostics),
    ) else {
        diagnostics.push(tag.wrong_type(
            "a tag must be a mapping with a name, and so must its \
                                         `from`",
        ));
        return;
    };
    match image.text.parse::<ImageReference>() {
        Ok(image) => route_to_image(
            &name.start,
            &short_name(stream, &name.text),
            &image,
            context,
            into,
        ),
        Err(invalid) => {
            let diagnostic =
                Diagnostic::new(DiagnosticCode::Reference, &image.start, invalid.to_string());
            diagnostics.push(diagnostic.excerpt(&image.text));
        }
    }
}

/// The default host of the internal registry.
const DEFAULT_REGISTRY: &str = "image-registry.openshift-image-registry.svc:5000";

/// Prefixes of namespaces in which short names never resolve to image streams, besides `default`.
const RESERVED_NAMESPACES: [&str; 2] = ["kube-", "openshift-"];
