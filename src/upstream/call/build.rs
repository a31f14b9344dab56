//! From an upstream's settings to its endpoints and the clients that reach them; contacts nothing.

use std::sync::Arc;

use reqwest::Url;

use super::endpoint::Endpoint;
use crate::{
    connect::{
        self, AddressGuard, ClientSettings, DnsLookup, GuardPolicy, HttpClients, NamedBy,
        NetworkZone, socket_client,
    },
    upstream::{
        error::BuildError,
        settings::{EndpointAddress, Settings},
    },
};

/// What settings become.
pub(in crate::upstream) struct BuiltClients {
    /// The clients for everything but sockets.
    pub(in crate::upstream) clients: HttpClients,
    /// What their resolver enforces.
    pub(in crate::upstream) guard: Arc<AddressGuard>,
    /// The endpoints, in the order of the settings.
    pub(in crate::upstream) endpoints: Vec<Endpoint>,
}

/// Builds clients and endpoints.
///
/// # Errors
/// See [`BuildError`].
pub(in crate::upstream) fn build(settings: &Settings) -> Result<BuiltClients, BuildError> {
    build_with(settings, connect::system_lookup())
}

fn build_with(settings: &Settings, lookup: DnsLookup) -> Result<BuiltClients, BuildError> {
    let bases: Vec<_> = settings
        .endpoints
        .iter()
        .zip(1..)
        .map(|(endpoint, number)| base_url(endpoint, number))
        .collect::<Result<_, _>>()?;
    let connections = client_settings(settings, &bases);
    let least_zone = if settings.endpoints.iter().any(is_socket) {
        NetworkZone::Loopback
    } else {
        NetworkZone::Public
    };
    let guard = Arc::new(AddressGuard::new(GuardPolicy {
        own_hosts: connections.own_hosts.clone(),
        least_zone,
        named_by: settings.named_by,
        allowed_hosts: connections.allowed_hosts.clone(),
        proxy_hosts: settings.transport.proxy.hosts(),
    }));
    let mut endpoints = Vec::with_capacity(bases.len());
    for ((address, base), number) in settings.endpoints.iter().zip(bases).zip(1..) {
        // What stands for this machine in a socket's URL is not an address; what a client names is
        // refused when it is asked for, for it is not a fault of the configuration.
        let is_admitted = |host: &str| {
            is_socket(address) || settings.named_by == NamedBy::Client || guard.admits_literal(host)
        };
        if !base.host_str().is_some_and(is_admitted) {
            let reason = "an address that must not be contacted";
            return Err(BuildError::Endpoint { number, reason });
        }
        let (label, socket) = match address {
            EndpointAddress::Url(_) => (base.origin().ascii_serialization(), None),
            EndpointAddress::Unix(path) => (
                format!("unix:{}", path.display()),
                Some(socket_client(&connections, path)?),
            ),
        };
        endpoints.push(Endpoint::new(label, base, socket));
    }
    Ok(BuiltClients {
        clients: HttpClients::new(connections, Arc::clone(&guard), lookup)?,
        guard,
        endpoints,
    })
}

fn client_settings(settings: &Settings, bases: &[Url]) -> ClientSettings {
    let hosts = settings.endpoints.iter().zip(bases);
    let hosts = hosts.filter(|(endpoint, _)| !is_socket(endpoint));
    let own_hosts = hosts.filter_map(|(_, base)| base.host_str().map(str::to_owned));
    ClientSettings {
        transport: settings.transport.clone(),
        own_hosts: own_hosts.collect(),
        allowed_hosts: [settings.redirect_hosts.as_slice(), &settings.realm_hosts].concat(),
        connect_max: settings.connect_max,
        idle_per_host_max: settings.concurrent_max,
    }
}

fn is_socket(endpoint: &EndpointAddress) -> bool {
    matches!(endpoint, EndpointAddress::Unix(_))
}

/// What requests to an endpoint are built on.
fn base_url(endpoint: &EndpointAddress, number: usize) -> Result<Url, BuildError> {
    let bad = |reason| BuildError::Endpoint { number, reason };
    let text = match endpoint {
        EndpointAddress::Url(text) => text,
        // The host only fills the `Host` header.
        EndpointAddress::Unix(_) => "http://localhost",
    };
    let url: Url = text
        .parse()
        .map_err(|_error| bad("not written as https://HOST[:PORT]"))?;
    if !matches!(url.scheme(), "https" | "http") {
        return Err(bad("neither https nor http"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(bad("credentials must not be part of the URL"));
    }
    if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
        return Err(bad("a path must be set in api_path"));
    }
    Ok(url)
}

#[cfg(test)]
mod scenes;
