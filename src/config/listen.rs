//! `[server]`, `[[listener]]`, `[aliases]`, `[hosts]` and `[admin]`: listeners, and the registry
//! that a request to each means.

use std::net::{Ipv4Addr, SocketAddr};

use super::{
    address,
    import::Located,
    load_context::LoadContext,
    problem::ValueError,
    reader::Section,
    report::{KeyLocation, ProblemReport},
    self_addresses::SelfAddresses,
    server_tls::ServerTls,
    value::ConfigText,
};
use crate::{
    oci::Registry,
    platform::RegistryAlias,
    route::{Ingress, IngressText, InvalidIngress},
    server::{ListenAddress, ListenerTls},
};

/// Default address of the mirror: loopback only.
const LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 5000);
/// Default address of probes and metrics.
const ADMIN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 5001);

/// One listener.
#[derive(Clone, Debug)]
pub struct ListenerSettings {
    /// The address.
    pub address: ListenAddress,
    /// Maps a request to the registry that it means.
    pub ingress: Ingress,
    /// TLS; `None`: plain text.
    pub tls: Option<ListenerTls>,
}

/// All listeners, before their ingresses are known.
#[derive(Debug)]
pub(super) struct ListenPlan<'t> {
    tables: Vec<ListenerTable<'t>>,
    aliases: Section<'t>,
    hosts: Section<'t>,
    admin: LocatedAddress,
    self_addresses: SelfAddresses,
}

/// All listeners, with what the other checks need.
#[derive(Debug)]
pub(super) struct ListenSettings {
    pub(super) listeners: Vec<ListenerSettings>,
    pub(super) admin: ListenAddress,
    /// Path prefixes and their registries, the same at every listener.
    pub(super) aliases: RegistryBindings,
    pub(super) self_addresses: SelfAddresses,
}

/// An address, and where it is written.
type LocatedAddress = (ListenAddress, KeyLocation);

/// Registries by alias prefix or host name.
pub(super) type RegistryBindings = Vec<(String, Vec<Registry>)>;

/// A table of listeners.
#[derive(Debug)]
struct ListenerTable<'t> {
    section: Section<'t>,
    addresses: Vec<LocatedAddress>,
    values: ListenerDefaults,
}

/// What `[[listener]]` inherits from `[server]`.
#[derive(Debug)]
struct ListenerDefaults {
    default_registry: Option<Registry>,
    names: Vec<String>,
    tls: ServerTls,
}

impl<'t> ListenPlan<'t> {
    /// Reads all tables; an address of the command line overrides those of `[server]`.
    pub(super) fn read(
        root: &mut Section<'t>,
        listen: Option<&str>,
        context: &LoadContext<'_>,
    ) -> Self {
        let (aliases, hosts) = (root.section("aliases"), root.section("hosts"));
        let server = root.section("server");
        let usual = ListenerDefaults::default();
        let mut server = ListenerTable::read(server, &usual, context);
        let public_url = server.section.string_or_unset("public_url");
        let public_url = public_url.and_then(|text| {
            let report_error = |error| root.report.problem(&text.location, error);
            address::parse_public_url(&text.text)
                .map_err(report_error)
                .ok()
        });
        if let Some(text) = listen {
            server.override_addresses(text);
        } else if server.addresses.is_empty() && !server.section.has("listen") {
            let location = KeyLocation::absent("server.listen");
            server
                .addresses
                .push((ListenAddress::Tcp(LISTEN), location));
        }
        let mut listening = vec![server];
        for section in root.sections("listener") {
            let inherited = listening.first().map(|server| &server.values);
            let read = ListenerTable::read(section, inherited.unwrap_or(&usual), context);
            read.require_addresses();
            listening.push(read);
        }
        let admin = read_admin(root);
        let addresses = listening.iter().flat_map(|one| &one.addresses);
        let addresses = addresses.chain([&admin]);
        let names = listening.iter().flat_map(|one| &one.values.names);
        let self_addresses = SelfAddresses {
            addresses: addresses.map(|(address, _)| address.clone()).collect(),
            names: names.filter_map(|name| name.parse().ok()).collect(),
            public_url,
        };
        Self {
            tables: listening,
            aliases,
            hosts,
            admin,
            self_addresses,
        }
    }

