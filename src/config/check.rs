//! Checks across tables: loops, unknown targets, open proxies, unused upstreams and credentials.

use std::collections::{BTreeSet, HashSet};

use super::{
    credential::LocatedScope as Credential,
    listen::ListenSettings,
    problem::ValueError,
    report::{KeyLocation, ProblemReport, nearest},
    route::{LocatedTarget, RouteSummary},
    upstream::{ConfiguredUpstream, canonical},
};
use crate::{
    oci::{Registry, UpstreamName},
    platform::DiagnosticCode,
    route::UnmatchedPolicy,
    upstream::{Access, CredentialScope, EndpointAddress, Keyring, Settings, UpstreamDefaults},
};

/// Most registries that one note lists.
const NAMES_MAX: usize = 20;

/// The parts of the configuration that the checks compare.
#[derive(Debug)]
pub(super) struct ConfigCheck<'a, 't> {
    pub(super) report: &'a ProblemReport<'t>,
    pub(super) listening: &'a ListenSettings,
    pub(super) upstreams: &'a [ConfiguredUpstream],
    pub(super) upstream_defaults: &'a UpstreamDefaults,
    pub(super) credentials: &'a [Credential],
    pub(super) routes: &'a [RouteSummary],
    pub(super) unmatched: UnmatchedPolicy,
}

impl ConfigCheck<'_, '_> {
    pub(super) fn check(&self) {
        for upstream in self.upstreams {
            for (endpoint, location) in upstream
                .settings
                .endpoints
                .iter()
                .zip(&upstream.endpoint_locations)
            {
                self.check_loop(endpoint, location);
            }
        }
        for target in self.routes.iter().flat_map(|route| &route.targets) {
            self.check_target(target);
        }
        self.note_open_proxies();
        self.note_shared();
        self.note_unused();
        self.note_unused_credentials();
    }

    /// An upstream that is the mirror itself would loop.
    fn check_loop(&self, endpoint: &EndpointAddress, location: &KeyLocation) {
        if self.listening.self_addresses.contains_endpoint(endpoint) {
            let error = ValueError::new("this is the mirror's own address: requests would loop");
            self.report
                .problem(location, error.code(DiagnosticCode::Loop));
        }
    }

