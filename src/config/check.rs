//! What only shows when the whole is read: loops, targets that lead nowhere, doors wide open.

use std::collections::BTreeSet;

use super::{
    address,
    credential::Written as Credential,
    listen::Doors,
    problem::Complaint,
    report::{Report, Spot, nearest},
    route::{Target, Written},
    upstream::{Configured, canonical},
};
use crate::{
    oci::{Registry, UpstreamName},
    route::Unmatched,
    upstream::{Access, Defaults, Endpoint, Place, Settings},
};

/// Everything that was read.
#[derive(Debug)]
pub(super) struct Whole<'a, 't> {
    pub(super) report: &'a Report<'t>,
    pub(super) doors: &'a Doors,
    pub(super) upstreams: &'a [Configured],
    pub(super) upstream_defaults: &'a Defaults,
    pub(super) credentials: &'a [Credential],
    pub(super) routes: &'a [Written],
    pub(super) unmatched: Unmatched,
}

impl Whole<'_, '_> {
    pub(super) fn check(&self) {
        for upstream in self.upstreams {
            for (endpoint, spot) in upstream
                .settings
                .endpoints
                .iter()
                .zip(&upstream.endpoint_spots)
            {
                self.check_loop(endpoint, spot);
            }
        }
        for target in self.routes.iter().flat_map(|route| &route.targets) {
            self.check_target(target);
        }
        self.note_open_doors();
        self.note_shared();
        self.note_unused();
        self.note_idle_logins();
    }

    /// An upstream that is one of our own addresses would ask itself for ever.
    fn check_loop(&self, endpoint: &Endpoint, spot: &Spot) {
        let own = self
            .doors
            .listeners
            .iter()
            .map(|listener| &listener.address);
        let address = own
            .chain([&self.doors.admin])
            .find(|own| address::leads_to(endpoint, own));
        if address.is_some() || self.is_own_name(endpoint) {
            let complaint = Complaint::new("this is the mirror's own address: it would ask itself");
            self.report.problem(spot, complaint);
        }
    }

    fn is_own_name(&self, endpoint: &Endpoint) -> bool {
        let Endpoint::Url(url) = endpoint else {
            return false;
        };
        let Some((host, port)) = address::host_and_port(url) else {
            return false;
        };
        let listens = |port: u16| {
            self.doors
                .listeners
                .iter()
                .any(|listener| match listener.address {
                    crate::server::Address::Tcp(address) => address.port() == port,
                    crate::server::Address::Unix(_) => false,
                })
        };
        self.doors
            .names
            .iter()
            .filter_map(|name| name.parse::<Registry>().ok())
            .any(|own| {
                own.host() == host
                    && match own.port() {
                        Some(own) => own == port,
                        // Behind a balancer the usual ports are ours as well.
                        None => port == 443 || port == 80 || listens(port),
                    }
            })
    }

