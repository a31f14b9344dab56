//! The content of imported files in the terms of our configuration.

use std::collections::HashMap;

use crate::{
    oci::{Registry, UpstreamName},
    route::{self, Action, MatchText, RuleText, TargetText, UnmatchedPolicy},
    upstream::{Credential, CredentialScope, CredentialSource, KeyringEntry},
};

use crate::platform::reading::{
    diagnostic::{Diagnostic, DiagnosticCode, Severity},
    location::Location,
};

/// Most errors, and most other diagnostics, of one import that are printed.
const DIAGNOSTICS_MAX: usize = 100;

/// Routes, upstreams and credentials from other programs' files, and the diagnostics about them.
#[derive(Clone, Debug, Default)]
pub struct Imported {
    /// The routes, each with its location.
    pub routes: Vec<RuleText>,
    /// Path prefixes for registries.
    pub aliases: Vec<RegistryAlias>,
    /// Registries with settings besides their name.
    pub upstreams: Vec<ImportedUpstream>,
    /// Credentials for registries.
    pub credentials: Vec<ImportedCredentials>,
    /// What happens to names without a route, if the files set it.
    pub unmatched: Option<UnmatchedPolicy>,
    /// All diagnostics, in the order of the files.
    pub diagnostics: Vec<Diagnostic>,
    /// Index of `credentials` by scope.
    pub(crate) by_scope: HashMap<CredentialScope, usize>,
}

/// A path prefix for a registry, or for several equal ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistryAlias {
    /// Whole path elements, without leading or trailing slash.
    pub prefix: String,
    /// At least one.
    pub registries: Vec<Registry>,
    /// The location of the first.
    pub location: Location,
}

/// A registry with its settings. The defaults are those of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportedUpstream {
    /// Its name in routes: the host, or a word with its address in [`ImportedUpstream::urls`].
    pub name: UpstreamName,
    /// Equal addresses; empty: `https://NAME`.
    pub urls: Vec<String>,
    /// The path before a repository's name; `None`: `/v2`.
    pub api_path: Option<String>,
    /// Whether requests carry `ns=REGISTRY`.
    pub send_ns: bool,
    /// A CA to trust besides the public ones.
    pub ca: Option<CertificateAuthority>,
    /// Files of the client certificate and its key.
    pub client: Option<(String, String)>,
    /// Whether server certificates are verified.
    pub is_verified: bool,
    /// Its location.
    pub location: Location,
}

/// CA certificates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CertificateAuthority {
    /// In PEM.
    Pem(String),
    /// The path of a file.
    File(String),
}

/// Credentials and their location.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportedCredentials {
    /// Scope and source.
    pub entry: KeyringEntry,
    /// Its location.
    pub location: Location,
}

impl ImportedUpstream {
    /// Whether both have the same settings, regardless of their location.
    pub(in crate::platform) fn has_same_settings(&self, other: &Self) -> bool {
        let location = other.location.clone();
        Self {
            location,
            ..self.clone()
        } == *other
    }

    /// Whether all settings are the defaults, so that it needs no table.
    pub(in crate::platform) fn is_plain(&self) -> bool {
        let Self {
            urls,
            api_path,
            send_ns,
            ca,
            client,
            is_verified,
            ..
        } = self;
        let is_bare = urls.is_empty() && api_path.is_none() && !send_ns;
        is_bare && ca.is_none() && client.is_none() && *is_verified
    }

    /// The hosts that requests go to.
    pub(in crate::platform) fn hosts(&self) -> impl Iterator<Item = Registry> {
        let hosts = self.urls.iter().filter_map(|url| url.split_once("://"));
        let own = self.urls.is_empty().then(|| self.name.as_str());
        let hosts = hosts.map(|(_, host)| host).chain(own);
        hosts.filter_map(|host| host.parse().ok())
    }
}

impl Imported {
    /// Whether there is an error, so that nothing is imported.
    pub fn is_refused(&self) -> bool {
        let is_error = |diagnostic: &Diagnostic| diagnostic.level == Severity::Error;
        self.diagnostics.iter().any(is_error)
    }

    /// The diagnostics to print, in their order, and the numbers of further errors and of further
    /// other diagnostics.
    pub fn reported(&self) -> (Vec<&Diagnostic>, [usize; 2]) {
        let mut counts = [0_usize; 2];
        let is_reported = |diagnostic: &&Diagnostic| {
            let [errors, others] = &mut counts;
            let count = if diagnostic.level == Severity::Error {
                errors
            } else {
                others
            };
            *count += 1;
            *count <= DIAGNOSTICS_MAX
        };
        let reported = self.diagnostics.iter().filter(is_reported).collect();
        (
            reported,
            counts.map(|count| count.saturating_sub(DIAGNOSTICS_MAX)),
        )
    }

