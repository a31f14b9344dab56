//! Connections: HTTP/1.1 over TCP, TLS or a Unix socket, and no decision of the library's own.

use std::{path::Path, sync::Arc, time::Duration};

use reqwest::{Client, ClientBuilder, Url, redirect::Policy};

use super::{
    BuildError, Endpoint, Settings,
    address::{Guard, Guarded, Reach},
    auth::Login,
    endpoint::Station,
    tls,
};

/// Longest time that an idle connection is kept.
const IDLE_MAX: Duration = Duration::from_secs(30);
/// Most header lines of an answer.
const HEADERS_MAX: usize = 256;

/// What settings become.
pub(super) struct Built {
    /// The client for everything but sockets.
    pub(super) network: Client,
    /// What its resolver enforces.
    pub(super) guard: Arc<Guard>,
    /// The endpoints, as they are written.
    pub(super) stations: Vec<Station>,
}

/// Builds clients and endpoints; contacts nothing.
pub(super) fn build(settings: &Settings) -> Result<Built, BuildError> {
    let bases: Vec<_> = settings
        .endpoints
        .iter()
        .zip(1..)
        .map(|(endpoint, number)| base(endpoint, number))
        .collect::<Result<_, _>>()?;
    let is_socket = |endpoint: &Endpoint| matches!(endpoint, Endpoint::Unix(_));
    let hosts = settings.endpoints.iter().zip(&bases);
    let hosts = hosts.filter(|(endpoint, _)| !is_socket(endpoint));
    let hosts = hosts.filter_map(|(_, base)| base.host_str().map(str::to_owned));
    let least = if settings.endpoints.iter().any(is_socket) {
        Reach::Loopback
    } else {
        Reach::Public
    };
    let guard = Arc::new(Guard::new(hosts.collect(), least, &settings.redirects));
    let mut stations = Vec::with_capacity(bases.len());
    for ((endpoint, base), number) in settings.endpoints.iter().zip(bases).zip(1..) {
        if !base
            .host_str()
            .is_some_and(|host| guard.admits_literal(host))
        {
            let reason = "an address that must not be contacted";
            return Err(BuildError::Endpoint { number, reason });
        }
        let login = Login::new(settings.credentials.clone());
        let (label, socket) = match endpoint {
            Endpoint::Url(_) => (base.origin().ascii_serialization(), None),
            Endpoint::Unix(path) => (
                format!("unix:{}", path.display()),
                Some(socket(settings, path)?),
            ),
        };
        stations.push(Station::new(label, base, socket, login));
    }
    let network = plain(settings)?.dns_resolver(Guarded(Arc::clone(&guard)));
    Ok(Built {
        network: finish(network)?,
        guard,
        stations,
    })
}

/// A client for a Unix socket of our own: the store's, or the demo's.
///
/// # Errors
/// Only if the TLS library refuses its own defaults.
pub fn over_socket(path: &Path) -> Result<Client, BuildError> {
    let client = Client::builder()
        .tls_backend_preconfigured(tls::config()?)
        .no_proxy();
    finish(client.unix_socket(path))
}

fn socket(settings: &Settings, path: &Path) -> Result<Client, BuildError> {
    finish(plain(settings)?.unix_socket(path))
}

fn plain(settings: &Settings) -> Result<ClientBuilder, BuildError> {
    Ok(Client::builder()
        .tls_backend_preconfigured(tls::config()?)
        .user_agent(concat!("roadstead/", env!("CARGO_PKG_VERSION")))
        .http1_only()
        .http1_max_headers(HEADERS_MAX)
        .redirect(Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .no_proxy()
        .connect_timeout(settings.connect_max)
        .pool_idle_timeout(IDLE_MAX)
        .pool_max_idle_per_host(settings.concurrent_max))
}

fn finish(builder: ClientBuilder) -> Result<Client, BuildError> {
    builder
        .build()
        .map_err(|error| BuildError::Client(error.without_url().to_string()))
}

/// What requests to an endpoint are built on.
fn base(endpoint: &Endpoint, number: usize) -> Result<Url, BuildError> {
    let bad = |reason| BuildError::Endpoint { number, reason };
    let text = match endpoint {
        Endpoint::Url(text) => text,
        // The host only fills the `Host` header.
        Endpoint::Unix(_) => "http://localhost",
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
