//! Palette's registry override: the `registry-info` Secret, Helm values, edge hosts' user data,
//! and what Palette makes of them on a node.
//!
//! All contain one map in imageswap's syntax. Its target is used first, then the folder named after
//! the registry, since the documented layouts contradict each other.

use std::collections::BTreeMap;

use super::{
    edge,
    parts::{located, split_host},
    registry::{PaletteImageRoot, PaletteRegistry},
};
use crate::{
    oci::RepositoryName,
    platform::{
        formats::imageswap::{
            map::{LocatedText, MapEntry, SwapMap},
            router::{RegistrySwap, SwapRouter},
        },
        model::{context::ImportContext, imported::Imported},
        reading::{
            diagnostic::{Diagnostic, DiagnosticCode},
            document::InputDocument,
            kube,
            location::{Location, SourceText},
            node::Node,
        },
    },
    route::UnmatchedPolicy,
};

/// Whether a document is in this format.
pub(in crate::platform) fn detects(document: &InputDocument<'_>) -> bool {
    match document {
        // Palette's map is one line, imageswap's has many.
        InputDocument::Map(text) => {
            let lines = text.lines().filter(|(_, line)| line.contains("::"));
            lines.count() == 1 && text.text.contains(',')
        }
        InputDocument::Tree(node) => match kube::kind(node) {
            Some(kind) => kind == "Secret" && kube::has_data_key(node, "MIRROR_REGISTRIES"),
            None => node.has_any(&[
                &["ociImageRegistry"],
                &["config", "ociImageRegistry"],
                &["stylus"],
            ]),
        },
    }
}

pub(in crate::platform) fn import(
    documents: &[InputDocument<'_>],
    context: &ImportContext<'_>,
    into: &mut Imported,
) {
    let mut palette = PaletteImport {
        routing: SwapRouter::new(context, into),
        others: None,
        folders: BTreeMap::new(),
    };
    for document in documents {
        match document {
            InputDocument::Map(text) => palette.text(text, None),
            InputDocument::Tree(node) => palette.document(node),
        }
    }
    let PaletteImport {
        others, folders, ..
    } = palette;
    // With the webhook in use, nodes request the names that it has produced.
    for (folder, location) in &folders {
        into.route(location, folder, &["source"]);
    }
    if context.adds_source() {
        into.unmatched = Some(UnmatchedPolicy::Source);
    } else if let Some(OtherRegistries::Refused(location)) = others {
        into.route(&location, "*", &[]);
    }
}

struct PaletteImport<'i> {
    routing: SwapRouter<'i>,
    /// What happens to registries without an entry, if there was a map.
    others: Option<OtherRegistries>,
    /// The folders of the maps' targets, with the first location of each.
    folders: BTreeMap<String, Location>,
}

enum OtherRegistries {
    /// A map has `default`.
    Routed,
    /// A site without the Internet has no other registries.
    Refused(Location),
}