    fn check_target(&self, target: &Target) {
        let Some(first) = first_element(&target.text) else {
            return;
        };
        let name = canonical(first);
        if let Some(name) = name.as_ref().filter(|name| name.as_str() != first) {
            let complaint =
                Complaint::new(format!("the registry \"{first}\" is called \"{name}\""));
            self.report.problem(&target.spot, complaint);
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
            self.check_loop(&Endpoint::Url(format!("https://{name}")), &target.spot);
            return;
        }
        let names = self
            .upstreams
            .iter()
            .map(|upstream| upstream.settings.name.as_str());
        let complaint = Complaint::new(format!(
            "\"{first}\" is neither a host nor a configured upstream"
        ));
        let hint = match nearest(first, names.chain(["source"])) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => format!(
                "add [upstream.\"{first}\"] with its url, or write a host such as registry.example.org"
            ),
        };
        self.report.problem(&target.spot, complaint.hint(hint));
    }

    fn note_open_doors(&self) {
        if self.unmatched == Unmatched::Source {
            self.report.note(
                "unmatched = \"source\": images without a route are fetched from their own \
                 registries, if those are well known or named in a route",
            );
        }
        let open = |route: &&Written| {
            let everything = |from: &Vec<String>| from.iter().any(|from| from == "*");
            route.from.as_ref().is_some_and(everything) && route.has_source()
        };
        for route in self.routes.iter().filter(open) {
            self.report.note(format!(
                "{}: an open proxy: {} can have this machine contact any registry",
                route.spot.key,
                self.doors.who_enters()
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
        let hosts = self.credentials.iter();
        let hosts = hosts.filter_map(|one| one.place.host()?.parse().ok());
        let hosts = hosts.filter(|_| self.may_ask_anyone());
        let routed = self.routes.iter().flat_map(Written::named);
        let others = routed
            .chain(hosts)
            .filter(|name| tables.clone().all(|table| table.name != *name));
        names.extend(others.filter(|name| is_shared(&self.upstream_defaults.for_host(name))));
        if !names.is_empty() {
            let names: Vec<_> = names.iter().map(UpstreamName::as_str).collect();
            self.report.note(format!(
                "what is pulled with credentials from {} is served to {}; no client needs a \
                 login of its own",
                names.join(", "),
                self.doors.who_enters()
            ));
        }
    }

    /// Whether registries that no route names may be asked.
    fn may_ask_anyone(&self) -> bool {
        let anything = |route: &Written| route.has_source() && route.may_match_any();
        // Without a route the built-in list leads to registries by their own names.
        self.unmatched == Unmatched::Source
            || self.routes.is_empty()
            || self.routes.iter().any(anything)
    }

    /// A table that no request can lead to is most likely misspelt.
    fn note_unused(&self) {
        // Without a route the built-in list leads to registries by their own names.
        if self.unmatched == Unmatched::Source || self.routes.is_empty() {
            return;
        }
        for upstream in self.upstreams {
            let name = &upstream.settings.name;
            if !self.routes.iter().any(|route| route.may_ask(name)) {
                self.report
                    .note(format!("{}: no route leads to it", upstream.spot.key));
            }
        }
    }

    /// A login for a host that nothing leads to is most likely for a name that clients use, and not
    /// for the registry that is asked.
    fn note_idle_logins(&self) {
        if self.may_ask_anyone() {
            return;
        }
        for Credential { place, spot } in self.credentials {
            if !self.is_asked(place) {
                self.report
                    .note(format!("{}: nothing is asked at {place}", spot.key));
            }
        }
    }

    /// Whether an upstream that has a table or is named by a route may use a login for this place.
    fn is_asked(&self, place: &Place) -> bool {
        let has = |settings: &Settings| {
            let mut entries = settings.keyring.entries().iter();
            entries.any(|entry| entry.place == *place)
        };
        let mut tables = self.upstreams.iter();
        let mut named = self.routes.iter().flat_map(Written::named);
        tables.any(|upstream| has(&upstream.settings))
            || named.any(|name| has(&self.upstream_defaults.for_host(&name)))
    }
}

impl Written {
    /// The upstreams that its targets name, as far as its text tells.
    fn named(&self) -> impl Iterator<Item = UpstreamName> + use<'_> {
        let targets = self.targets.iter();
        let targets = targets.filter_map(|target| first_element(&target.text));
        let source = self.from.iter().flatten().filter(|_| self.has_source());
        let source = source.filter_map(|from| from.split('/').next());
        targets.chain(source).filter_map(canonical)
    }

    /// Whether the registries that it is for cannot be listed.
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
        let named = |target: &Target| {
            first_element(&target.text).and_then(canonical).as_ref() == Some(name)
        };
        self.targets.iter().any(named) || (self.has_source() && self.may_match(name))
    }

    /// Whether the registry of this name can be meant; only a plain `from` can tell.
    fn may_match(&self, name: &UpstreamName) -> bool {
        let Some(from) = &self.from else { return true };
        from.iter()
            .filter_map(|from| from.split('/').next())
            .any(|registry| registry.contains('*') || canonical(registry).as_ref() == Some(name))
    }
}

/// The part of a target that says whom to ask; nothing for `source` and for templates.
fn first_element(target: &str) -> Option<&str> {
    let first = target
        .split('/')
        .next()
        .filter(|first| !first.contains('{'));
    first.filter(|_| target != "source" && !target.is_empty())
}
