//! Talos: `machine.registries` of its machine configuration, and the newer documents.

use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::platform::{
    model::{
        context::ImportContext,
        endpoint::{ApiPathRule, HostSettings, MirrorEndpoint, SchemeDefault},
        imported::{CertificateAuthority, Imported},
        mirrors::{self, HostSettingsMap, MirroredRegistry},
    },
    reading::{
        diagnostic::{Diagnostic, DiagnosticCode},
        document::{InputDocument, trees},
        kube,
        node::{Node, NodeKind, Scalar},
    },
};

/// The first line of a certificate.
const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----";

/// Whether a document is in this format.
pub(in crate::platform) fn detects(document: &InputDocument<'_>) -> bool {
    let InputDocument::Tree(node) = document else {
        return false;
    };
    match kube::kind(node) {
        Some("RegistryMirrorConfig" | "RegistryAuthConfig" | "RegistryTLSConfig") => true,
        Some(_) => false,
        None => node.has_any(&[&["machine", "registries"], &["machine", "config"]]),
    }
}

pub(in crate::platform) fn import(
    documents: &[InputDocument<'_>],
    context: &ImportContext<'_>,
    into: &mut Imported,
) {
    let mut settings = HostSettingsMap::default();
    let mut named = Vec::new();
    for node in trees(documents) {
        match kube::kind(node) {
            None => {
                let registries = node.at(&["machine", "registries"]);
                let parts = ["config", "mirrors"].map(|key| registries?.get(key));
                if let [Some(config), _] = parts {
                    for (name, config) in mirrors::mappings(config, &mut into.diagnostics) {
                        host(name, config, &mut settings, into);
                    }
                }
                if let [_, Some(mirrors)] = parts {
                    named.extend(mirrors::mappings(mirrors, &mut into.diagnostics));
                }
            }
            Some("RegistryMirrorConfig") => named.extend(document(node, into)),
            Some("RegistryAuthConfig") => {
                if let Some((name, node)) = document(node, into) {
                    credentials(name, node, into);
                }
            }
            Some("RegistryTLSConfig") => {
                if let Some((name, node)) = document(node, into) {
                    tls(name, node, &mut settings, into);
                }
            }
            Some(kind) => {
                let message = "this kind of document says nothing about images";
                into.report(
                    Diagnostic::new(DiagnosticCode::Skipped, &node.location, message).excerpt(kind),
                );
            }
        }
    }
    for (name, mirror) in named {
        self::mirror(name, mirror, &settings, context, into);
    }
    settings.add_unused(into);
}

/// A newer document and its name.
fn document<'n>(node: &'n Node, into: &mut Imported) -> Option<(&'n Scalar, &'n Node)> {
    if let Some(version) = node.string("apiVersion", &mut into.diagnostics)
        && version.text != "v1alpha1"
    {
        let message = "the only version of this kind of document is v1alpha1";
        into.report(
            Diagnostic::new(DiagnosticCode::Kind, &version.start, message).excerpt(&version.text),
        );
        return None;
    }
    let name = node.string("name", &mut into.diagnostics);
    let name = name.filter(|name| !name.text.is_empty());
    if name.is_none() {
        let message = "the document has no name, which is the registry that it is for";
        into.report(Diagnostic::new(
            DiagnosticCode::Value,
            &node.location,
            message,
        ));
    }
    Some((name?, node))
}

/// `registries.config.HOST`.
fn host<'p>(
    name: &'p Scalar,
    config: &'p Node,
    settings: &mut HostSettingsMap<'p>,
    into: &mut Imported,
) {
    if let Some(auth) = config.get("auth") {
        credentials(name, auth, into);
    }
    if let Some(tls) = config.get("tls") {
        self::tls(name, tls, settings, into);
    }
}

fn credentials(name: &Scalar, node: &Node, into: &mut Imported) {
    let is_there = |key: &&str| node.get(key).is_some_and(|node| node.text() != Some(""));
    let kinds = ["username", "auth", "identityToken"].iter();
    if kinds.filter(|key| is_there(key)).count() > 1 {
        let message = "credentials are either username and password, or auth, or identityToken";
        into.report(
            Diagnostic::new(DiagnosticCode::Value, &node.location, message).fix("keep one of them"),
        );
        return;
    }
    mirrors::credentials(name, node, "identityToken", into);
}

