//! The settings that override a component's image.

use crate::platform::reading::document::parse;
use std::collections::BTreeMap;

use super::components;
use crate::{
    oci::ImageReference,
    platform::{
        formats::openshift,
        model::{context::ImportContext, imported::Imported},
        reading::{
            diagnostic::{Diagnostic, DiagnosticCode},
            document::InputDocument,
            kube,
            location::{Location, SourceText},
            node::{Node, NodeKind},
            syntax::{self, Syntax},
        },
    },
};

/// An image set for a component.
#[derive(Clone, Debug)]
pub(super) struct ImageOverride {
    pub(super) component: String,
    /// The image as written; empty: none.
    pub(super) text: String,
    pub(super) location: Location,
    pub(super) namespace: Option<String>,
    by: OverrideSource,
}

/// How it is set, by precedence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum OverrideSource {
    Config,
    Variable,
    Map,
}

impl ImageOverride {
    pub(super) fn image(&self, into: &mut Imported) -> Option<ImageReference> {
        let parsed = self.text.parse::<ImageReference>();
        let flawed = |invalid: &_| {
            let diagnostic = Diagnostic::new(
                DiagnosticCode::Reference,
                &self.location,
                format!("{invalid}"),
            );
            into.report(diagnostic.excerpt(&self.text));
        };
        parsed.inspect_err(flawed).ok()
    }
}

/// The overrides that take effect. Several of one source stay: they agree, or contradict.
pub(super) fn effective(found: Vec<ImageOverride>) -> Vec<ImageOverride> {
    let mut by_component: BTreeMap<String, Vec<ImageOverride>> = BTreeMap::new();
    for named in found {
        let known = by_component.entry(named.component.clone()).or_default();
        match known.first().map(|first| named.by.cmp(&first.by)) {
            Some(std::cmp::Ordering::Greater) => {}
            Some(std::cmp::Ordering::Less) => *known = vec![named],
            Some(std::cmp::Ordering::Equal) | None => known.push(named),
        }
    }
    by_component.into_values().flatten().collect()
}

/// Reads the documents of a text that are not in another format.
pub(super) fn read_text(
    text: SourceText<'_>,
    name: &str,
    context: &ImportContext<'_>,
    found: &mut Vec<ImageOverride>,
    into: &mut Imported,
) {
    let syntax = syntax::yaml_or_json(&text, Syntax::of(&text, name));
    for document in parse(text, syntax, &mut into.diagnostics) {
        if !(context.is_foreign)(&document)
            && let InputDocument::Tree(node) = document
        {
            read(&node, found, into);
        }
    }
}

pub(super) fn read(node: &Node, found: &mut Vec<ImageOverride>, into: &mut Imported) {
    match kube::kind(node) {
        Some("IoTConfig") => config(node, found, into),
        Some("Deployment" | "DeploymentConfig" | "StatefulSet") => workload(node, found, into),
        Some("ConfigMap") => config_map(node, found, into),
        Some(kind) => {
            let message = "this kind of object has no images of EnMasse";
            into.report(
                Diagnostic::new(DiagnosticCode::Skipped, &node.location, message).excerpt(kind),
            );
        }
        None => map(node, found, into),
    }
}

fn config(node: &Node, found: &mut Vec<ImageOverride>, into: &mut Imported) {
    if !openshift::route::has_known_version(node, &["iot.enmasse.io/v1alpha1"], into) {
        return;
    }
    let Some(overrides) = node.at(&["spec", "imageOverrides"]) else {
        return;
    };
    if !overrides.is_mapping() {
        into.report(overrides.wrong_type("imageOverrides must be a mapping of components"));
    }
    for (component, value) in overrides.entries().filter(|(_, value)| !value.is_null()) {
        if !value.is_mapping() {
            let diagnostic = value.wrong_type("an override needs the name of an image");
            into.report(diagnostic.fix("write `name: IMAGE` below it"));
        }
        let name = value.string("name", &mut into.diagnostics);
        if let Some(name) = name.filter(|name| !name.text.is_empty()) {
            found.push(ImageOverride {
                component: component.text.clone(),
                text: name.text.clone(),
                location: name.start.clone(),
                namespace: kube::namespace(node).map(str::to_owned),
                by: OverrideSource::Config,
            });
        }
    }
}

fn workload(node: &Node, found: &mut Vec<ImageOverride>, into: &mut Imported) {
    let containers = node.at(&["spec", "template", "spec", "containers"]);
    for container in containers.map(Node::items).unwrap_or_default() {
        // The last value of a variable takes effect.
        let mut variables: BTreeMap<String, ImageOverride> = BTreeMap::new();
        for variable in container.get("env").map(Node::items).unwrap_or_default() {
            let name = variable.get("name").and_then(Node::text);
            let Some((name, component)) =
                name.and_then(|name| Some((name, components::of_variable(name)?)))
            else {
                continue;
            };
            if let Some(elsewhere) = variable.get("valueFrom") {
                let message = "the image of this component is set elsewhere";
                let diagnostic =
                    Diagnostic::new(DiagnosticCode::Ignored, &elsewhere.location, message)
                        .excerpt(name);
                into.report(diagnostic.fix("write it as the variable's value"));
                continue;
            }
            let value = variable.string("value", &mut into.diagnostics);
            if value.is_none() && variable.get("value").is_some() {
                continue;
            }
            let named = ImageOverride {
                component,
                text: value.map(|value| value.text.clone()).unwrap_or_default(),
                location: value
                    .map_or(&variable.location, |value| &value.start)
                    .clone(),
                namespace: kube::namespace(node).map(str::to_owned),
                by: OverrideSource::Variable,
            };
            variables.insert(name.to_owned(), named);
        }
        found.extend(variables.into_values());
    }
}

fn config_map(node: &Node, found: &mut Vec<ImageOverride>, into: &mut Imported) {
    let data = ["data", "binaryData"]
        .into_iter()
        .filter_map(|part| node.get(part));
    for (key, _) in data.flat_map(Node::entries) {
        let (_, extension) = key.text.rsplit_once('.').unwrap_or_default();
        if !["yaml", "yml", "json"].contains(&extension) {
            continue;
        }
        if let Some(text) = kube::data(node, &key.text, &mut into.diagnostics) {
            let syntax = syntax::yaml_or_json(&text, Syntax::of(&text, &key.text));
            for document in parse(text, syntax, &mut into.diagnostics) {
                if let InputDocument::Tree(inner) = document {
                    map(&inner, found, into);
                }
            }
        }
    }
}

fn map(node: &Node, found: &mut Vec<ImageOverride>, into: &mut Imported) {
    if !node.is_mapping() && !node.is_null() {
        let message = "an image map must be a mapping of components to images";
        into.report(Diagnostic::new(
            DiagnosticCode::Kind,
            &node.location,
            message,
        ));
    }
    for (component, value) in node.entries() {
        let (text, location) = match &value.kind {
            NodeKind::Null => (String::new(), &value.location),
            NodeKind::Scalar(scalar) => (scalar.text.clone(), &scalar.start),
            NodeKind::Sequence(_) | NodeKind::Mapping(_) => {
                into.report(value.wrong_type("an image must be a string"));
                continue;
            }
        };
        found.push(ImageOverride {
            component: component.text.clone(),
            text,
            location: location.clone(),
            namespace: None,
            by: OverrideSource::Map,
        });
    }
}