    pub(in crate::platform) fn report(&mut self, diagnostic: Diagnostic) {
        self.diagnostics.push(diagnostic);
    }

    /// Adds a route with one `from`. Without a target it denies.
    pub(in crate::platform) fn route(
        &mut self,
        location: &Location,
        from: &str,
        to: &[&str],
    ) -> &mut RuleText {
        self.route_matching(location, MatchText::From(vec![from.to_owned()]), to)
    }

    /// Adds a route with any kind of match. Without a target it denies.
    pub(in crate::platform) fn route_matching(
        &mut self,
        location: &Location,
        matches: MatchText,
        to: &[&str],
    ) -> &mut RuleText {
        let to = to.iter().map(|to| TargetText::from(*to)).collect();
        self.add(location, matches, to)
    }

    /// As [`Self::route`], for targets with options.
    pub(in crate::platform) fn route_to(
        &mut self,
        location: &Location,
        from: &str,
        to: Vec<TargetText>,
    ) -> &mut RuleText {
        self.add(location, MatchText::From(vec![from.to_owned()]), to)
    }

    fn add(
        &mut self,
        location: &Location,
        matches: MatchText,
        to: Vec<TargetText>,
    ) -> &mut RuleText {
        let is_deny = to.is_empty();
        let mut route = RuleText::new(matches, to, route_location(location));
        if is_deny {
            route.action = Action::Deny;
        }
        self.routes.push_mut(route)
    }

    /// Adds a registry to the path prefix, which is new or known.
    pub(in crate::platform) fn add_alias(
        &mut self,
        location: &Location,
        prefix: &str,
        registry: &Registry,
    ) {
        let known = self.aliases.iter_mut().find(|alias| alias.prefix == prefix);
        match known {
            Some(alias) if alias.registries.contains(registry) => {}
            Some(alias) => alias.registries.push(registry.clone()),
            None => self.aliases.push(RegistryAlias {
                prefix: prefix.to_owned(),
                registries: vec![registry.clone()],
                location: location.clone(),
            }),
        }
    }

    /// The upstream of this name, with the defaults if it is new. Reports an invalid name.
    pub(in crate::platform) fn upstream(
        &mut self,
        location: &Location,
        name: &str,
    ) -> Option<&mut ImportedUpstream> {
        let Ok(name) = name.parse::<UpstreamName>() else {
            let message = "a registry is written HOST or HOST:PORT";
            self.report(
                Diagnostic::new(DiagnosticCode::Reference, location, message).excerpt(name),
            );
            return None;
        };
        let known = self.upstreams.iter().position(|known| known.name == name);
        match known {
            Some(at) => self.upstreams.get_mut(at),
            None => Some(self.upstreams.push_mut(ImportedUpstream {
                name,
                urls: Vec::new(),
                api_path: None,
                send_ns: false,
                ca: None,
                client: None,
                is_verified: true,
                location: location.clone(),
            })),
        }
    }

    /// Adds credentials for `HOST[:PORT][/PATH]`. Equal ones are added once; others for the same
    /// scope are `E-CREDAMBIG`.
    pub(in crate::platform) fn add_credential(
        &mut self,
        location: &Location,
        scope: &str,
        credential: Credential,
    ) {
        match scope.parse::<CredentialScope>() {
            Ok(scope) => {
                let source = CredentialSource::Static(credential);
                self.add_credential_entry(location, KeyringEntry { scope, source });
            }
            Err(invalid) => {
                let diagnostic =
                    Diagnostic::new(DiagnosticCode::Reference, location, invalid.to_string());
                self.report(diagnostic.excerpt(scope));
            }
        }
    }

    /// As [`Self::add_credential`].
    pub(in crate::platform) fn add_credential_entry(
        &mut self,
        location: &Location,
        entry: KeyringEntry,
    ) {
        let at = self.by_scope.get(&entry.scope);
        match at.and_then(|at| self.credentials.get(*at)) {
            Some(known) if known.entry == entry => {}
            Some(known) => {
                let message = format!(
                    "{} has other credentials in {}",
                    entry.scope, known.location
                );
                let diagnostic =
                    Diagnostic::new(DiagnosticCode::CredentialAmbiguous, location, message);
                self.report(diagnostic.fix("keep one, or give each its own repository path"));
            }
            None => {
                let scope = entry.scope.clone();
                self.by_scope.insert(scope, self.credentials.len());
                self.credentials.push(ImportedCredentials {
                    entry,
                    location: location.clone(),
                });
            }
        }
    }
}

/// A location as routes store it.
pub(in crate::platform) fn route_location(location: &Location) -> route::ConfigLocation {
    route::ConfigLocation(location.to_string().into())
}