impl PaletteImport<'_> {
    fn report(&mut self, diagnostic: Diagnostic) {
        self.routing.into.report(diagnostic);
    }

    fn document(&mut self, node: &Node) {
        if let Some(kind) = kube::kind(node) {
            let keys = ["DOMAIN", "MIRROR_REGISTRIES"];
            let parts = ["data", "stringData"];
            let has = |key| parts.iter().any(|part| node.at(&[part, key]).is_some());
            if kind == "Secret" && keys.into_iter().any(has) {
                self.secret(node);
            } else {
                let message = "this kind of object has no registry override";
                self.report(
                    Diagnostic::new(DiagnosticCode::Skipped, &node.location, message).excerpt(kind),
                );
            }
            return;
        }
        let mut is_known = self.helm(node);
        if let Some(config) = node.get("config") {
            is_known |= self.helm(config);
        }
        if let Some(stylus) = node.get("stylus") {
            edge::edge(stylus, &mut self.routing);
            is_known = true;
        }
        if let Some(registry) = node.at(&["plugins", "io.containerd.grpc.v1.cri", "registry"]) {
            self.rendered(registry);
            is_known = true;
        }
        if !is_known {
            let message = "this is not a registry override of Palette";
            let fix = "expected a Secret with MIRROR_REGISTRIES, Helm values with \
                       ociImageRegistry, user data with stylus, or the map itself";
            self.report(Diagnostic::new(DiagnosticCode::Kind, &node.location, message).fix(fix));
        }
    }

    fn secret(&mut self, node: &Node) {
        let into = &mut *self.routing.into;
        let root = PaletteRegistry::secret(node, &mut into.diagnostics).add_to(into);
        match kube::data(node, "MIRROR_REGISTRIES", &mut into.diagnostics) {
            Some(map) if !map.text.trim().is_empty() => self.text(&map, root.as_ref()),
            _ => self.report_empty_map(&node.location, "MIRROR_REGISTRIES"),
        }
    }

    /// Reads Helm values; returns whether there were any.
    fn helm(&mut self, values: &Node) -> bool {
        let mut is_known = false;
        if let Some(node) = values.get("ociImageRegistry") {
            is_known = true;
            let into = &mut *self.routing.into;
            let root = PaletteRegistry::helm(node, &mut into.diagnostics).add_to(into);
            let key = "mirrorRegistries";
            match node.string(key, &mut into.diagnostics) {
                Some(map) if !map.text.trim().is_empty() => {
                    let text = SourceText::within(&*map.text, map.start.clone());
                    self.text(&text, root.as_ref());
                }
                // The chart's own values are all empty.
                _ if root.is_none() => {}
                _ => self.report_empty_map(&node.location, key),
            }
        }
        if let Some(node) = values.get("ociPackRegistry") {
            is_known = true;
            let into = &mut *self.routing.into;
            PaletteRegistry::helm(node, &mut into.diagnostics).add_packs_to(into);
        }
        let key = values.at(&["ociPackEcrRegistry", "accessKey"]);
        if let Some(key) = key.filter(|key| key.text() != Some("")) {
            let message = "packs in ECR need authentication with AWS keys, which the mirror does \
                           not support";
            self.report(Diagnostic::new(
                DiagnosticCode::Ignored,
                &key.location,
                message,
            ));
        }
        is_known
    }

    fn report_empty_map(&mut self, location: &Location, key: &str) {
        let diagnostic =
            Diagnostic::new(DiagnosticCode::Value, location, format!("{key} is empty"));
        self.report(diagnostic.fix("write SOURCE::TARGET, separated by commas"));
    }

    fn text(&mut self, text: &SourceText<'_>, root: Option<&PaletteImageRoot>) {
        let map = SwapMap::read(text, &mut self.routing.into.diagnostics);
        self.map(map, root, &text.start());
    }

    fn map(&mut self, mut map: SwapMap, root: Option<&PaletteImageRoot>, location: &Location) {
        let values = map.registries.all.iter_mut().map(|pair| &mut pair.value);
        for value in values.chain(&mut map.default) {
            drop_v2(value, &mut self.routing.into.diagnostics);
        }
        if map.default.is_some() {
            self.others = Some(OtherRegistries::Routed);
        } else if self.others.is_none() {
            self.others = Some(OtherRegistries::Refused(location.clone()));
        }
        for swap in self.routing.map(&map) {
            let further = self.add_named_folder(&swap, root);
            for target in [Some(&swap.target), further.as_ref()].into_iter().flatten() {
                self.alias(&swap, target);
            }
        }
    }

    /// Adds the folder named after the registry as a target; returns it.
    fn add_named_folder(
        &mut self,
        swap: &RegistrySwap,
        root: Option<&PaletteImageRoot>,
    ) -> Option<String> {
        let (host, path) = split_host(&swap.target);
        let root = match root {
            Some(root) if root.host.as_str() == host => Some(root),
            Some(root) => {
                let message = format!(
                    "this is not {}: its credentials are not used here",
                    root.host
                );
                let diagnostic =
                    Diagnostic::new(DiagnosticCode::CredentialScope, &swap.location, message);
                let fix = "add credentials for this host if it needs them";
                self.report(diagnostic.excerpt(&swap.target).fix(fix));
                None
            }
            None => None,
        };
        let folder = match root {
            Some(PaletteImageRoot {
                folder: Some(folder),
                ..
            }) => {
                if !is_below(&swap.target, folder) {
                    let message = format!("this is outside {folder}");
                    let diagnostic =
                        Diagnostic::new(DiagnosticCode::BasePath, &swap.location, message);
                    let fix = "images below the base path are requested too; check the base path";
                    self.report(diagnostic.excerpt(&swap.target).fix(fix));
                }
                folder.clone()
            }
            _ => match path.rsplit_once('/') {
                Some((above, last)) if last.contains('.') => format!("{host}/{above}"),
                _ if path.is_empty() || path.contains('.') => host.to_owned(),
                _ => swap.target.clone(),
            },
        };
        let named: RepositoryName = swap.registry.host().parse().ok()?;
        let target = format!("{folder}/{named}");
        self.routing.add_target(swap, &target);
        let location = || swap.location.clone();
        self.folders.entry(folder).or_insert_with(location);
        Some(target)
    }

    /// Adds an alias for nodes whose map has this mirror instead of the target's host.
    fn alias(&mut self, swap: &RegistrySwap, target: &str) {
        let (_, path) = split_host(target);
        if !path.is_empty() && path.split('/').next() != Some("v2") {
            let RegistrySwap {
                location, registry, ..
            } = swap;
            self.routing.into.add_alias(location, path, registry);
        }
    }

    /// containerd's configuration as written by Palette on nodes.
    fn rendered(&mut self, registry: &Node) {
        let mut map = SwapMap::default();
        for (key, mirror) in registry.get("mirrors").into_iter().flat_map(Node::entries) {
            let diagnostics = &mut self.routing.into.diagnostics;
            let endpoints = mirror.strings("endpoint", diagnostics);
            let Some((first, more)) = endpoints.split_first() else {
                continue;
            };
            for more in more {
                let message = "Palette writes one endpoint; the others are not read";
                let diagnostic = Diagnostic::new(DiagnosticCode::Ignored, &more.start, message);
                self.report(diagnostic.fix("import the file as containerd"));
            }
            let mut value = located(first);
            if let Some((scheme, bare)) = value.text.split_once("://") {
                let bare = bare.to_owned();
                if scheme == "http" {
                    self.plaintext(&value.location, split_host(&bare).0);
                }
                value.text = bare;
            }
            match key.text.as_str() {
                "*" => map.default = Some(value),
                _ => map.registries.put(MapEntry {
                    key: located(key),
                    value,
                }),
            }
        }
        for (host, config) in registry.get("configs").into_iter().flat_map(Node::entries) {
            let into = &mut *self.routing.into;
            PaletteRegistry::rendered(host, config, &mut into.diagnostics).add_to(into);
        }
        self.map(map, None, &registry.location);
    }

    fn plaintext(&mut self, location: &Location, host: &str) {
        if let Some(upstream) = self.routing.into.upstream(location, host) {
            upstream.urls = vec![format!("http://{host}")];
        }
    }
}

/// Removes the `/v2/` before the path that the management plane's dialect has.
fn drop_v2(value: &mut LocatedText, diagnostics: &mut Vec<Diagnostic>) {
    let (host, path) = split_host(&value.text);
    let bare = match path.strip_prefix("v2") {
        Some("") => host.to_owned(),
        Some(below) if below.starts_with('/') => format!("{host}{below}"),
        _ => return,
    };
    let message = "this is in the dialect of containerd's configuration; it means the same";
    diagnostics.push(value.diagnostic(DiagnosticCode::Dialect, message));
    value.text = bare;
}

/// Whether a path is in a folder.
fn is_below(path: &str, folder: &str) -> bool {
    let rest = path.strip_prefix(folder);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
