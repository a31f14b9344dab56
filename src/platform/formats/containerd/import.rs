//! containerd's older `config.toml`, with mirrors and their settings in the file itself.

use crate::platform::{
    model::{
        context::ImportContext,
        endpoint::{ApiPathRule, MirrorEndpoint, SchemeDefault},
        imported::Imported,
        mirrors::{self, HostSettingsMap, MirroredRegistry},
    },
    reading::{
        diagnostic::{Diagnostic, DiagnosticCode},
        document::{InputDocument, trees},
        node::{Node, Scalar},
    },
};

/// The versions of the file, and the plugin of its registries.
const PLUGINS: [(&str, &str); 3] = [
    ("1", "cri"),
    ("2", "io.containerd.grpc.v1.cri"),
    ("3", "io.containerd.cri.v1.images"),
];

const TOKEN_KEY: &str = "identitytoken";

/// Whether a document is in this format.
pub(in crate::platform) fn detects(document: &InputDocument<'_>) -> bool {
    document.has_any(&[&["plugins"]])
}

pub(in crate::platform) fn import(
    documents: &[InputDocument<'_>],
    context: &ImportContext<'_>,
    into: &mut Imported,
) {
    let mut registries = Vec::new();
    for node in trees(documents) {
        registries.extend(registry(node, &mut into.diagnostics));
        for file in node.strings("imports", &mut into.diagnostics) {
            let message = "the files named here are not read";
            let diagnostic =
                Diagnostic::new(DiagnosticCode::Ignored, &file.start, message).excerpt(&file.text);
            into.report(diagnostic.fix("import them as well, if they name mirrors"));
        }
    }
    let mut settings = HostSettingsMap::default();
    for registry in &registries {
        report_config_path(registry, into);
        for (host, config) in tables(registry, "configs", &mut into.diagnostics) {
            self::config(host, config, &mut settings, into);
        }
        // Superseded by `configs`.
        for (host, auth) in tables(registry, "auths", &mut into.diagnostics) {
            mirrors::credentials(host, auth, TOKEN_KEY, into);
        }
    }
    for registry in &registries {
        for (name, mirror) in tables(registry, "mirrors", &mut into.diagnostics) {
            self::mirror(name, mirror, &settings, context, into);
        }
    }
    settings.add_unused(into);
}

/// The registries in a file of its version; those of other versions too, with a warning.
fn registry<'n>(node: &'n Node, diagnostics: &mut Vec<Diagnostic>) -> Option<&'n Node> {
    let version = node.string("version", diagnostics);
    let version = version.map_or("1", |version| &version.text);
    let found = PLUGINS.iter().filter_map(|(of, plugin)| {
        let registry = node.at(&["plugins", plugin, "registry"])?;
        Some((*of, registry))
    });
    let found: Vec<_> = found.collect();
    for (of, registry) in found.iter().filter(|(of, _)| *of != version) {
        let message = format!("containerd does not read this in a file of version {version}");
        let diagnostic = Diagnostic::new(DiagnosticCode::Misplaced, &registry.location, message);
        diagnostics.push(diagnostic.fix(format!("write version = {of} at the top")));
    }
    let proper = found.iter().find(|(of, _)| *of == version);
    proper
        .or_else(|| found.last())
        .map(|(_, registry)| *registry)
}

/// The tables at a key.
fn tables<'n>(
    node: &'n Node,
    key: &str,
    diagnostics: &mut Vec<Diagnostic>,
) -> Vec<(&'n Scalar, &'n Node)> {
    let Some(node) = node.get(key) else {
        return Vec::new();
    };
    if !node.is_mapping() {
        diagnostics.push(node.wrong_type(&format!("{key} must be a table of tables")));
    }
    let (tables, others): (Vec<_>, Vec<_>) = node.entries().partition(|(_, one)| one.is_mapping());
    diagnostics.extend(
        others
            .iter()
            .map(|(_, other)| other.wrong_type("this must be a table")),
    );
    tables
}

/// `config_path`: the folder that is read instead of this file.
fn report_config_path(registry: &Node, into: &mut Imported) {
    let path = registry.string("config_path", &mut into.diagnostics);
    let Some(path) = path.filter(|path| !path.text.is_empty()) else {
        return;
    };
    let configs = registry.get("configs").map(Node::entries);
    let mut configs = configs.into_iter().flatten();
    let diagnostic = if registry.has("mirrors") || configs.any(|(_, config)| config.has("tls")) {
        let message = "containerd does not start if config_path is set together with mirrors or \
                       configs.tls";
        let fix = "remove the ones that are not in use";
        Diagnostic::new(DiagnosticCode::Value, &path.start, message).fix(fix)
    } else {
        let message = "containerd reads its mirrors from the folder named here";
        let fix = "import its files: roadstead import hosts-toml FOLDER";
        Diagnostic::new(DiagnosticCode::Skipped, &path.start, message).fix(fix)
    };
    into.report(diagnostic.excerpt(&path.text));
}

/// `configs."HOST"`: credentials, and TLS settings.
fn config<'p>(
    host: &'p Scalar,
    config: &'p Node,
    settings: &mut HostSettingsMap<'p>,
    into: &mut Imported,
) {
    if let Some(auth) = config.get("auth") {
        mirrors::credentials(host, auth, TOKEN_KEY, into);
    }
    mirrors::tls_settings(host, config, settings, into);
}

/// `mirrors."REGISTRY"`: its endpoints, then the registry itself.
fn mirror(
    name: &Scalar,
    mirror: &Node,
    settings: &HostSettingsMap<'_>,
    context: &ImportContext<'_>,
    into: &mut Imported,
) {
    let endpoints = mirror.strings("endpoint", &mut into.diagnostics);
    let Some(whose) = MirroredRegistry::read(name, into) else {
        return;
    };
    let mut to: Vec<String> = Vec::new();
    let mut has_own = false;
    for scalar in endpoints {
        match MirrorEndpoint::read(scalar, SchemeDefault::HttpIfLocal, ApiPathRule::AsIsOrV2) {
            Ok(endpoint) => {
                has_own |= whose.registry() == Some(&endpoint.host);
                let host_settings = settings.get(&endpoint.host);
                to.extend(into.add_mirror(
                    &scalar.start,
                    whose.registry(),
                    &endpoint,
                    host_settings,
                ));
            }
            Err(diagnostic) => into.report(diagnostic),
        }
    }
    if !has_own {
        to.extend(whose.source(name, settings, into));
    }
    let to = to.iter().map(|target| target.as_str().into()).collect();
    into.route_mirrors(&name.start, whose.registry(), to, context);
}
