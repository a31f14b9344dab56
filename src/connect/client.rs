//! Connections: HTTP/1.1 over TCP, TLS or a Unix socket, and no decision of the library's own.

use std::{path::Path, sync::Arc, time::Duration};

use reqwest::{Client, ClientBuilder, Url, redirect::Policy};
use rustls::ClientConfig;

use super::{
    error::ClientBuildError,
    guard::{self, AddressGuard, DnsLookup, ForbiddenAddress, GuardedResolver},
    proxy::{ProxyHop, ProxyMatcher},
    tls,
    transport::Transport,
};

/// Longest time that an idle connection is kept.
const IDLE_MAX: Duration = Duration::from_secs(30);
/// Most header lines of an answer.
const HEADERS_MAX: usize = 256;

/// What the clients of one service are built from.
#[derive(Clone, Debug)]
pub struct ClientSettings {
    /// Trust, our certificate, and proxies.
    pub transport: Transport,
    /// The service's own hosts, as they stand in URLs.
    pub own_hosts: Vec<String>,
    /// Further hosts that see our certificate, `HOST` or `HOST:PORT`.
    pub allowed_hosts: Vec<String>,
    /// Longest wait for a connection.
    pub connect_max: Duration,
    /// Most idle connections that are kept for one host.
    pub idle_per_host_max: usize,
}

/// Who is contacted how. An upstream's own hosts, and those that its table lists, see our
/// certificate, and theirs are not checked if the table says so; everyone else is met without a
/// certificate of ours and is always checked. Both trust `ca_file` and use the proxy.
#[derive(Debug)]
pub struct HttpClients {
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
    /// Builds the clients; contacts nothing.
    ///
    /// # Errors
    /// The TLS or HTTP library refuses the settings.
    pub fn new(
        settings: ClientSettings,
        guard: Arc<AddressGuard>,
        lookup: DnsLookup,
    ) -> Result<Self, ClientBuildError> {
        let transport = &settings.transport;
        let resolver = GuardedResolver {
            guard: Arc::clone(&guard),
            lookup,
        };
        let over = |tls: ClientConfig| {
            let builder = base_builder(&settings, tls).dns_resolver(resolver.clone());
            build_client(transport.proxy.apply_to(builder)?)
        };
        let other_hosts_client = over(tls::for_other_hosts(transport)?)?;
        let own_hosts_client = if transport.identity.is_some() || !transport.is_verified {
            let listed = settings.allowed_hosts.iter();
            let listed = listed.filter_map(|host| guard::allowed_host(host));
            let hosts: Vec<_> = settings.own_hosts.iter().cloned().chain(listed).collect();
            over(tls::for_own_hosts(transport, &hosts)?)?
        } else {
            other_hosts_client.clone()
        };
        Ok(Self {
            own_hosts_client,
            other_hosts_client,
            proxy_matcher: transport.proxy.matcher(),
            own_hosts: settings.own_hosts,
            allowed_hosts: settings.allowed_hosts,
            guard,
        })
    }

    /// The client that a URL is asked with, if it may be asked at all: the resolver never sees a
    /// host that is written as an address.
    pub fn client_for(&self, url: &Url) -> Result<&Client, ForbiddenAddress> {
        let host = url.host_str().unwrap_or_default();
        if !self.guard.admits_literal(host) {
            return Err(ForbiddenAddress);
        }
        let is_near = self.own_hosts.iter().any(|own| own == host)
            || guard::is_allowed_host(&self.allowed_hosts, url);
        Ok(if is_near {
            &self.own_hosts_client
        } else {
            &self.other_hosts_client
        })
    }

    /// The proxy that a URL is asked through.
    pub fn proxy_for(&self, url: &Url) -> Option<ProxyHop> {
        self.proxy_matcher.proxy_for(url)
    }
}

/// A client for a Unix socket of our own: the store's, or the demo's.
///
/// # Errors
/// Only if the TLS library refuses its own defaults.
pub fn over_socket(path: &Path) -> Result<Client, ClientBuildError> {
    let client = Client::builder()
        .tls_backend_preconfigured(tls::for_other_hosts(&Transport::default())?)
        .no_proxy();
    build_client(client.unix_socket(path))
}

/// A client whose connections all lead to a socket.
pub fn socket_client(settings: &ClientSettings, path: &Path) -> Result<Client, ClientBuildError> {
    let tls = tls::for_other_hosts(&settings.transport)?;
    build_client(base_builder(settings, tls).unix_socket(path))
}

/// A client that uses no proxy, not even the environment's.
fn base_builder(settings: &ClientSettings, tls: ClientConfig) -> ClientBuilder {
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
        .pool_max_idle_per_host(settings.idle_per_host_max)
}

fn build_client(builder: ClientBuilder) -> Result<Client, ClientBuildError> {
    builder
        .build()
        .map_err(|error| ClientBuildError(error.without_url().to_string()))
}
