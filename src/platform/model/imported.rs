//! What files of other programs say, in our words.

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

/// Most errors, and most other remarks, of one import that are told one by one.
const DIAGNOSTICS_MAX: usize = 100;

/// Routes, registries and logins out of other programs' files, and what is to be said about them.
#[derive(Clone, Debug, Default)]
pub struct Imported {
    /// The routes; where each stands is its place.
    pub routes: Vec<RuleText>,
    /// Path prefixes that stand for registries.
    pub aliases: Vec<RegistryAlias>,
    /// Registries that need more than their name.
    pub upstreams: Vec<ImportedUpstream>,
    /// Logins for registries.
    pub credentials: Vec<ImportedCredentials>,
    /// What happens to names without a route, if the files say it.
    pub unmatched: Option<UnmatchedPolicy>,
    /// Everything to be said, in the order of the files.
    pub diagnostics: Vec<Diagnostic>,
    /// Which login is for a place.
    pub(crate) by_scope: HashMap<CredentialScope, usize>,
}

/// A path prefix that stands for a registry, or for several equal ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistryAlias {
    /// Whole elements, without slashes at its ends.
    pub prefix: String,
    /// At least one.
    pub registries: Vec<Registry>,
    /// Where the first stands.
    pub location: Location,
}

/// A registry with what it needs beyond its name. The defaults are those of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportedUpstream {
    /// Its name in routes: the host, or a word that [`ImportedUpstream::urls`] explains.
    pub name: UpstreamName,
    /// Equal addresses; none: `https://NAME`.
    pub urls: Vec<String>,
    /// What stands before a repository's name; none: `/v2`.
    pub api_path: Option<String>,
    /// Whether requests carry `ns=REGISTRY`.
    pub send_ns: bool,
    /// Whom to trust beyond the public authorities.
    pub ca: Option<CertificateAuthority>,
    /// Files of the certificate that we show, and of its key.
    pub client: Option<(String, String)>,
    /// Whether certificates are checked.
    pub is_verified: bool,
    /// Where it stands.
    pub location: Location,
}

/// Certificates of authorities.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CertificateAuthority {
    /// As text.
    Pem(String),
    /// In a file.
    File(String),
}

/// A login and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportedCredentials {
    /// What it is for, and where it comes from.
    pub entry: KeyringEntry,
    /// Where it stands.
    pub location: Location,
}

impl ImportedUpstream {
    /// Whether both are met in the same way, wherever they stand.
    pub(in crate::platform) fn has_same_settings(&self, other: &Self) -> bool {
        let location = other.location.clone();
        Self {
            location,
            ..self.clone()
        } == *other
    }

    /// Whether it is what a name without a table is.
    pub(in crate::platform) fn is_plain(&self) -> bool {
        let Self {
            urls,
            api_path,
            send_ns,
            ca: authority,
            client,
            is_verified,
            ..
        } = self;
        let is_bare = urls.is_empty() && api_path.is_none() && !send_ns;
        is_bare && authority.is_none() && client.is_none() && *is_verified
    }

    /// The hosts that it is asked at.
    pub(in crate::platform) fn hosts(&self) -> impl Iterator<Item = Registry> {
        let hosts = self.urls.iter().filter_map(|url| url.split_once("://"));
        let own = self.urls.is_empty().then(|| self.name.as_str());
        let hosts = hosts.map(|(_, host)| host).chain(own);
        hosts.filter_map(|host| host.parse().ok())
    }
}

impl Imported {
    /// Whether nothing may be used, because something is wrong.
    pub fn is_refused(&self) -> bool {
        let is_error = |diagnostic: &Diagnostic| diagnostic.level == Severity::Error;
        self.diagnostics.iter().any(is_error)
    }

    /// The remarks that are told one by one, in their order, and how many more errors and how many
    /// more others there are.
    pub fn reported(&self) -> (Vec<&Diagnostic>, [usize; 2]) {
        let mut counts = [0_usize; 2];
        let is_told = |diagnostic: &&Diagnostic| {
            let [errors, others] = &mut counts;
            let count = if diagnostic.level == Severity::Error {
                errors
            } else {
                others
            };
            *count += 1;
            *count <= DIAGNOSTICS_MAX
        };
        let told = self.diagnostics.iter().filter(is_told).collect();
        (
            told,
            counts.map(|count| count.saturating_sub(DIAGNOSTICS_MAX)),
        )
    }

    pub(in crate::platform) fn report(&mut self, diagnostic: Diagnostic) {
        self.diagnostics.push(diagnostic);
    }

    /// Adds a route for one registry or a part of it, as `from` has it. Without a target it refuses.
    pub(in crate::platform) fn route(
        &mut self,
        location: &Location,
        from: &str,
        to: &[&str],
    ) -> &mut RuleText {
        self.route_matching(location, MatchText::From(vec![from.to_owned()]), to)
    }

    /// Adds a route with any kind of match. Without a target it refuses.
    pub(in crate::platform) fn route_matching(
        &mut self,
        location: &Location,
        matches: MatchText,
        to: &[&str],
    ) -> &mut RuleText {
        let to = to.iter().map(|to| TargetText::from(*to)).collect();
        self.add(location, matches, to)
    }

    /// As [`Self::route`], with targets that say more than where.
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

    /// Adds a path prefix; one that is there already stands for one registry more.
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

    /// The registry of this name, with the defaults if it is new. None, and a remark, if the text
    /// is no name.
    pub(in crate::platform) fn upstream(
        &mut self,
        location: &Location,
        name: &str,
    ) -> Option<&mut ImportedUpstream> {
        let Ok(name) = name.parse::<UpstreamName>() else {
            let message = "this is no registry, written HOST or HOST:PORT";
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

    /// Adds a login for `HOST[:PORT][/PATH]`. One that is there already is not added twice;
    /// another for the same place is `E-CREDAMBIG`.
    pub(in crate::platform) fn add_credential(
        &mut self,
        location: &Location,
        place: &str,
        credential: Credential,
    ) {
        match place.parse::<CredentialScope>() {
            Ok(place) => {
                let source = CredentialSource::Static(credential);
                self.add_credential_entry(
                    location,
                    KeyringEntry {
                        scope: place,
                        source,
                    },
                );
            }
            Err(invalid) => {
                let diagnostic =
                    Diagnostic::new(DiagnosticCode::Reference, location, invalid.to_string());
                self.report(diagnostic.excerpt(place));
            }
        }
    }

    /// As [`Self::login`].
    pub(in crate::platform) fn add_credential_entry(
        &mut self,
        location: &Location,
        entry: KeyringEntry,
    ) {
        let at = self.by_scope.get(&entry.scope);
        match at.and_then(|at| self.credentials.get(*at)) {
            Some(login) if login.entry == entry => {}
            Some(login) => {
                let message = format!(
                    "two different logins for {}: the other stands in {}",
                    entry.scope, login.location
                );
                let diagnostic =
                    Diagnostic::new(DiagnosticCode::CredentialAmbiguous, location, message);
                self.report(diagnostic.fix("keep one, or give each its own repository path"));
            }
            None => {
                let place = entry.scope.clone();
                self.by_scope.insert(place, self.credentials.len());
                self.credentials.push(ImportedCredentials {
                    entry,
                    location: location.clone(),
                });
            }
        }
    }
}

/// A spot as routes have it.
pub(in crate::platform) fn route_location(location: &Location) -> route::ConfigLocation {
    route::ConfigLocation(location.to_string().into())
}
