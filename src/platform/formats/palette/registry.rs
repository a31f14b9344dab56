//! The registry of the images: its address, TLS settings and credentials.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rustls::pki_types::{CertificateDer, pem::PemObject as _};

use super::parts::{located, split_host};
use crate::{
    oci::{Registry, RepositoryName},
    platform::{
        formats::imageswap::map::LocatedText,
        model::imported::{CertificateAuthority, Imported},
        reading::{
            diagnostic::{Diagnostic, DiagnosticCode, Severity},
            kube,
            node::{Node, Scalar},
            placeholder::placeholder_value,
        },
    },
    secret::Secret,
    upstream::Credential,
};

/// A file's settings of a registry, under any of the key names. Empty texts and placeholders count
/// as absent.
#[derive(Default)]
pub(super) struct PaletteRegistry {
    domain: Option<LocatedText>,
    base: Option<LocatedText>,
    username: Option<LocatedText>,
    password: Option<LocatedText>,
    is_insecure: bool,
    ca: Option<LocatedText>,
    /// A scheme that the domain may have, besides `http`.
    scheme: Option<&'static str>,
}

/// The root of its images.
#[derive(Debug)]
pub(super) struct PaletteImageRoot {
    pub(super) host: Registry,
    /// `HOST[:PORT]/PATH`, if there is a base path.
    pub(super) folder: Option<String>,
}

impl PaletteRegistry {
    /// The Secret `registry-info`.
    pub(super) fn secret(node: &Node, diagnostics: &mut Vec<Diagnostic>) -> Self {
        let mut field = |key: &str| {
            let text = kube::data(node, key, diagnostics)?;
            let located_text = LocatedText {
                location: text.start(),
                text: text.text.into_owned(),
            };
            non_empty(key, located_text, diagnostics)
        };
        let insecure = field("INSECURE");
        let registry = Self {
            domain: field("DOMAIN"),
            base: field("BASE_PATH"),
            username: field("USERNAME"),
            password: field("PASSWORD"),
            ca: field("CA_CERT"),
            ..Self::default()
        };
        let is_insecure =
            match insecure
                .as_ref()
                .map(|located_text| located_text.text.as_str())
            {
                None => false,
                Some(text) if text.eq_ignore_ascii_case("false") => false,
                Some(text) if text.eq_ignore_ascii_case("true") => true,
                Some(_) => {
                    let message = "INSECURE must be true or false";
                    diagnostics.extend(insecure.map(|located_text| {
                        located_text.diagnostic(DiagnosticCode::Value, message)
                    }));
                    false
                }
            };
        Self {
            is_insecure,
            ..registry
        }
    }

    /// Helm values.
    pub(super) fn helm(node: &Node, diagnostics: &mut Vec<Diagnostic>) -> Self {
        Self {
            base: field(node, "baseContentPath", diagnostics),
            ca: field(node, "caCert", diagnostics),
            is_insecure: node.flag("insecureSkipVerify", diagnostics) == Some(true),
            scheme: Some("https"),
            ..Self::with_credentials(node, "endpoint", diagnostics)
        }
    }

    /// An edge host's user data.
    pub(super) fn edge(node: &Node, diagnostics: &mut Vec<Diagnostic>) -> Self {
        let mut registry = Self {
            is_insecure: node.flag("insecure", diagnostics) == Some(true),
            ..Self::with_credentials(node, "domain", diagnostics)
        };
        if registry.domain.is_none() && node.get("domain").is_none() {
            let diagnostic =
                Diagnostic::new(DiagnosticCode::Value, &node.location, "domain is missing");
            diagnostics.push(diagnostic.fix("write the registry's host"));
        }
        let certificates = node.strings("certificates", diagnostics);
        if let Some(first) = certificates.first() {
            let mut all = located(first);
            let further = certificates.iter().skip(1);
            all.text.extend(further.flat_map(|one| ["\n", &one.text]));
            registry.ca = non_empty("certificates", all, diagnostics);
        }
        if let Some(encoded) = field(node, "encodedPassword", diagnostics) {
            let bytes = STANDARD.decode(encoded.text.trim_end());
            let text = bytes.ok().and_then(|bytes| String::from_utf8(bytes).ok());
            if text.is_none() {
                let message = "encodedPassword is not text in base64";
                diagnostics.push(Diagnostic::new(
                    DiagnosticCode::AuthBase64,
                    &encoded.location,
                    message,
                ));
            }
            registry.password = text.map(|text| LocatedText { text, ..encoded });
        }
        registry
    }

    /// A host's settings in containerd's configuration.
    pub(super) fn rendered(host: &Scalar, node: &Node, diagnostics: &mut Vec<Diagnostic>) -> Self {
        let credentials = node.get("auth");
        let credentials =
            credentials.map(|auth| Self::with_credentials(auth, "domain", diagnostics));
        let tls = node.get("tls");
        Self {
            domain: Some(located(host)),
            is_insecure: tls.and_then(|tls| tls.flag("insecure_skip_verify", diagnostics))
                == Some(true),
            ..credentials.unwrap_or_default()
        }
    }

    fn with_credentials(node: &Node, domain: &str, diagnostics: &mut Vec<Diagnostic>) -> Self {
        Self {
            domain: field(node, domain, diagnostics),
            username: field(node, "username", diagnostics),
            password: field(node, "password", diagnostics),
            ..Self::default()
        }
    }

    /// Adds the registry and its credentials; returns the root of its images.
    pub(super) fn add_to(self, into: &mut Imported) -> Option<PaletteImageRoot> {
        let (host, root) = self.add_upstream(into)?;
        self.add_credentials(&root, into);
        let folder = self.folder(&root, into);
        Some(PaletteImageRoot { host, folder })
    }

