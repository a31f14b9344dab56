//! TLS towards nodes: what a listener shows, and how it is exchanged while it serves.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use rustls::{
    RootCertStore, ServerConfig,
    server::{NoClientAuth, NoServerSessionStorage, WebPkiClientVerifier},
};

use crate::tls::{Authorities, Identity, provider};

/// How nodes are met: our certificate, and perhaps whose certificates they must show.
#[derive(Clone, Debug)]
pub struct ListenerTls {
    identity: Identity,
    clients: Option<Authorities>,
    config: Arc<ServerConfig>,
}

/// What a listener meets new connections with; it may be exchanged at any time, and connections
/// that were met before keep what they have.
#[derive(Clone, Debug, Default)]
pub struct LiveTls(Arc<ArcSwapOption<ServerConfig>>);

impl ListenerTls {
    /// Puts the parts together; with `clients`, only who shows a certificate of theirs gets in.
    ///
    /// # Errors
    /// What the TLS library has against them.
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
            // Whoever comes back shows its certificate again: it may have ended meanwhile.
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

    /// Our certificate.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Whether nodes must show a certificate.
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
    /// Meets connections so; with nothing, in plain text.
    pub fn new(tls: Option<&ListenerTls>) -> Self {
        let door = Self::default();
        door.set(tls);
        door
    }

    /// From now on meets connections so.
    pub fn set(&self, tls: Option<&ListenerTls>) {
        self.0.store(tls.map(|tls| Arc::clone(&tls.config)));
    }

    /// How a connection is met now; nothing: in plain text.
    pub(super) fn current(&self) -> Option<Arc<ServerConfig>> {
        self.0.load_full()
    }
}