    /// The mirror's own addresses and names.
    pub(super) fn self_addresses(&self) -> &SelfAddresses {
        &self.self_addresses
    }

    /// Builds the ingresses. Aliases that are written here take precedence over imported ones.
    pub(super) fn resolve(
        self,
        report: &ProblemReport<'_>,
        imported: &[Located<RegistryAlias>],
    ) -> ListenSettings {
        let (admin, admin_location) = self.admin;
        let mut aliases = bindings(&self.aliases);
        let written_count = aliases.len();
        for (alias, _) in imported {
            let known = aliases.iter().position(|(name, _)| *name == alias.prefix);
            match known.map(|at| (at < written_count, aliases.get_mut(at))) {
                // As within one file: an alias for several equal registries.
                Some((false, Some((_, registries)))) => {
                    let known = registries.clone();
                    let new = alias.registries.iter().filter(|one| !known.contains(one));
                    registries.extend(new.cloned());
                }
                Some(_) => {}
                None => aliases.push((alias.prefix.clone(), alias.registries.clone())),
            }
        }
        let mut settings = ListenSettings {
            listeners: Vec::new(),
            admin,
            aliases,
            self_addresses: self.self_addresses,
        };
        let hosts = bindings(&self.hosts);
        let mut taken = vec![(settings.admin.clone(), admin_location)];
        for listening in self.tables {
            let ingress = IngressText {
                default_registry: listening.values.default_registry.clone(),
                names: listening.values.names.clone(),
                aliases: settings.aliases.clone(),
                hosts: hosts.clone(),
            };
            let read = Ingress::new(ingress);
            if let Err(invalid) = &read {
                let of_alias = |prefix: &str| {
                    let mut imported = imported.iter();
                    let imported = imported.find(|(alias, _)| alias.prefix == prefix);
                    let imported = imported.filter(|_| !self.aliases.has(prefix));
                    imported.map_or_else(
                        || self.aliases.location_of(prefix, None),
                        |(_, location)| location.clone(),
                    )
                };
                listening.report_ingress(invalid, of_alias, &self.hosts);
            }
            let tls = listening.values.tls.tls(&listening.section);
            for (address, location) in listening.addresses {
                check_free(report, &taken, &address, &location);
                taken.push((address.clone(), location));
                if let Ok(ingress) = &read {
                    settings.listeners.push(ListenerSettings {
                        address,
                        ingress: ingress.clone(),
                        tls: tls.clone(),
                    });
                }
            }
            listening.section.finish();
        }
        settings
    }
}

impl ListenSettings {
    /// The clients that the listeners admit, for a sentence.
    pub(super) fn admitted_clients(&self) -> &'static str {
        let is_restricted = |listener: &ListenerSettings| {
            listener
                .tls
                .as_ref()
                .is_some_and(ListenerTls::requires_client_certificate)
        };
        if self.listeners.iter().all(is_restricted) {
            "every client with a certificate of client_ca_file"
        } else {
            "every client that reaches a listener"
        }
    }
}

impl Default for ListenerDefaults {
    fn default() -> Self {
        Self {
            default_registry: Some(Registry::docker_hub()),
            names: Vec::new(),
            tls: ServerTls::default(),
        }
    }
}

impl<'t> ListenerTable<'t> {
    fn read(
        mut section: Section<'t>,
        inherited: &ListenerDefaults,
        context: &LoadContext<'_>,
    ) -> Self {
        let report = section.report;
        let written = section.strings("listen");
        let addresses = written
            .iter()
            .flatten()
            .filter_map(|text| address_at(report, text));
        let addresses: Vec<_> = addresses.collect();
        if written.is_some_and(|written| written.is_empty()) {
            let error = ValueError::new("at least one address is required");
            report.problem(&section.location_of("listen", None), error);
        }
        let own_registry = section.parse("default_registry", |text| match text {
            "" => Ok(None),
            text => text.parse().map(Some).map_err(registry_error),
        });
        let own_names = section.strings("names");
        let own_names = own_names.map(|texts| texts.into_iter().map(|text| text.text).collect());
        let values = ListenerDefaults {
            default_registry: own_registry.unwrap_or_else(|| inherited.default_registry.clone()),
            names: own_names.unwrap_or_else(|| inherited.names.clone()),
            tls: ServerTls::read(&mut section, context, &inherited.tls),
        };
        Self {
            section,
            addresses,
            values,
        }
    }