    /// As [`Self::add_to`], for credentials of packs only.
    pub(super) fn add_packs_to(self, into: &mut Imported) {
        if let Some((_, root)) = self.add_upstream(into) {
            let folder = self.folder(&root, into).unwrap_or(root);
            self.add_credentials(&folder, into);
        }
    }

    /// Adds the upstream; returns its host, and `HOST[:PORT][/PATH]` as written.
    fn add_upstream(&self, into: &mut Imported) -> Option<(Registry, String)> {
        let Some(domain) = &self.domain else {
            if let Some(username) = &self.username {
                let message = "credentials without a registry: the domain is missing";
                let diagnostic =
                    Diagnostic::new(DiagnosticCode::Value, &username.location, message);
                into.report(diagnostic.fix("write the registry's host"));
            }
            return None;
        };
        let (scheme, bare) = domain.text.split_once("://").unwrap_or(("", &domain.text));
        let bare = bare.trim_end_matches('/');
        if !(["", "http"].contains(&scheme) || self.scheme == Some(scheme)) {
            let diagnostic = domain.diagnostic(DiagnosticCode::Scheme, "the domain has no scheme");
            into.report(diagnostic.fix("write HOST or HOST:PORT"));
            return None;
        }
        let (host, path) = split_host(bare);
        let is_path = path.is_empty() || path.parse::<RepositoryName>().is_ok();
        let Some(host) = host.parse::<Registry>().ok().filter(|_| is_path) else {
            let diagnostic = domain.diagnostic(DiagnosticCode::Reference, "this is not a registry");
            into.report(diagnostic.fix("write HOST or HOST:PORT"));
            return None;
        };
        self.set_tls(&host, scheme, domain, into);
        let root = joined(host.as_str(), path);
        Some((host, root))
    }

    fn set_tls(&self, host: &Registry, scheme: &str, domain: &LocatedText, into: &mut Imported) {
        let is_plain = scheme == "http";
        let ca = self.ca(into);
        if !is_plain && !self.is_insecure && ca.is_none() {
            return;
        }
        if let Some(upstream) = into.upstream(&domain.location, host.as_str()) {
            if is_plain {
                upstream.urls = vec![format!("http://{host}")];
            }
            upstream.is_verified = !self.is_insecure;
            upstream.ca = ca.map(CertificateAuthority::Pem);
        }
    }

    fn ca(&self, into: &mut Imported) -> Option<String> {
        let LocatedText { text, location } = self.ca.as_ref()?;
        let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text.as_bytes()).collect();
        if !found.is_ok_and(|found| !found.is_empty()) {
            let diagnostic = Diagnostic::new(
                DiagnosticCode::Authority,
                location,
                "this contains no certificate in PEM",
            );
            into.report(diagnostic.fix("PEM has lines such as -----BEGIN CERTIFICATE-----"));
            return None;
        }
        if self.is_insecure {
            let message = "certificates are not verified, so this CA has no effect";
            let diagnostic = Diagnostic::new(DiagnosticCode::Authority, location, message)
                .level(Severity::Warning);
            into.report(diagnostic.fix("enable verification: this CA suffices"));
        }
        Some(text.clone())
    }

    fn add_credentials(&self, root: &str, into: &mut Imported) {
        let (username, password) = match (&self.username, &self.password) {
            (None, None) => return,
            (Some(username), Some(password)) => (username, password),
            (Some(LocatedText { location, .. }), None)
            | (None, Some(LocatedText { location, .. })) => {
                let message = "a user name and a password must be set together";
                let diagnostic = Diagnostic::new(DiagnosticCode::Value, location, message);
                into.report(diagnostic.fix("write both, or leave both empty"));
                return;
            }
        };
        let is_odd = |letter: char| letter == ':' || letter.is_control();
        if username.text.contains(is_odd) {
            let message = "a user name must not contain a colon or control characters";
            into.report(Diagnostic::new(
                DiagnosticCode::Value,
                &username.location,
                message,
            ));
            return;
        }
        let credential = Credential::Password {
            username: username.text.clone(),
            password: Secret::new(password.text.as_str()),
        };
        into.add_credential(&username.location, root, credential);
    }

    /// The root with the base path, which it may already have.
    fn folder(&self, root: &str, into: &mut Imported) -> Option<String> {
        let base = self.base.as_ref()?;
        let path = base.text.trim_matches('/');
        if path.parse::<RepositoryName>().is_err() {
            let diagnostic = base.diagnostic(
                DiagnosticCode::Reference,
                "this is not a path in a registry",
            );
            into.report(diagnostic.fix("write folders in lower case with slashes between them"));
            return None;
        }
        let is_there = root.ends_with(&format!("/{path}"));
        Some(joined(root, if is_there { "" } else { path }))
    }
}

fn joined(root: &str, path: &str) -> String {
    if path.is_empty() {
        root.to_owned()
    } else {
        format!("{root}/{path}")
    }
}

fn field(node: &Node, key: &str, diagnostics: &mut Vec<Diagnostic>) -> Option<LocatedText> {
    let found = node.string(key, diagnostics).map(located);
    non_empty(key, found?, diagnostics)
}

/// The text without trailing line ends; `None` if it is empty or a placeholder.
fn non_empty(
    key: &str,
    located_text: LocatedText,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<LocatedText> {
    let LocatedText { text, location } = located_text;
    let text = text.trim_end_matches(['\n', '\r']).to_owned();
    if let Some(diagnostic) = placeholder_value(key, &text, &location) {
        diagnostics.push(diagnostic);
        return None;
    }
    (!text.is_empty()).then_some(LocatedText { text, location })
}
