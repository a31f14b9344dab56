//! `buildkitd.toml`: mirrors by registry, and how each host is contacted.

use crate::{
    oci::Registry,
    platform::{
        model::{
            context::ImportContext,
            endpoint::{ApiPathRule, HostSettings, MirrorEndpoint, SchemeDefault, is_local},
            imported::{CertificateAuthority, Imported},
            mirrors::{self, HostSettingsMap, MirroredRegistry},
        },
        reading::{
            diagnostic::{Diagnostic, DiagnosticCode},
            document::{InputDocument, trees},
            node::{Node, Scalar},
        },
    },
};

/// All hosts that have a table.
#[derive(Default)]
struct Hosts<'p> {
    tables: Vec<HostTable<'p>>,
    settings: HostSettingsMap<'p>,
}

/// `[registry."HOST"]`.
struct HostTable<'p> {
    name: &'p Scalar,
    mirrors: Vec<&'p Scalar>,
    http: Option<bool>,
    is_insecure: bool,
}

/// Whether a document is in this format: a `registries.conf` has a list where this has tables.
pub(in crate::platform) fn detects(document: &InputDocument<'_>) -> bool {
    let has_tables = match document {
        InputDocument::Tree(node) => node.get("registry").is_some_and(Node::is_mapping),
        InputDocument::Map(_) => false,
    };
    has_tables || document.has_any(&[&["worker", "oci"], &["worker", "containerd"]])
}

