//! Connections: HTTP/1.1 over TCP, TLS or a Unix socket, and no decision of the library's own.

use std::{path::Path, sync::Arc, time::Duration};

use reqwest::{Client, ClientBuilder, Url, redirect::Policy};
use rustls::ClientConfig;

use super::{
    BuildError, EndpointAddress, NamedBy, ProtocolViolation, Settings, Transport,
    address::{self, AddressGuard, DnsLookup, GuardPolicy, GuardedResolver, NetworkZone},
    call::endpoint::Endpoint,
    proxy::{ProxyHop, ProxyMatcher},
    tls,
};

/// Longest time that an idle connection is kept.
const IDLE_MAX: Duration = Duration::from_secs(30);
/// Most header lines of an answer.
const HEADERS_MAX: usize = 256;

/// What settings become.
pub(super) struct BuiltClients {
    /// The clients for everything but sockets.
    pub(super) clients: HttpClients,
    /// What their resolver enforces.
    pub(super) guard: Arc<AddressGuard>,
    /// The endpoints, as they are written.
    pub(super) endpoints: Vec<Endpoint>,
}

/// Who is contacted how. An upstream's own hosts, and those that its table lists, see our
/// certificate, and theirs are not checked if the table says so; everyone else is met without a
/// certificate of ours and is always checked. Both trust `ca_file` and use the proxy.
#[derive(Debug)]
pub(super) struct HttpClients {
    own_hosts_client: Client,
    other_hosts_client: Client,
    /// The upstream's own hosts, whatever the port.
    own_hosts: Vec<String>,
    /// `redirects` and `realms`.
    allowed_hosts: Vec<String>,
    proxy_matcher: ProxyMatcher,
    guard: Arc<AddressGuard>,
}

impl HttpClients {
    /// The client that a URL is asked with, if it may be asked at all: the resolver never sees a
    /// host that is written as an address.
    pub(super) fn client_for(&self, url: &Url) -> Result<&Client, ProtocolViolation> {
        let host = url.host_str().unwrap_or_default();
        if !self.guard.admits_literal(host) {
            return Err(ProtocolViolation::Address);
        }
        let is_near = self.own_hosts.iter().any(|own| own == host)
            || address::is_allowed_host(&self.allowed_hosts, url);
        Ok(if is_near {
            &self.own_hosts_client
        } else {
            &self.other_hosts_client
        })
    }

    /// The proxy that a URL is asked through.
    pub(super) fn proxy_for(&self, url: &Url) -> Option<ProxyHop> {
        self.proxy_matcher.proxy_for(url)
    }
}

/// Builds clients and endpoints; contacts nothing.
pub(super) fn build(settings: &Settings) -> Result<BuiltClients, BuildError> {
    build_with(settings, address::system_lookup())
}

