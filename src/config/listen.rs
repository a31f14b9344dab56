//! `[server]`, `[[listener]]`, `[aliases]`, `[hosts]` and `[admin]`: where we listen, and what
//! names mean there.

use std::net::{Ipv4Addr, SocketAddr};

use super::{
    Listener, address,
    problem::Complaint,
    reader::Section,
    report::{Report, Spot},
    shown::Shown,
    surroundings::Surroundings,
    value::Text,
};
use crate::{
    oci::Registry,
    route::{Ingress, IngressText, InvalidIngress},
    server::{Address, Tls},
};

/// Where the mirror listens unless told otherwise: this machine alone.
const LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 5000);
/// Where the probes and metrics are.
const ADMIN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 5001);

/// Every address of ours, with what the rest of the checks need.
#[derive(Debug)]
pub(super) struct Doors {
    pub(super) listeners: Vec<Listener>,
    pub(super) admin: Address,
    /// Our own host names, of every listener.
    pub(super) names: Vec<String>,
}

/// An address and where it was written.
type Written = (Address, Spot);

/// The registries behind alias prefixes and host names.
type Bindings = Vec<(String, Vec<Registry>)>;

/// A table of listeners.
#[derive(Debug)]
struct Listening<'t> {
    section: Section<'t>,
    addresses: Vec<Written>,
    said: Inherited,
}

/// What `[server]` says and `[[listener]]` may say otherwise.
#[derive(Debug)]
struct Inherited {
    default_registry: Option<Registry>,
    names: Vec<String>,
    shown: Shown,
}

impl Doors {
    /// Reads them all; an address from the command line replaces those of `[server]`.
    pub(super) fn read(
        root: &mut Section<'_>,
        listen: Option<&str>,
        around: &Surroundings<'_>,
    ) -> Self {
        let report = root.report;
        let aliases = root.section("aliases");
        let hosts = root.section("hosts");
        let (alias_bindings, host_bindings) = (bindings(&aliases), bindings(&hosts));

        let server = root.section("server");
        let mut server = Listening::read(server, &Inherited::default(), around);
        if let Some(text) = listen {
            server.override_addresses(text);
        } else if server.addresses.is_empty() && !server.section.has("listen") {
            let spot = Spot {
                key: "server.listen".to_owned(),
                span: None,
                is_value: false,
            };
            server.addresses.push((Address::Tcp(LISTEN), spot));
        }
        let further: Vec<_> = root
            .sections("listener")
            .into_iter()
            .map(|section| {
                let read = Listening::read(section, &server.said, around);
                read.require_addresses();
                read
            })
            .collect();

        let (admin, admin_spot) = read_admin(root);
        let mut doors = Self {
            listeners: Vec::new(),
            admin,
            names: Vec::new(),
        };
        let mut taken = vec![(doors.admin.clone(), admin_spot)];
        for listening in [server].into_iter().chain(further) {
            let ingress = IngressText {
                default_registry: listening.said.default_registry.clone(),
                names: listening.said.names.clone(),
                aliases: alias_bindings.clone(),
                hosts: host_bindings.clone(),
            };
            let read = Ingress::new(ingress);
            if let Err(invalid) = &read {
                listening.report_ingress(invalid, &aliases, &hosts);
            }
            let Inherited { names, shown, .. } = listening.said;
            let tls = shown.tls(&listening.section);
            for (address, spot) in listening.addresses {
                check_free(report, &taken, &address, &spot);
                taken.push((address.clone(), spot));
                if let Ok(ingress) = &read {
                    doors.listeners.push(Listener {
                        address,
                        ingress: ingress.clone(),
                        tls: tls.clone(),
                    });
                }
            }
            doors.names.extend(names);
            listening.section.finish();
        }
        doors
    }

    /// Whom the listeners let in, for a sentence.
    pub(super) fn who_enters(&self) -> &'static str {
        let asks = |listener: &Listener| listener.tls.as_ref().is_some_and(Tls::asks_clients);
        if self.listeners.iter().all(asks) {
            "whoever shows a listener a certificate of its client_ca_file"
        } else {
            "whoever reaches a listener"
        }
    }
}

impl Default for Inherited {
    fn default() -> Self {
        Self {
            default_registry: Some(Registry::docker_hub()),
            names: Vec::new(),
            shown: Shown::default(),
        }
    }
}

