//! Authorities, certificates and TLS clients for tests.

use std::io;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::*;
use crate::{
    server::ListenerTls,
    tls::{Authorities, Identity, provider},
};

pub(super) const HTTP2: &[&str] = &["h2"];
pub(super) const HTTP1: &[&str] = &["http/1.1"];
pub(super) const NO_ALPN: &[&str] = &[];

/// A certificate authority.
pub(super) struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub(super) fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        let issuer = Issuer::new(params, key);
        Self { pem, issuer }
    }

    /// A new certificate.
    pub(super) fn identity(&self) -> Identity {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["mirror".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Identity::from_pem(&certificate.pem(), &key.serialize_pem()).unwrap()
    }

    /// TLS of a listener with a new certificate; requires client certificates of `clients`.
    pub(super) fn tls(&self, clients: Option<&Self>) -> ListenerTls {
        let clients = clients.map(|clients| Authorities::from_pem(&clients.pem).unwrap());
        ListenerTls::new(self.identity(), clients).unwrap()
    }

    /// A node that trusts this authority, and perhaps has a certificate itself.
    pub(super) fn node(&self, protocols: &[&str], own: Option<&Identity>) -> Arc<ClientConfig> {
        self.node_of(rustls::DEFAULT_VERSIONS, protocols, own)
    }

    pub(super) fn node_of(
        &self,
        versions: &[&'static SupportedProtocolVersion],
        protocols: &[&str],
        own: Option<&Identity>,
    ) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        for authority in Authorities::from_pem(&self.pem).unwrap().certificates() {
            roots.add(authority.clone()).unwrap();
        }
        let node = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots);
        let mut node = match own {
            None => node.with_no_client_auth(),
            Some(own) => node.with_client_auth_cert(own.chain(), own.key()).unwrap(),
        };
        node.alpn_protocols = protocols
            .iter()
            .map(|protocol| protocol.as_bytes().to_vec())
            .collect();
        Arc::new(node)
    }
}

impl Scene {
    pub(super) async fn connect_tls(
        &self,
        node: &Arc<ClientConfig>,
    ) -> io::Result<TlsStream<TcpStream>> {
        let connector = TlsConnector::from(Arc::clone(node));
        let name = "mirror".try_into().unwrap();
        connector.connect(name, self.connect().await.0).await
    }

    /// One HTTP/1.1 request on a new connection.
    pub(super) async fn ask(&self, node: &Arc<ClientConfig>) -> io::Result<TlsResponse> {
        let mut stream = self.connect_tls(node).await?;
        stream.write_all(get_last("/").as_bytes()).await?;
        let mut text = String::new();
        timeout(DEADLINE, stream.read_to_string(&mut text)).await??;
        let (_, tls) = stream.get_ref();
        Ok(TlsResponse {
            text,
            resumed: tls.handshake_kind() == Some(rustls::HandshakeKind::Resumed),
            shown: tls.peer_certificates().unwrap()[0].to_vec(),
        })
    }
}

/// The outcome of a request.
#[derive(Debug)]
pub(super) struct TlsResponse {
    pub(super) text: String,
    pub(super) resumed: bool,
    /// The certificate that the server presented.
    pub(super) shown: Vec<u8>,
}