fn build_with(settings: &Settings, lookup: DnsLookup) -> Result<BuiltClients, BuildError> {
    let bases: Vec<_> = settings
        .endpoints
        .iter()
        .zip(1..)
        .map(|(endpoint, number)| base_url(endpoint, number))
        .collect::<Result<_, _>>()?;
    let is_socket = |endpoint: &EndpointAddress| matches!(endpoint, EndpointAddress::Unix(_));
    let hosts = settings.endpoints.iter().zip(&bases);
    let hosts = hosts.filter(|(endpoint, _)| !is_socket(endpoint));
    let own: Vec<_> = hosts
        .filter_map(|(_, base)| base.host_str().map(str::to_owned))
        .collect();
    let least = if settings.endpoints.iter().any(is_socket) {
        NetworkZone::Loopback
    } else {
        NetworkZone::Public
    };
    let listed = [settings.redirect_hosts.as_slice(), &settings.realm_hosts].concat();
    let guard = Arc::new(AddressGuard::new(GuardPolicy {
        own_hosts: own.clone(),
        least_zone: least,
        named_by: settings.named_by,
        allowed_hosts: listed.clone(),
        proxy_hosts: settings.transport.proxy.hosts(),
    }));
    let mut stations = Vec::with_capacity(bases.len());
    for ((endpoint, base), number) in settings.endpoints.iter().zip(bases).zip(1..) {
        // What stands for this machine in a socket's URL is no address; what a client names is
        // refused when it is asked for, for it is no fault of the configuration.
        let is_admitted = |host: &str| {
            is_socket(endpoint)
                || settings.named_by == NamedBy::Client
                || guard.admits_literal(host)
        };
        if !base.host_str().is_some_and(is_admitted) {
            let reason = "an address that must not be contacted";
            return Err(BuildError::Endpoint { number, reason });
        }
        let (label, socket) = match endpoint {
            EndpointAddress::Url(_) => (base.origin().ascii_serialization(), None),
            EndpointAddress::Unix(path) => (
                format!("unix:{}", path.display()),
                Some(socket_client(settings, path)?),
            ),
        };
        stations.push(Endpoint::new(label, base, socket));
    }
    let guarded = GuardedResolver {
        guard: Arc::clone(&guard),
        lookup,
    };
    let clients = clients(settings, own, listed, &guarded)?;
    Ok(BuiltClients {
        clients,
        guard,
        endpoints: stations,
    })
}

fn clients(
    settings: &Settings,
    own: Vec<String>,
    listed: Vec<String>,
    guarded: &GuardedResolver,
) -> Result<HttpClients, BuildError> {
    let transport = &settings.transport;
    let over = |tls: ClientConfig| {
        let builder = base_builder(settings, tls).dns_resolver(guarded.clone());
        build_client(transport.proxy.apply_to(builder)?)
    };
    let far = over(tls::for_other_hosts(transport)?)?;
    let near = if transport.identity.is_some() || !transport.is_verified {
        let hosts = listed.iter().filter_map(|host| address::allowed_host(host));
        let hosts: Vec<_> = own.iter().cloned().chain(hosts).collect();
        over(tls::for_own_hosts(transport, &hosts)?)?
    } else {
        far.clone()
    };
    Ok(HttpClients {
        own_hosts_client: near,
        other_hosts_client: far,
        own_hosts: own,
        allowed_hosts: listed,
        proxy_matcher: transport.proxy.matcher(),
        guard: Arc::clone(&guarded.guard),
    })
}

/// A client for a Unix socket of our own: the store's, or the demo's.
///
/// # Errors
/// Only if the TLS library refuses its own defaults.
pub fn over_socket(path: &Path) -> Result<Client, BuildError> {
    let client = Client::builder()
        .tls_backend_preconfigured(tls::for_other_hosts(&Transport::default())?)
        .no_proxy();
    build_client(client.unix_socket(path))
}

fn socket_client(settings: &Settings, path: &Path) -> Result<Client, BuildError> {
    let tls = tls::for_other_hosts(&settings.transport)?;
    build_client(base_builder(settings, tls).unix_socket(path))
}

/// A client that uses no proxy, not even the environment's.
fn base_builder(settings: &Settings, tls: ClientConfig) -> ClientBuilder {
    Client::builder()
        .tls_backend_preconfigured(tls)
        .user_agent(concat!("roadstead/", env!("CARGO_PKG_VERSION")))
        .http1_only()
        .http1_max_headers(HEADERS_MAX)
        .redirect(Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .no_proxy()
        .connect_timeout(settings.connect_max)
        .pool_idle_timeout(IDLE_MAX)
        .pool_max_idle_per_host(settings.concurrent_max)
}

fn build_client(builder: ClientBuilder) -> Result<Client, BuildError> {
    builder
        .build()
        .map_err(|error| BuildError::Client(error.without_url().to_string()))
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
        return Err(bad("a login does not belong into an address"));
    }
    if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
        return Err(bad("a path belongs into api_path"));
    }
    Ok(url)
}

#[cfg(test)]
mod scenes;