    fn require_addresses(&self) {
        if !self.section.has("listen") {
            let error = ValueError::new("an additional listener needs an address of its own");
            let error = error.hint("add listen = \"IP:PORT\"");
            self.section.report.problem(&self.section.location, error);
        }
    }

    fn override_addresses(&mut self, text: &str) {
        let location = KeyLocation::absent("--listen");
        self.addresses.clear();
        match address::parse_listen(text) {
            Ok(address) => self.addresses.push((address, location)),
            Err(error) => self
                .section
                .report
                .problem_elsewhere("--listen", text, error),
        }
    }

    fn report_ingress(
        &self,
        invalid: &[InvalidIngress],
        of_alias: impl Fn(&str) -> KeyLocation,
        hosts: &Section<'_>,
    ) {
        for invalid in invalid {
            let location = match invalid.key {
                "aliases" => of_alias(&invalid.value),
                "hosts" => hosts.location_of(&invalid.value, None),
                key => {
                    let index = self
                        .values
                        .names
                        .iter()
                        .position(|name| *name == invalid.value);
                    self.section.location_of(key, index)
                }
            };
            let error = ValueError {
                hint: invalid.hint.clone(),
                ..ValueError::new(&*invalid.reason)
            };
            self.section.report.problem(&location, error);
        }
    }
}

fn read_admin(root: &mut Section<'_>) -> LocatedAddress {
    let mut admin = root.section("admin");
    let text = admin.string("listen");
    let fallback = KeyLocation::absent("admin.listen");
    let written = text.and_then(|text| address_at(root.report, &text));
    let (address, location) = written.unwrap_or((ListenAddress::Tcp(ADMIN), fallback));
    if !address::is_local(&address) {
        root.report
            .note("admin.listen: metrics are served without authentication to every client that reaches it");
    }
    admin.finish();
    (address, location)
}

fn address_at(report: &ProblemReport<'_>, text: &ConfigText) -> Option<LocatedAddress> {
    match address::parse_listen(&text.text) {
        Ok(address) => Some((address, text.location.clone())),
        Err(error) => {
            report.problem(&text.location, error);
            None
        }
    }
}

fn check_free(
    report: &ProblemReport<'_>,
    taken: &[LocatedAddress],
    address: &ListenAddress,
    location: &KeyLocation,
) {
    let Some((_, other)) = taken.iter().find(|(other, _)| other.collides_with(address)) else {
        return;
    };
    let error = ValueError::new(format!("{} already uses this address", other.key));
    // Point at the address that is written: the admin address seldom is.
    if location.span.is_some() || other.span.is_none() {
        report.problem(location, error);
    } else {
        report.problem(
            other,
            ValueError::new(format!("{} already uses this address", location.key)),
        );
    }
}

fn bindings(section: &Section<'_>) -> RegistryBindings {
    let report = section.report;
    let registry = |text: ConfigText| match text.text.parse::<Registry>() {
        Ok(registry) => Some(registry),
        Err(invalid) => {
            report.problem(&text.location, registry_error(invalid));
            None
        }
    };
    let mut bindings = Vec::new();
    for (name, texts) in section.named_strings() {
        if texts.is_empty() {
            let error = ValueError::new("at least one registry is required");
            report.problem(&section.location_of(&name, None), error);
        }
        let registries: Vec<_> = texts.into_iter().filter_map(registry).collect();
        if !registries.is_empty() {
            bindings.push((name, registries));
        }
    }
    bindings
}

fn registry_error(invalid: crate::oci::InvalidName) -> ValueError {
    ValueError::new(invalid.to_string())
}
