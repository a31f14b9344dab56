//! What k3s, Talos and containerd share: registries with mirrors, and hosts with logins and certificates.

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

/// How each host is met.
#[derive(Default)]
pub(in crate::platform) struct HostSettingsMap<'p>(Vec<(&'p Scalar, Registry, HostSettings)>);

/// Whose mirrors are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::platform) enum MirroredRegistry {
    One(Registry),
    /// Every registry that has no mirrors of its own.
    Any,
}

impl<'p> HostSettingsMap<'p> {
    /// Two that differ for one host are `E-DUP`.
    pub(in crate::platform) fn add(
        &mut self,
        name: &'p Scalar,
        manner: HostSettings,
        into: &mut Imported,
    ) {
        let Some(host) = host(name, into) else {
            return;
        };
        match self.0.iter().find(|(_, known, _)| *known == host) {
            Some((_, _, known)) if *known == manner => {}
            Some((other, ..)) => {
                let message = format!("other settings for this host stand in {}", other.start);
                let diagnostic = Diagnostic::new(DiagnosticCode::Duplicate, &name.start, message);
                into.report(diagnostic.excerpt(&name.text).fix("keep one of them"));
            }
            None => self.0.push((name, host, manner)),
        }
    }

    pub(in crate::platform) fn get(&self, host: &Registry) -> HostSettings {
        let known = self.0.iter().find(|(_, known, _)| known == host);
        known.map_or_else(HostSettings::default, |(.., manner)| manner.clone())
    }

    /// Keeps what no mirror needed: it may be for a registry itself.
    pub(in crate::platform) fn add_unused(&self, into: &mut Imported) {
        for (name, host, manner) in &self.0 {
            let mut known = into.upstreams.iter();
            if !known.any(|known| known.name.as_str() == host.as_str()) {
                into.add_endpoint(&name.start, &MirrorEndpoint::of(host), manner);
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
                let message = "images on Docker Hub have their mirrors under docker.io only";
                let diagnostic = Diagnostic::new(DiagnosticCode::Misplaced, &name.start, message);
                into.report(diagnostic.excerpt(&name.text).fix("write docker.io"));
                None
            }
            Ok(registry) if Registry::looks_like(&name.text) => Some(Self::One(registry)),
            _ => {
                let message = "mirrors are for a registry, written HOST or HOST:PORT, or for *";
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
        manners: &HostSettingsMap<'_>,
        into: &mut Imported,
    ) -> Option<String> {
        match self {
            Self::One(registry) => {
                let manner = manners.get(registry);
                into.add_mirror(
                    &name.start,
                    Some(registry),
                    &MirrorEndpoint::of(registry),
                    manner,
                )
            }
            Self::Any => Some("source".to_owned()),
        }
    }
}

/// The mappings below a mapping; null counts as an empty one, and is let through.
pub(in crate::platform) fn mappings<'n>(
    node: &'n Node,
    diagnostics: &mut Vec<Diagnostic>,
) -> Vec<(&'n Scalar, &'n Node)> {
    if !node.is_mapping() {
        diagnostics.push(node.wrong_type("names stand here, with a mapping each"));
    }
    let is_sound = |(_, one): &(&Scalar, &Node)| one.is_mapping() || one.is_null();
    let (sound, others): (Vec<_>, Vec<_>) = node.entries().partition(is_sound);
    let misfit = |(_, other): (_, &Node)| other.wrong_type("this is a mapping");
    diagnostics.extend(others.into_iter().map(misfit));
    sound
}

/// The login for a host.
pub(in crate::platform) fn credentials(
    name: &Scalar,
    node: &Node,
    token_key: &str,
    into: &mut Imported,
) {
    if !node.is_mapping() {
        into.report(node.wrong_type("a login is a mapping"));
    }
    let credential = auth::credential(node, token_key, &mut into.diagnostics);
    if let (Some(host), Some(credential)) = (host(name, into), credential) {
        into.add_credential(&name.start, host.as_str(), credential);
    }
}

/// `tls` of a host, with files that lie on the node.
pub(in crate::platform) fn tls_settings<'p>(
    name: &'p Scalar,
    config: &'p Node,
    manners: &mut HostSettingsMap<'p>,
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
            let message = "cert_file and key_file belong together";
            into.report(Diagnostic::new(DiagnosticCode::Value, &one.start, message));
            None
        }
    };
    let manner = HostSettings {
        is_verified: tls.flag("insecure_skip_verify", &mut into.diagnostics) != Some(true),
        ca: ca.map(|ca| CertificateAuthority::File(ca.text.clone())),
        client,
        ..HostSettings::default()
    };
    manners.add(name, manner, into);
}

/// The host that settings are for.
fn host(name: &Scalar, into: &mut Imported) -> Option<Registry> {
    let endpoint = MirrorEndpoint::read(name, SchemeDefault::Https, ApiPathRule::AsIs);
    let endpoint = endpoint.map_err(|diagnostic| into.report(diagnostic));
    endpoint.ok().map(|endpoint| endpoint.host)
}
