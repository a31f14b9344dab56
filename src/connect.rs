//! Connections to others: HTTP clients, TLS, proxies, and the guard over addresses.
//!
//! Promises: a client contacts only addresses that its guard admits, follows no redirect and uses no
//! proxy on its own, and shows our certificate only to the hosts it is for; errors hold no secret.
//! Called by `upstream`, and by commands for sockets of our own. Never knows whose service it is.

mod client;
mod error;
mod failure;
mod guard;
mod proxy;
mod redirect;
mod tls;
mod transport;

pub use client::{ClientSettings, HttpClients, over_socket, socket_client};
pub use error::ClientBuildError;
pub use failure::{TransportFailure, causes, failure_detail};
pub use guard::{
    AddressGuard, DnsLookup, ForbiddenAddress, GuardPolicy, NamedBy, NetworkZone, is_allowed_host,
    system_lookup,
};
pub use proxy::{InvalidProxy, ProxyHop};
pub use redirect::{REDIRECTS_MAX, RedirectError, next_url};
pub use tls::client_certificate_refused;
pub use transport::{ProxySettings, Transport};