pub(in crate::platform) fn import(
    documents: &[InputDocument<'_>],
    context: &ImportContext<'_>,
    into: &mut Imported,
) {
    let mut hosts = Hosts::default();
    for registries in trees(documents).filter_map(|node| node.get("registry")) {
        for (name, table) in mirrors::mappings(registries, &mut into.diagnostics) {
            if name.text == "*" {
                let message = "buildkitd has no table for all registries; this one has no effect";
                into.report(Diagnostic::new(
                    DiagnosticCode::Ignored,
                    &name.start,
                    message,
                ));
                continue;
            }
            hosts.add(name, table, into);
        }
    }
    let (alone, mirrored): (Vec<_>, Vec<_>) = hosts
        .tables
        .iter()
        .partition(|table| table.mirrors.is_empty());
    for HostTable { name, mirrors, .. } in mirrored {
        let Some(MirroredRegistry::One(registry)) = MirroredRegistry::read(name, into) else {
            continue;
        };
        let mut to = Vec::new();
        for mirror in mirrors {
            for endpoint in hosts.endpoints_of_mirror(mirror, into) {
                let settings = hosts.settings.get(&endpoint.host);
                to.extend(into.add_mirror(&mirror.start, Some(&registry), &endpoint, settings));
            }
        }
        to.extend(hosts.add_registry(name, &registry, into));
        let to = to.iter().map(|target| target.as_str().into()).collect();
        into.route_mirrors(&name.start, Some(&registry), to, context);
    }
    // Without mirrors a table only says how its host is contacted, which mirrors may have used.
    for HostTable { name, .. } in alone {
        let Some(MirroredRegistry::One(registry)) = MirroredRegistry::read(name, into) else {
            continue;
        };
        let mut known = into.upstreams.iter();
        if !known.any(|known| known.name.as_str() == registry.as_str()) {
            drop(hosts.add_registry(name, &registry, into));
        }
    }
}

impl<'p> Hosts<'p> {
    fn add(&mut self, name: &'p Scalar, table: &'p Node, into: &mut Imported) {
        let is_insecure = table.flag("insecure", &mut into.diagnostics) == Some(true);
        let settings = HostSettings {
            is_verified: !is_insecure,
            ca: authority(table, into),
            client: key_pair(table, into),
            ..HostSettings::default()
        };
        if let Some(folders) = table.get("tlsconfigdir") {
            let message = "certificates in folders are not read";
            let diagnostic = Diagnostic::new(DiagnosticCode::Ignored, &folders.location, message);
            into.report(diagnostic.fix("name the files with ca and keypair"));
        }
        self.settings.add(name, settings, into);
        self.tables.push(HostTable {
            name,
            mirrors: table.strings("mirrors", &mut into.diagnostics),
            http: table.flag("http", &mut into.diagnostics),
            is_insecure,
        });
    }

    /// A mirror, written `HOST[:PORT][/PATH]`; its host's own table says how it is contacted.
    fn endpoints_of_mirror(&self, mirror: &Scalar, into: &mut Imported) -> Vec<MirrorEndpoint> {
        let (scheme, rest) = match mirror.text.split_once("://") {
            Some((scheme, rest)) => (Some(scheme), rest),
            None => (None, mirror.text.as_str()),
        };
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        let schemes = self.schemes(host);
        if scheme.is_some_and(|scheme| !schemes.contains(&scheme)) {
            let message = "buildkitd ignores the scheme of a mirror";
            let fix = format!("set http in [registry.\"{host}\"]");
            let diagnostic = Diagnostic::new(DiagnosticCode::Ignored, &mirror.start, message);
            into.report(diagnostic.fix(fix));
        }
        let mut endpoints = Vec::new();
        for scheme in schemes {
            let whole = Scalar {
                text: format!("{scheme}://{host}/v2/{path}"),
                ..mirror.clone()
            };
            match MirrorEndpoint::read(&whole, SchemeDefault::Required, ApiPathRule::AsIs) {
                Ok(endpoint) => endpoints.push(endpoint),
                Err(diagnostic) => {
                    into.report(diagnostic);
                    break;
                }
            }
        }
        endpoints
    }

    /// The targets that are the registry itself, which buildkitd asks last.
    fn add_registry(&self, name: &Scalar, registry: &Registry, into: &mut Imported) -> Vec<String> {
        let mut add = |scheme: &&str| {
            let mut endpoint = MirrorEndpoint::of(registry);
            endpoint.is_tls = *scheme == "https";
            let settings = self.settings.get(registry);
            into.add_mirror(&name.start, Some(registry), &endpoint, settings)
        };
        let schemes = self.schemes(registry.as_str()).iter();
        schemes.filter_map(&mut add).collect()
    }

    /// How a host is contacted, in this order.
    fn schemes(&self, host: &str) -> &'static [&'static str] {
        let own = self.tables.iter().find(|table| table.name.text == host);
        let is_local = || host.parse().is_ok_and(|host| is_local(&host));
        let is_http = own.and_then(|table| table.http).unwrap_or_else(is_local);
        match (is_http, own.is_some_and(|table| table.is_insecure)) {
            (true, true) => &["https", "http"],
            (true, false) => &["http"],
            (false, _) => &["https"],
        }
    }
}

/// The first file of `ca`.
fn authority(table: &Node, into: &mut Imported) -> Option<CertificateAuthority> {
    let files = table.strings("ca", &mut into.diagnostics);
    let (first, more) = files.split_first()?;
    if let Some(second) = more.first() {
        let message = "only the first file of ca is used";
        let diagnostic = Diagnostic::new(DiagnosticCode::Ignored, &second.start, message);
        into.report(diagnostic.fix("put all certificates into one file"));
    }
    Some(CertificateAuthority::File(first.text.clone()))
}

/// The first `[[registry."HOST".keypair]]`: certificate and key.
fn key_pair(table: &Node, into: &mut Imported) -> Option<(String, String)> {
    let pairs = table.get("keypair")?;
    let (first, more) = pairs.items().split_first()?;
    if let Some(second) = more.first() {
        let message = "only the first key pair is used";
        into.report(Diagnostic::new(
            DiagnosticCode::Ignored,
            &second.location,
            message,
        ));
    }
    let [certificate, key] = ["cert", "key"].map(|key| {
        let file = first.string(key, &mut into.diagnostics);
        file.map(|file| file.text.clone())
    });
    if certificate.is_none() || key.is_none() {
        let message = "a key pair has cert and key";
        into.report(Diagnostic::new(
            DiagnosticCode::Value,
            &first.location,
            message,
        ));
    }
    Some((certificate?, key?))
}
