//! One registry in the values: whether it is enabled, its location, and its Secret.

use std::fmt;

use crate::{
    oci::{self, Registry, RepositoryName},
    platform::reading::{
        diagnostic::{Diagnostic, DiagnosticCode},
        location::Location,
        name_part::reject_scheme,
        node::{Node, Scalar},
        placeholder::is_placeholder,
    },
};

/// `privateRegistry`, `baseRegistry` or `updateRegistry`, enabled.
pub(super) struct RegistryBlock {
    pub(super) key: &'static str,
    pub(super) location: Location,
    /// Unset if each Deployment has its own.
    pub(super) host: Option<RepositoryPrefix>,
    pub(super) secret: Option<Scalar>,
    /// Whether there is a value for the host, valid or not.
    pub(super) names_host: bool,
}

/// A repository, a folder of repositories, or without a path a whole registry.
#[derive(Clone)]
pub(super) struct RepositoryPrefix {
    pub(super) registry: Registry,
    pub(super) path: Option<RepositoryName>,
    pub(super) location: Location,
}

impl RegistryBlock {
    /// Reads it if it is enabled.
    pub(super) fn read(
        parent: &Node,
        key: &'static str,
        host: &str,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Option<Self> {
        let block = section(parent, &[key], diagnostics)?;
        let location = parent.entries().find(|(name, _)| name.text == key);
        let location = location
            .map_or(&block.location, |(name, _)| &name.start)
            .clone();
        let is_enabled = block.flag("enabled", diagnostics) == Some(true);
        let mut text = |key| {
            let text = block.string(key, diagnostics);
            text.filter(|text| !text.text.is_empty())
        };
        let (named, secret) = (text(host), text("secretName"));
        if !is_enabled {
            if let Some(named) = named {
                let message = format!("{key} is not enabled: its {host} is not used");
                let diagnostic = Diagnostic::new(DiagnosticCode::Ignored, &named.start, message);
                diagnostics.push(
                    diagnostic
                        .excerpt(&named.text)
                        .fix("write enabled: true, or remove it"),
                );
            }
            return None;
        }
        let secret = secret.filter(|secret| !is_placeholder(&secret.text));
        Some(Self {
            key,
            location,
            host: named.and_then(|named| RepositoryPrefix::read(named, diagnostics)),
            secret: secret.cloned(),
            names_host: block
                .get(host)
                .is_some_and(|named| named.text() != Some("")),
        })
    }

    /// Whether blocks of two locations have the same content.
    pub(super) fn are_same(some: &[Self], others: &[Self]) -> bool {
        fn content(block: &RegistryBlock) -> (&str, Option<String>, Option<&str>) {
            let RegistryBlock {
                key, host, secret, ..
            } = block;
            let secret = secret.as_ref().map(|secret| secret.text.as_str());
            (key, host.as_ref().map(RepositoryPrefix::to_string), secret)
        }
        some.iter().map(content).eq(others.iter().map(content))
    }
}

impl RepositoryPrefix {
    /// Reads a repository of the values; without a registry it is Docker Hub's.
    pub(super) fn read(scalar: &Scalar, diagnostics: &mut Vec<Diagnostic>) -> Option<Self> {
        let Scalar { text, start, .. } = scalar;
        if text.is_empty() || is_placeholder(text) {
            return None;
        }
        if let Err(diagnostic) = reject_scheme(text, start) {
            diagnostics.push(diagnostic);
            return None;
        }
        let bare = text.trim_end_matches('/');
        if bare != text {
            let message = "the trailing slash is not needed";
            diagnostics.push(Diagnostic::new(DiagnosticCode::Slash, start, message).excerpt(text));
        }
        match parse(bare) {
            Ok((registry, path)) => Some(Self {
                registry,
                path,
                location: start.clone(),
            }),
            Err(reason) => {
                let diagnostic =
                    Diagnostic::new(DiagnosticCode::Reference, start, reason.to_string());
                // It may contain credentials.
                let diagnostic = if text.contains('@') {
                    diagnostic
                } else {
                    diagnostic.excerpt(text)
                };
                diagnostics.push(diagnostic.fix("write HOST[:PORT]/REPOSITORY, without a tag"));
                None
            }
        }
    }
}

fn parse(text: &str) -> Result<(Registry, Option<RepositoryName>), oci::InvalidName> {
    let (first, path) = match text.split_once('/') {
        Some((first, path)) => (first, Some(path)),
        None => (text, None),
    };
    let path = path.map(str::parse).transpose();
    if Registry::looks_like(first) {
        return Ok((first.parse()?, path?));
    }
    // A lone word is neither a host nor likely one of Docker Hub's own images.
    path?.ok_or(oci::InvalidName::Host)?;
    Ok((Registry::docker_hub(), Some(text.parse()?)))
}

impl fmt::Display for RepositoryPrefix {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { registry, path, .. } = self;
        match path {
            Some(path) => write!(formatter, "{registry}/{path}"),
            None => registry.fmt(formatter),
        }
    }
}

/// The mapping at a path of keys; reports other types.
pub(super) fn section<'n>(
    node: &'n Node,
    path: &[&str],
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<&'n Node> {
    path.iter().try_fold(node, |node, key| {
        let below = node.get(key)?;
        if !below.is_mapping() {
            diagnostics.push(below.wrong_type(&format!("{key} must be a mapping")));
            return None;
        }
        Some(below)
    })
}
