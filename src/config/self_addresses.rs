//! The mirror's own addresses and names.

use super::address;
use crate::{oci::Registry, server::ListenAddress, upstream::EndpointAddress};

/// The mirror's own addresses and names: a registry there would be the mirror itself.
#[derive(Clone, Debug, Default)]
pub struct SelfAddresses {
    /// Its listeners, the admin listener included.
    pub(super) addresses: Vec<ListenAddress>,
    /// The host names of every listener.
    pub(super) names: Vec<Registry>,
    /// Its URL for nodes.
    pub(super) public_url: Option<String>,
}

impl SelfAddresses {
    /// Whether `HOST[:PORT]` is the mirror itself, as far as that is known without DNS.
    pub fn contains_registry(&self, registry: &Registry) -> bool {
        let answers = |scheme: &str| {
            self.contains_endpoint(&EndpointAddress::Url(format!("{scheme}://{registry}")))
        };
        // A name without a port may be reached by either scheme.
        answers("https") || registry.port().is_none() && answers("http")
    }

    /// Whether a request to `endpoint` would arrive at the mirror itself.
    pub(super) fn contains_endpoint(&self, endpoint: &EndpointAddress) -> bool {
        let mut addresses = self.addresses.iter();
        addresses.any(|own| address::leads_to(endpoint, own)) || self.matches_name(endpoint)
    }

    fn matches_name(&self, endpoint: &EndpointAddress) -> bool {
        let EndpointAddress::Url(url) = endpoint else {
            return false;
        };
        let Some((host, port)) = address::host_and_port(url) else {
            return false;
        };
        let is_public = |url: &String| address::host_and_port(url) == Some((host.clone(), port));
        if self.public_url.as_ref().is_some_and(is_public) {
            return true;
        }
        let listens = |port: u16| {
            self.addresses.iter().any(|own| match own {
                ListenAddress::Tcp(own) => own.port() == port,
                ListenAddress::Unix(_) => false,
            })
        };
        self.names.iter().any(|own| {
            own.host() == host
                && match own.port() {
                    Some(own) => own == port,
                    // A load balancer may forward the default ports.
                    None => port == 443 || port == 80 || listens(port),
                }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mirror_is_known_by_its_addresses_names_and_public_url() {
        let own = SelfAddresses {
            addresses: vec![ListenAddress::Tcp("0.0.0.0:5000".parse().unwrap())],
            names: vec!["mirror.corp".parse().unwrap()],
            public_url: Some("http://nodes.corp:30500".to_owned()),
        };
        for (registry, is) in [
            ("127.0.0.1:5000", true),
            ("localhost:5000", true),
            ("localhost", false),
            ("mirror.corp", true),
            ("mirror.corp:5000", true),
            ("mirror.corp:5001", false),
            ("nodes.corp:30500", true),
            ("nodes.corp", false),
            ("docker.io", false),
        ] {
            assert_eq!(
                own.contains_registry(&registry.parse().unwrap()),
                is,
                "{registry}"
            );
        }
        let own = SelfAddresses {
            public_url: Some("http://nodes.corp".to_owned()),
            ..SelfAddresses::default()
        };
        for (registry, is) in [("nodes.corp", true), ("nodes.corp:443", false)] {
            assert_eq!(
                own.contains_registry(&registry.parse().unwrap()),
                is,
                "{registry}"
            );
        }
        assert!(!SelfAddresses::default().contains_registry(&"mirror.corp".parse().unwrap()));
    }
}
