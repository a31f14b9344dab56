//! `HOST[:PORT][/PATH][:TAG]`: the form of prefixes and locations.

use crate::{
    oci::{InvalidName, Registry, RepositoryName, Tag},
    platform::{
        model::imported::Imported,
        reading::{
            diagnostic::{Diagnostic, DiagnosticCode, Severity},
            node::Scalar,
        },
    },
};

/// A registry or part of one.
pub(super) struct RegistryPattern<'p> {
    pub(super) written: &'p Scalar,
    /// `None`: the subdomains of `domain`.
    pub(super) registry: Option<Registry>,
    domain: Option<Registry>,
    name: Option<RepositoryName>,
    pub(super) tag: Option<Tag>,
}

/// Equal if they match the same names, regardless of their location.
impl PartialEq for RegistryPattern<'_> {
    fn eq(&self, other: &Self) -> bool {
        let what = |pattern: &Self| (pattern.from(), pattern.tag.clone());
        what(self) == what(other)
    }
}

impl<'p> RegistryPattern<'p> {
    /// Parses a prefix: also `*.DOMAIN`.
    pub(super) fn prefix(written: &'p Scalar, into: &mut Imported) -> Option<Self> {
        let Some(domain) = written.text.strip_prefix("*.") else {
            return Self::location(written, into);
        };
        let domain = domain.trim_end_matches('/').parse::<Registry>();
        let Some(domain) = domain.ok().filter(|domain| domain.port().is_none()) else {
            let message = "a prefix with an asterisk is *.DOMAIN, without port and path";
            let diagnostic = Diagnostic::new(DiagnosticCode::Reference, &written.start, message);
            into.report(diagnostic.excerpt(&written.text));
            return None;
        };
        Some(Self {
            written,
            registry: None,
            domain: Some(domain),
            name: None,
            tag: None,
        })
    }

    /// Parses a location.
    pub(super) fn location(written: &'p Scalar, into: &mut Imported) -> Option<Self> {
        let text = written.text.trim_end_matches('/');
        if text != written.text {
            let diagnostic = Diagnostic::new(
                DiagnosticCode::Slash,
                &written.start,
                "the trailing slash is removed",
            );
            into.report(diagnostic.excerpt(&written.text));
        }
        let parsed = if let Some((_, bare)) = text.split_once("://") {
            let message = "a location has no scheme";
            Err((
                DiagnosticCode::Scheme,
                message.to_owned(),
                Some(format!("write {bare}")),
            ))
        } else if text.contains('@') {
            let message = "a digest cannot be matched";
            let fix = "write the name without its digest".to_owned();
            Err((DiagnosticCode::Reference, message.to_owned(), Some(fix)))
        } else {
            let fix = || Some("write HOST[:PORT][/PATH]".to_owned());
            Self::parse(written, text).map_err(|reason| (DiagnosticCode::Reference, reason, fix()))
        };
        let flawed = |(code, message, fix): (DiagnosticCode, String, Option<String>)| {
            let diagnostic = Diagnostic::new(code, &written.start, message).excerpt(text);
            into.report(Diagnostic { fix, ..diagnostic });
        };
        parsed.map_err(flawed).ok()
    }

    fn parse(written: &'p Scalar, text: &str) -> Result<Self, String> {
        let (host, path) = match text.split_once('/') {
            Some((host, path)) => (host, Some(path)),
            None => (text, None),
        };
        if !Registry::looks_like(host) {
            return Err("a registry is written HOST or HOST:PORT, with a dot or a port".to_owned());
        }
        let (path, tag) = match path.and_then(|path| path.rsplit_once(':')) {
            Some((path, tag)) => (Some(path), Some(tag)),
            None => (path, None),
        };
        let name = path.map(str::parse::<RepositoryName>).transpose();
        let tag = tag.map(str::parse::<Tag>).transpose();
        Ok(Self {
            written,
            registry: Some(
                host.parse()
                    .map_err(|invalid: InvalidName| invalid.to_string())?,
            ),
            domain: None,
            name: name.map_err(|invalid| invalid.to_string())?,
            tag: tag.map_err(|invalid| invalid.to_string())?,
        })
    }

    pub(super) fn is_wildcard(&self) -> bool {
        self.domain.is_some()
    }

    /// The `from` of a route.
    pub(super) fn from(&self) -> String {
        match (&self.registry, &self.domain) {
            (Some(registry), _) => format!("{registry}{}", self.path()),
            (None, Some(domain)) => format!("*.{domain}"),
            (None, None) => String::new(),
        }
    }

    /// Path and tag.
    pub(super) fn path(&self) -> String {
        let name = self.name.iter().map(|name| format!("/{name}"));
        let tag = self.tag.iter().map(|tag| format!(":{}", tag.as_str()));
        name.chain(tag).collect()
    }

    /// Whether this is a prefix of another location.
    pub(super) fn covers(&self, other: &Self) -> bool {
        let host = match (&self.registry, &self.domain, &other.registry) {
            (Some(own), _, Some(registry)) => own == registry,
            (None, Some(domain), Some(registry)) => registry
                .host()
                .strip_suffix(domain.as_str())
                .is_some_and(|rest| rest.ends_with('.')),
            _ => self.domain.is_some() && self.domain == other.domain,
        };
        let path = match (&self.name, &other.name) {
            (None, _) => true,
            (Some(own), Some(name)) => name.strip_prefix(own.as_str()).is_some(),
            (Some(_), None) => false,
        };
        host && path && (self.tag.is_none() || self.tag == other.tag)
    }

    /// For comparison: the longer prefix takes effect.
    pub(super) fn precision(&self) -> usize {
        self.from().len()
    }

    /// Whether a name can have this prefix. A single element on Docker Hub is a folder, not the
    /// official image, and has no tags.
    pub(super) fn can_match(&self, into: &mut Imported) -> bool {
        let is_hub = self.registry.as_ref().is_some_and(Registry::is_docker_hub);
        let name = self.name.as_ref().map(RepositoryName::as_str);
        let Some(name) = name.filter(|name| is_hub && !name.contains('/') && *name != "library")
        else {
            return true;
        };
        let message = "Docker's own images are below library/, and this is not one of them";
        let diagnostic = Diagnostic::new(DiagnosticCode::Ignored, &self.written.start, message);
        let fix = format!("if docker.io/library/{name} is meant, write that");
        let diagnostic = diagnostic.excerpt(&self.written.text).fix(fix);
        into.report(diagnostic.level(Severity::Note));
        self.tag.is_none()
    }
}