    fn check_target(&self, target: &LocatedTarget) {
        let Some(first) = first_element(&target.text) else {
            return;
        };
        let name = canonical(first);
        if let Some(name) = name.as_ref().filter(|name| name.as_str() != first) {
            let error = ValueError::new(format!("the canonical name of \"{first}\" is \"{name}\""));
            let error = error.code(DiagnosticCode::Reference);
            self.report.problem(&target.location, error);
            return;
        }
        if self
            .upstreams
            .iter()
            .any(|upstream| Some(&upstream.settings.name) == name.as_ref())
        {
            return;
        }
        if let Some(name) = name.filter(|_| Registry::looks_like(first)) {
            self.check_loop(
                &EndpointAddress::Url(format!("https://{name}")),
                &target.location,
            );
            return;
        }
        let names = self
            .upstreams
            .iter()
            .map(|upstream| upstream.settings.name.as_str());
        let error = ValueError::new(format!(
            "\"{first}\" is neither a host nor a configured upstream"
        ));
        let hint = match nearest(first, names.chain(["source"])) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => format!(
                "add [upstream.\"{first}\"] with its url, or write a host such as registry.example.org"
            ),
        };
        let error = error.hint(hint).code(DiagnosticCode::Reference);
        self.report.problem(&target.location, error);
    }

    fn note_open_proxies(&self) {
        if self.unmatched == UnmatchedPolicy::Source {
            self.report.note(
                "unmatched = \"source\": images without a route are fetched from their own \
                 registries, if those are well known or named in a route",
            );
        }
        let open = |route: &&RouteSummary| {
            let everything = |from: &Vec<String>| from.iter().any(|from| from == "*");
            route.from.as_ref().is_some_and(everything) && route.has_source()
        };
        for route in self.routes.iter().filter(open) {
            self.report.note(format!(
                "{}: open proxy: {} can make this machine contact any registry",
                route.location.display_name(),
                self.listening.admitted_clients()
            ));
        }
    }

    fn note_shared(&self) {
        let is_shared = |settings: &Settings| settings.access == Access::Shared;
        let tables = self.upstreams.iter().map(|upstream| &upstream.settings);
        let mut names: BTreeSet<_> = tables
            .clone()
            .filter(|settings| is_shared(settings))
            .map(|settings| settings.name.clone())
            .collect();
        let known: BTreeSet<_> = tables.map(|settings| &settings.name).collect();
        let routed: BTreeSet<_> = self.routes.iter().flat_map(RouteSummary::named).collect();
        let routed = routed.into_iter();
        let routed = routed.filter(|name| is_shared(&self.upstream_defaults.for_host(name)));
        // Upstreams with credentials and without a table are shared.
        let credentials = if self.may_contact_any() {
            self.credentials
        } else {
            &[]
        };
        let hosts = credentials.iter();
        let hosts = hosts.filter_map(|one| one.scope.host()?.parse().ok());
        names.extend(routed.chain(hosts).filter(|name| !known.contains(name)));
        if !names.is_empty() {
            let more = names.len().saturating_sub(NAMES_MAX);
            let shown: Vec<_> = names
                .iter()
                .take(NAMES_MAX)
                .map(UpstreamName::as_str)
                .collect();
            let mut names = shown.join(", ");
            if more > 0 {
                names = format!("{names} and {more} more");
            }
            self.report.note(format!(
                "content pulled with credentials from {} is served to {}; clients need no \
                 credentials of their own",
                names,
                self.listening.admitted_clients()
            ));
        }
    }

    /// Whether registries may be contacted that no route names.
    fn may_contact_any(&self) -> bool {
        let anything = |route: &RouteSummary| route.has_source() && route.may_match_any();
        // Without routes, the built-in list maps registries to themselves.
        self.unmatched == UnmatchedPolicy::Source
            || self.routes.is_empty()
            || self.routes.iter().any(anything)
    }

    /// The name of a table that no route can use is most likely misspelt.
    fn note_unused(&self) {
        // Without routes, the built-in list maps registries to themselves.
        if self.unmatched == UnmatchedPolicy::Source || self.routes.is_empty() {
            return;
        }
        for upstream in self.upstreams {
            let name = &upstream.settings.name;
            if !self.routes.iter().any(|route| route.may_ask(name)) {
                self.report.note(format!(
                    "{}: no route uses it",
                    upstream.location.display_name()
                ));
            }
        }
    }

    /// Credentials that no route can use most likely name a registry of clients' requests instead of
    /// the upstream that is contacted.
    fn note_unused_credentials(&self) {
        if self.may_contact_any() {
            return;
        }
        let used = self.used_scopes();
        for Credential { scope, location } in self.credentials {
            if !used.contains(scope) {
                self.report.note(format!(
                    "{}: no route uses credentials for {scope}",
                    location.display_name()
                ));
            }
        }
    }

    /// The scopes of all credentials that upstreams with a table or in a route may use.
    fn used_scopes(&self) -> HashSet<CredentialScope> {
        let scopes = |keyring: &Keyring| {
            let entries = keyring.entries().iter();
            let scopes: Vec<_> = entries.map(|entry| entry.scope.clone()).collect();
            scopes
        };
        let tables = self.upstreams.iter();
        let tables = tables.flat_map(|upstream| scopes(&upstream.settings.keyring));
        let named: BTreeSet<_> = self.routes.iter().flat_map(RouteSummary::named).collect();
        let named = named.iter();
        let named = named.flat_map(|name| scopes(&self.upstream_defaults.for_host(name).keyring));
        tables.chain(named).collect()
    }
}

impl RouteSummary {
    /// The upstreams that its targets name, as far as its text says so.
    fn named(&self) -> impl Iterator<Item = UpstreamName> + use<'_> {
        let targets = self.targets.iter();
        let targets = targets.filter_map(|target| first_element(&target.text));
        let source = self.from.iter().flatten().filter(|_| self.has_source());
        let source = source.filter_map(|from| from.split('/').next());
        targets.chain(source).filter_map(canonical)
    }

    /// Whether it matches registries that cannot be listed.
    fn may_match_any(&self) -> bool {
        let open = |from: &String| {
            from.split('/')
                .next()
                .is_some_and(|host| host.contains('*'))
        };
        self.from.as_ref().is_none_or(|from| from.iter().any(open))
    }

    fn has_source(&self) -> bool {
        self.targets.iter().any(|target| target.text == "source")
    }

    fn may_ask(&self, name: &UpstreamName) -> bool {
        let named = |target: &LocatedTarget| {
            first_element(&target.text).and_then(canonical).as_ref() == Some(name)
        };
        self.targets.iter().any(named) || (self.has_source() && self.may_match(name))
    }

    /// Whether it can match the registry of this name; known for a plain `from` only.
    fn may_match(&self, name: &UpstreamName) -> bool {
        let Some(from) = &self.from else { return true };
        from.iter()
            .filter_map(|from| from.split('/').next())
            .any(|registry| registry.contains('*') || canonical(registry).as_ref() == Some(name))
    }
}

/// The upstream in a target; `None` for `source` and for templates.
fn first_element(target: &str) -> Option<&str> {
    let first = target
        .split('/')
        .next()
        .filter(|first| !first.contains('{'));
    first.filter(|_| target != "source" && !target.is_empty())
}
