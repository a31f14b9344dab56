//! `HOST[:PORT][/PATH][:TAG]`, as prefixes and locations are written.

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

/// A registry or a part of it.
pub(super) struct RegistryPattern<'p> {
    pub(super) written: &'p Scalar,
    /// None: the subdomains of `domain`.
    pub(super) registry: Option<Registry>,
    domain: Option<Registry>,
    name: Option<RepositoryName>,
    pub(super) tag: Option<Tag>,
}

/// Two are the same if they mean the same, wherever they stand.
impl PartialEq for RegistryPattern<'_> {
    fn eq(&self, other: &Self) -> bool {
        let what = |place: &Self| (place.from(), place.tag.clone());
        what(self) == what(other)
    }
}

impl<'p> RegistryPattern<'p> {
    /// Reads what names start with: also `*.DOMAIN`.
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

    /// Reads where names are.
    pub(super) fn location(written: &'p Scalar, into: &mut Imported) -> Option<Self> {
        let text = written.text.trim_end_matches('/');
        if text != written.text {
            let diagnostic = Diagnostic::new(
                DiagnosticCode::Slash,
                &written.start,
                "the slash at the end is cut off",
            );
            into.report(diagnostic.excerpt(&written.text));
        }
        let parsed = if let Some((_, bare)) = text.split_once("://") {
            let message = "a place is written without a scheme";
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
            registry: Some(host.parse().map_err(|flaw: InvalidName| flaw.to_string())?),
            domain: None,
            name: name.map_err(|flaw| flaw.to_string())?,
            tag: tag.map_err(|flaw| flaw.to_string())?,
        })
    }

    pub(super) fn is_wildcard(&self) -> bool {
        self.domain.is_some()
    }

    /// As a route has it.
    pub(super) fn from(&self) -> String {
        match (&self.registry, &self.domain) {
            (Some(registry), _) => format!("{registry}{}", self.path()),
            (None, Some(domain)) => format!("*.{domain}"),
            (None, None) => String::new(),
        }
    }

    /// What stands behind the registry.
    pub(super) fn path(&self) -> String {
        let name = self.name.iter().map(|name| format!("/{name}"));
        let tag = self.tag.iter().map(|tag| format!(":{}", tag.as_str()));
        name.chain(tag).collect()
    }

    /// Whether everything at another place starts with this one.
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

    /// The longer prefix decides.
    pub(super) fn precision(&self) -> usize {
        self.from().len()
    }

    /// Whether some name can start so. One element on Docker Hub is a folder, not the official
    /// image, and has no tags.
    pub(super) fn can_match(&self, into: &mut Imported) -> bool {
        let is_hub = self.registry.as_ref().is_some_and(Registry::is_docker_hub);
        let name = self.name.as_ref().map(RepositoryName::as_str);
        let Some(name) = name.filter(|name| is_hub && !name.contains('/') && *name != "library")
        else {
            return true;
        };
        let message = "Docker's own images are below library/: this is none of them";
        let diagnostic = Diagnostic::new(DiagnosticCode::Ignored, &self.written.start, message);
        let fix = format!("if docker.io/library/{name} is meant, write that");
        let diagnostic = diagnostic.excerpt(&self.written.text).fix(fix);
        into.report(diagnostic.level(Severity::Note));
        self.tag.is_none()
    }
}
