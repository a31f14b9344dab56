//! cass-operator's `ImageConfig`: alone, in a `ConfigMap`, or in a kustomize patch of one.
//!
//! The routes are its difference to the images that the operator uses without it, the baseline.

use super::image_config::ImageConfig;
use crate::platform::{
    model::{context::ImportContext, imported::Imported},
    reading::{
        diagnostic::{Diagnostic, DiagnosticCode},
        document::{InputDocument, parse, trees},
        input::decode_text,
        kube,
        location::SourceText,
        node::Node,
        placeholder::placeholders,
        syntax::Syntax,
    },
};

/// Whether a document is in this format.
pub(in crate::platform) fn detects(document: &InputDocument<'_>) -> bool {
    let InputDocument::Tree(node) = document else {
        return false;
    };
    match kube::kind(node) {
        Some("ImageConfig" | "Kustomization") => true,
        Some("ConfigMap") => kube::has_data_key(node, KEY),
        Some(_) => false,
        None => node.has_any(&[&["images"], &["types"]]),
    }
}

pub(in crate::platform) fn import(
    documents: &[InputDocument<'_>],
    context: &ImportContext<'_>,
    into: &mut Imported,
) {
    let baseline = given_baseline(context, &mut into.diagnostics);
    for config in configs(documents, &mut into.diagnostics) {
        for (name, location) in &config.secrets {
            for secret in context.pull_secrets.by_name(name, location, into) {
                for entry in &secret.entries {
                    into.add_credential_entry(&secret.location, entry.clone());
                }
            }
        }
        super::routes::add_routes(&config, &baseline, context, into);
    }
}

/// The baseline that the caller gives.
fn given_baseline(
    context: &ImportContext<'_>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Vec<ImageConfig> {
    let Some(input) = &context.options.baseline else {
        return Vec::new();
    };
    match decode_text(input) {
        Ok(text) => {
            let syntax = Syntax::of(&text, input.name);
            configs(&parse(text, syntax, diagnostics), diagnostics)
        }
        Err(diagnostic) => {
            diagnostics.push(diagnostic);
            Vec::new()
        }
    }
}

fn configs(documents: &[InputDocument<'_>], diagnostics: &mut Vec<Diagnostic>) -> Vec<ImageConfig> {
    let objects = trees(documents).flat_map(|node| object(node, diagnostics));
    objects.collect()
}

/// The configurations in one document, in any of the wrappings.
fn object(node: &Node, diagnostics: &mut Vec<Diagnostic>) -> Vec<ImageConfig> {
    if PATCH_KEYS.iter().any(|key| node.has(key)) {
        return kustomization(node, diagnostics);
    }
    match kube::kind(node) {
        Some("ConfigMap" | "Secret") => config_map(node, diagnostics),
        Some(kind) if kind != "ImageConfig" => {
            let message = "this kind of object says nothing about K8ssandra's images";
            diagnostics.push(
                Diagnostic::new(DiagnosticCode::Skipped, &node.location, message).excerpt(kind),
            );
            Vec::new()
        }
        None if !node.items().is_empty() => json_patch(node, diagnostics),
        _ => super::versions::read(node, diagnostics)
            .into_iter()
            .collect(),
    }
}

fn kustomization(node: &Node, diagnostics: &mut Vec<Diagnostic>) -> Vec<ImageConfig> {
    let lists = PATCH_KEYS.iter().filter_map(|key| node.get(key));
    let mut configs = Vec::new();
    for item in lists.flat_map(Node::items) {
        if item.scalar().is_none() && item.get("patch").is_none() && item.has("path") {
            let message = "this patch is in another file";
            let diagnostic = Diagnostic::new(DiagnosticCode::Ignored, &item.location, message);
            diagnostics.push(diagnostic.fix("import that file as well, if it is about the images"));
            continue;
        }
        let text = match item.scalar() {
            // The older list has texts, or names of files.
            Some(scalar) if !scalar.text.contains('\n') => None,
            Some(_) => item.embedded_text(),
            None => item.get("patch").and_then(Node::embedded_text),
        };
        for patch in text.map_or_else(Vec::new, |text| inner(text, diagnostics)) {
            configs.extend(match kube::kind(&patch) {
                Some(_) => config_map(&patch, diagnostics),
                None => json_patch(&patch, diagnostics),
            });
        }
    }
    configs
}

/// The list of operations of a JSON patch.
fn json_patch(node: &Node, diagnostics: &mut Vec<Diagnostic>) -> Vec<ImageConfig> {
    let mut configs = Vec::new();
    for operation in node.items() {
        let text = |key: &str| operation.get(key).and_then(Node::text);
        let value = match (text("op"), text("path")) {
            (Some("add" | "replace"), Some("/data/image_config.yaml")) => operation.get("value"),
            (Some("add" | "replace"), Some("/data")) => operation.at(&["value", KEY]),
            _ => None,
        };
        match value.map(|value| value.embedded_text().ok_or(value)) {
            Some(Ok(text)) => configs.extend(config_text(text, diagnostics)),
            Some(Err(value)) => {
                diagnostics.push(value.wrong_type("an ImageConfig must be a string here"));
            }
            None => {}
        }
    }
    configs
}

fn config_map(node: &Node, diagnostics: &mut Vec<Diagnostic>) -> Vec<ImageConfig> {
    if let Some(text) = kube::data(node, KEY, diagnostics) {
        return config_text(text, diagnostics);
    }
    let message = format!("this has no key {KEY}");
    diagnostics.push(Diagnostic::new(
        DiagnosticCode::Skipped,
        &node.location,
        message,
    ));
    Vec::new()
}

fn config_text(text: SourceText<'_>, diagnostics: &mut Vec<Diagnostic>) -> Vec<ImageConfig> {
    let documents = inner(text, diagnostics);
    let read = |node: &Node| super::versions::read(node, diagnostics);
    documents.iter().filter_map(read).collect()
}

/// The documents of an embedded text.
fn inner(text: SourceText<'_>, diagnostics: &mut Vec<Diagnostic>) -> Vec<Node> {
    let (start, known) = (text.start(), diagnostics.len());
    let mut nodes = Vec::new();
    for document in parse(text, Syntax::Yaml, diagnostics) {
        if let InputDocument::Tree(node) = document {
            placeholders(&node, diagnostics);
            nodes.push(node);
        }
    }
    if nodes.is_empty() && diagnostics.len() == known {
        let message = "this text is empty";
        diagnostics.push(
            Diagnostic::new(DiagnosticCode::Value, &start, message).fix("write an ImageConfig"),
        );
    }
    nodes
}

/// The key of the `ConfigMap` that the operator reads.
const KEY: &str = "image_config.yaml";

/// The keys of a kustomization's patches.
const PATCH_KEYS: [&str; 3] = ["patches", "patchesJson6902", "patchesStrategicMerge"];