impl<'t> Listening<'t> {
    fn read(mut section: Section<'t>, inherited: &Inherited, around: &Surroundings<'_>) -> Self {
        let report = section.report;
        let written = section.strings("listen");
        let addresses = written
            .iter()
            .flatten()
            .filter_map(|text| address_at(report, text));
        let addresses: Vec<_> = addresses.collect();
        if written.is_some_and(|written| written.is_empty()) {
            let complaint = Complaint::new("at least one address is needed");
            report.problem(&section.spot_of("listen", None), complaint);
        }
        let own_registry = section.parsed("default_registry", |text| match text {
            "" => Ok(None),
            text => text.parse().map(Some).map_err(registry_complaint),
        });
        let own_names = section.strings("names");
        let own_names = own_names.map(|texts| texts.into_iter().map(|text| text.text).collect());
        let said = Inherited {
            default_registry: own_registry.unwrap_or_else(|| inherited.default_registry.clone()),
            names: own_names.unwrap_or_else(|| inherited.names.clone()),
            shown: Shown::read(&mut section, around, &inherited.shown),
        };
        Self {
            section,
            addresses,
            said,
        }
    }

    fn require_addresses(&self) {
        if !self.section.has("listen") {
            let complaint = Complaint::new("a further listener needs its own address");
            let complaint = complaint.hint("add listen = \"IP:PORT\"");
            self.section.report.problem(&self.section.spot, complaint);
        }
    }

    fn override_addresses(&mut self, text: &str) {
        let spot = Spot {
            key: "--listen".to_owned(),
            span: None,
            is_value: false,
        };
        self.addresses.clear();
        match address::listen(text) {
            Ok(address) => self.addresses.push((address, spot)),
            Err(complaint) => self
                .section
                .report
                .problem_outside("--listen", text, complaint),
        }
    }

    fn report_ingress(
        &self,
        invalid: &[InvalidIngress],
        aliases: &Section<'_>,
        hosts: &Section<'_>,
    ) {
        for invalid in invalid {
            let spot = match invalid.key {
                "aliases" => aliases.spot_of(&invalid.value, None),
                "hosts" => hosts.spot_of(&invalid.value, None),
                key => {
                    let index = self
                        .said
                        .names
                        .iter()
                        .position(|name| *name == invalid.value);
                    self.section.spot_of(key, index)
                }
            };
            let complaint = Complaint {
                reason: invalid.reason.clone(),
                hint: invalid.hint.clone(),
            };
            self.section.report.problem(&spot, complaint);
        }
    }
}

fn read_admin(root: &mut Section<'_>) -> Written {
    let mut admin = root.section("admin");
    let text = admin.string("listen");
    let fallback = Spot {
        key: "admin.listen".to_owned(),
        span: None,
        is_value: false,
    };
    let written = text.and_then(|text| address_at(root.report, &text));
    let (address, spot) = written.unwrap_or((Address::Tcp(ADMIN), fallback));
    if !address::is_local(&address) {
        root.report
            .note("admin.listen: metrics are open to everyone who reaches it; there is no login");
    }
    admin.finish();
    (address, spot)
}

fn address_at(report: &Report<'_>, text: &Text) -> Option<Written> {
    match address::listen(&text.text) {
        Ok(address) => Some((address, text.spot.clone())),
        Err(complaint) => {
            report.problem(&text.spot, complaint);
            None
        }
    }
}

fn check_free(report: &Report<'_>, taken: &[Written], address: &Address, spot: &Spot) {
    let Some((_, other)) = taken.iter().find(|(other, _)| other.collides_with(address)) else {
        return;
    };
    let complaint = Complaint::new(format!("{} uses this address already", other.key));
    // The admin address is the one that is seldom written: point at what is.
    if spot.span.is_some() || other.span.is_none() {
        report.problem(spot, complaint);
    } else {
        report.problem(
            other,
            Complaint::new(format!("{} uses this address already", spot.key)),
        );
    }
}

fn bindings(section: &Section<'_>) -> Bindings {
    let report = section.report;
    let registry = |text: Text| match text.text.parse::<Registry>() {
        Ok(registry) => Some(registry),
        Err(invalid) => {
            report.problem(&text.spot, registry_complaint(invalid));
            None
        }
    };
    let mut bindings = Vec::new();
    for (name, texts) in section.named_strings() {
        if texts.is_empty() {
            let complaint = Complaint::new("at least one registry is needed");
            report.problem(&section.spot_of(&name, None), complaint);
        }
        let registries: Vec<_> = texts.into_iter().filter_map(registry).collect();
        if !registries.is_empty() {
            bindings.push((name, registries));
        }
    }
    bindings
}

fn registry_complaint(invalid: crate::oci::InvalidName) -> Complaint {
    Complaint::new(invalid.to_string())
}