fn tls<'p>(
    name: &'p Scalar,
    node: &'p Node,
    settings: &mut HostSettingsMap<'p>,
    into: &mut Imported,
) {
    if !node.is_mapping() {
        into.report(node.wrong_type("tls must be a mapping"));
    }
    if let Some(client) = node.get("clientIdentity") {
        let message = "client certificates are read from files only";
        let fix = format!(
            "write both parts to files, and name them in [upstream.\"{}\"] as client_cert_file \
             and client_key_file",
            name.text
        );
        into.report(Diagnostic::new(DiagnosticCode::Ignored, &client.location, message).fix(fix));
    }
    let host_settings = HostSettings {
        is_verified: node.flag("insecureSkipVerify", &mut into.diagnostics) != Some(true),
        ca: ca(node, into),
        ..HostSettings::default()
    };
    settings.add(name, host_settings, into);
}

/// `ca`: PEM, or in the older form base64.
fn ca(node: &Node, into: &mut Imported) -> Option<CertificateAuthority> {
    let ca = node.string("ca", &mut into.diagnostics)?;
    let encoded: String = ca.text.split_ascii_whitespace().collect();
    let decoded = STANDARD.decode(encoded).ok();
    let decoded = decoded.and_then(|bytes| String::from_utf8(bytes).ok());
    let pem = decoded.unwrap_or_else(|| ca.text.clone());
    if ca.text.is_empty() {
        return None;
    }
    if !pem.contains(CERTIFICATE) {
        let message = "this contains no certificate, neither in PEM nor in base64";
        let diagnostic = Diagnostic::new(DiagnosticCode::Authority, &ca.start, message);
        into.report(diagnostic.fix(format!("a certificate starts with {CERTIFICATE}")));
        return None;
    }
    Some(CertificateAuthority::Pem(pem))
}

/// The mirrors of a registry, then the registry itself.
fn mirror(
    name: &Scalar,
    mirror: &Node,
    settings: &HostSettingsMap<'_>,
    context: &ImportContext<'_>,
    into: &mut Imported,
) {
    let Some(whose) = MirroredRegistry::read(name, into) else {
        return;
    };
    let base = base(mirror, into);
    let is_final = mirror.flag("skipFallback", &mut into.diagnostics) == Some(true);
    let mut to: Vec<String> = Vec::new();
    for (url, base) in endpoints(mirror, base, into) {
        match MirrorEndpoint::read(url, SchemeDefault::Required, base) {
            Ok(endpoint) => {
                let host_settings = settings.get(&endpoint.host);
                to.extend(into.add_mirror(&url.start, whose.registry(), &endpoint, host_settings));
            }
            Err(diagnostic) => into.report(diagnostic),
        }
    }
    if !is_final {
        to.extend(whose.source(name, settings, into));
    }
    let to = to.iter().map(|target| target.as_str().into()).collect();
    into.route_mirrors(&name.start, whose.registry(), to, context);
}

/// Whether the path is everything before a repository's name.
fn base(node: &Node, into: &mut Imported) -> ApiPathRule {
    match node.flag("overridePath", &mut into.diagnostics) {
        Some(true) => ApiPathRule::AsIs,
        _ => ApiPathRule::Append,
    }
}

/// Addresses with the rule for their path: strings in the older form, mappings in the newer.
fn endpoints<'n>(
    mirror: &'n Node,
    default: ApiPathRule,
    into: &mut Imported,
) -> Vec<(&'n Scalar, ApiPathRule)> {
    let Some(list) = mirror.get("endpoints") else {
        return Vec::new();
    };
    if !matches!(list.kind, NodeKind::Sequence(_)) {
        into.report(list.wrong_type("endpoints must be a list"));
    }
    let mut found = Vec::new();
    for item in list.items() {
        match &item.kind {
            NodeKind::Scalar(url) => found.push((url, default)),
            NodeKind::Mapping(_) => {
                let base = match default {
                    ApiPathRule::AsIs => ApiPathRule::AsIs,
                    _ => base(item, into),
                };
                if let Some(url) = item.string("url", &mut into.diagnostics) {
                    found.push((url, base));
                } else {
                    let message = "an endpoint needs a url";
                    into.report(Diagnostic::new(
                        DiagnosticCode::Value,
                        &item.location,
                        message,
                    ));
                }
            }
            _ => into.report(item.wrong_type("an endpoint must be an address")),
        }
    }
    found
}
