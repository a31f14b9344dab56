//! TLS of listeners, which a reload replaces while they serve.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use rustls::{
    RootCertStore, ServerConfig,
    server::{NoClientAuth, NoServerSessionStorage, WebPkiClientVerifier},
};

use crate::tls::{Authorities, Identity, provider};

/// TLS of a listener: its certificate, and perhaps the authorities of client certificates.
#[derive(Clone, Debug)]
pub struct ListenerTls {
    identity: Identity,
    clients: Option<Authorities>,
    config: Arc<ServerConfig>,
}

/// The TLS configuration of new connections; replaced at any time, while open connections keep
/// theirs.
#[derive(Clone, Debug, Default)]
pub struct LiveTls(Arc<ArcSwapOption<ServerConfig>>);

impl ListenerTls {
    /// Builds the configuration; with `clients`, a client certificate signed by them is required.
    ///
    /// # Errors
    /// What rustls refuses.
    pub fn new(identity: Identity, clients: Option<Authorities>) -> Result<Self, String> {
        let provider = provider();
        let verifier = match &clients {
            None => Arc::new(NoClientAuth),
            Some(authorities) => {
                let mut roots = RootCertStore::empty();
                roots.add_parsable_certificates(authorities.certificates().iter().cloned());
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
                    .build()
                    .map_err(|error| error.to_string())?
            }
        };
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_client_cert_verifier(verifier)
            .with_single_cert(identity.chain(), identity.key())
            .map_err(|error| error.to_string())?;
        if clients.is_some() {
            // A resumed session must present its certificate again: it may have expired.
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
        }
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self {
            identity,
            clients,
            config: Arc::new(config),
        })
    }

    /// The server's certificate.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Whether clients must present a certificate.
    pub fn requires_client_certificate(&self) -> bool {
        self.clients.is_some()
    }
}

impl PartialEq for ListenerTls {
    fn eq(&self, other: &Self) -> bool {
        self.identity == other.identity && self.clients == other.clients
    }
}

impl Eq for ListenerTls {}

impl LiveTls {
    /// Starts with `tls`; plain text with `None`.
    pub fn new(tls: Option<&ListenerTls>) -> Self {
        let live = Self::default();
        live.set(tls);
        live
    }

    /// Replaces the TLS configuration of new connections.
    pub fn set(&self, tls: Option<&ListenerTls>) {
        self.0.store(tls.map(|tls| Arc::clone(&tls.config)));
    }

    /// The configuration of a new connection; plain text if `None`.
    pub(super) fn current(&self) -> Option<Arc<ServerConfig>> {
        self.0.load_full()
    }
}
