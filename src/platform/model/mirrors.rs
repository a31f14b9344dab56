//! Shared by k3s, Talos and containerd: registries with mirrors, and hosts with credentials and
//! certificates.

use super::{
    auth,
    endpoint::{ApiPathRule, HostSettings, MirrorEndpoint, SchemeDefault},
    imported::{CertificateAuthority, Imported},
};
use crate::{
    oci::Registry,
    platform::reading::{
        diagnostic::{Diagnostic, DiagnosticCode},
        node::{Node, Scalar},
    },
};

/// The settings of each host.
#[derive(Default)]
pub(in crate::platform) struct HostSettingsMap<'p>(Vec<(&'p Scalar, Registry, HostSettings)>);

/// The registry that mirrors are for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::platform) enum MirroredRegistry {
    One(Registry),
    /// Every registry without its own mirrors.
    Any,
}

impl<'p> HostSettingsMap<'p> {
    /// Different settings for one host are `E-DUP`.
    pub(in crate::platform) fn add(
        &mut self,
        name: &'p Scalar,
        host_settings: HostSettings,
        into: &mut Imported,
    ) {
        let Some(host) = host(name, into) else {
            return;
        };
        match self.0.iter().find(|(_, known, _)| *known == host) {
            Some((_, _, known)) if *known == host_settings => {}
            Some((other, ..)) => {
                let message = format!("this host has other settings in {}", other.start);
                let diagnostic = Diagnostic::new(DiagnosticCode::Duplicate, &name.start, message);
                into.report(diagnostic.excerpt(&name.text).fix("keep one of them"));
            }
            None => self.0.push((name, host, host_settings)),
        }
    }

    pub(in crate::platform) fn get(&self, host: &Registry) -> HostSettings {
        let known = self.0.iter().find(|(_, known, _)| known == host);
        known.map_or_else(HostSettings::default, |(.., host_settings)| {
            host_settings.clone()
        })
    }

    /// Adds the settings that no mirror used: they may be for a registry itself.
    pub(in crate::platform) fn add_unused(&self, into: &mut Imported) {
        for (name, host, host_settings) in &self.0 {
            let mut known = into.upstreams.iter();
            if !known.any(|known| known.name.as_str() == host.as_str()) {
                into.add_endpoint(&name.start, &MirrorEndpoint::of(host), host_settings);
            }
        }
    }
}

impl MirroredRegistry {
    /// `HOST[:PORT]` or `*`.
    pub(in crate::platform) fn read(name: &Scalar, into: &mut Imported) -> Option<Self> {
        match name.text.parse::<Registry>() {
            _ if name.text == "*" => Some(Self::Any),
            Ok(registry) if registry.is_docker_hub() && name.text != "docker.io" => {
                let message = "mirrors of Docker Hub are read from docker.io only";
                let diagnostic = Diagnostic::new(DiagnosticCode::Misplaced, &name.start, message);
                into.report(diagnostic.excerpt(&name.text).fix("write docker.io"));
                None
            }
            Ok(registry) if Registry::looks_like(&name.text) => Some(Self::One(registry)),
            _ => {
                let message = "mirrors are for a registry, HOST or HOST:PORT, or for *";
                into.report(
                    Diagnostic::new(DiagnosticCode::Reference, &name.start, message)
                        .excerpt(&name.text),
                );
                None
            }
        }
    }

    pub(in crate::platform) fn registry(&self) -> Option<&Registry> {
        match self {
            Self::One(registry) => Some(registry),
            Self::Any => None,
        }
    }

    /// The target that is the registry itself.
    pub(in crate::platform) fn source(
        &self,
        name: &Scalar,
        settings: &HostSettingsMap<'_>,
        into: &mut Imported,
    ) -> Option<String> {
        match self {
            Self::One(registry) => {
                let host_settings = settings.get(registry);
                into.add_mirror(
                    &name.start,
                    Some(registry),
                    &MirrorEndpoint::of(registry),
                    host_settings,
                )
            }
            Self::Any => Some("source".to_owned()),
        }
    }
}

/// The mappings in a mapping; null counts as an empty one.
pub(in crate::platform) fn mappings<'n>(
    node: &'n Node,
    diagnostics: &mut Vec<Diagnostic>,
) -> Vec<(&'n Scalar, &'n Node)> {
    if !node.is_mapping() {
        diagnostics.push(node.wrong_type("this must be a mapping of names to mappings"));
    }
    let is_sound = |(_, one): &(&Scalar, &Node)| one.is_mapping() || one.is_null();
    let (sound, others): (Vec<_>, Vec<_>) = node.entries().partition(is_sound);
    let diagnostic = |(_, other): (_, &Node)| other.wrong_type("this must be a mapping");
    diagnostics.extend(others.into_iter().map(diagnostic));
    sound
}

/// The credentials for a host.
pub(in crate::platform) fn credentials(
    name: &Scalar,
    node: &Node,
    token_key: &str,
    into: &mut Imported,
) {
    if !node.is_mapping() {
        into.report(node.wrong_type("credentials must be a mapping"));
    }
    let credential = auth::credential(node, token_key, &mut into.diagnostics);
    if let (Some(host), Some(credential)) = (host(name, into), credential) {
        into.add_credential(&name.start, host.as_str(), credential);
    }
}

/// `tls` of a host, with files on the node.
pub(in crate::platform) fn tls_settings<'p>(
    name: &'p Scalar,
    config: &'p Node,
    settings: &mut HostSettingsMap<'p>,
    into: &mut Imported,
) {
    let Some(tls) = config.mapping("tls", &mut into.diagnostics) else {
        return;
    };
    let mut file = |key: &str| {
        let file = tls.string(key, &mut into.diagnostics)?;
        Some(file).filter(|file| !file.text.is_empty())
    };
    let [ca, certificate, key] = ["ca_file", "cert_file", "key_file"].map(&mut file);
    let client = match (certificate, key) {
        (Some(certificate), Some(key)) => Some((certificate.text.clone(), key.text.clone())),
        (None, None) => None,
        (Some(one), None) | (None, Some(one)) => {
            let message = "cert_file and key_file must be set together";
            into.report(Diagnostic::new(DiagnosticCode::Value, &one.start, message));
            None
        }
    };
    let host_settings = HostSettings {
        is_verified: tls.flag("insecure_skip_verify", &mut into.diagnostics) != Some(true),
        ca: ca.map(|ca| CertificateAuthority::File(ca.text.clone())),
        client,
        ..HostSettings::default()
    };
    settings.add(name, host_settings, into);
}

/// The host of settings.
fn host(name: &Scalar, into: &mut Imported) -> Option<Registry> {
    let endpoint = MirrorEndpoint::read(name, SchemeDefault::Https, ApiPathRule::AsIs);
    let endpoint = endpoint.map_err(|diagnostic| into.report(diagnostic));
    endpoint.ok().map(|endpoint| endpoint.host)
}
