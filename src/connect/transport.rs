//! How connections to an upstream are made, as the configuration decides it.

use crate::{
    secret::Secret,
    tls::{Authorities, Identity},
};

/// Whom we trust, who we are, and through which proxy we go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transport {
    /// Whom we trust beside the public authorities and the system's.
    pub authorities: Authorities,
    /// The certificate that we show.
    pub identity: Option<Identity>,
    /// Whether certificates are checked at all.
    pub is_verified: bool,
    /// The proxies.
    pub proxy: ProxySettings,
}

/// Forward proxies by the scheme of what is asked. Their addresses may hold a login.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProxySettings {
    /// For `http://`.
    pub http: Option<Secret>,
    /// For `https://`, through CONNECT.
    pub https: Option<Secret>,
    /// What is asked directly, as in `NO_PROXY`, and this machine's own services with it: how the
    /// environment's proxies are meant everywhere. None: nothing is, for the proxy was chosen for
    /// this very upstream.
    pub no_proxy: Option<String>,
}

impl Default for Transport {
    fn default() -> Self {
        Self {
            authorities: Authorities::default(),
            identity: None,
            is_verified: true,
            proxy: ProxySettings::default(),
        }
    }
}
