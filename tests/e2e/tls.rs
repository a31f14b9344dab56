//! The client of `http` over TLS, with certificates of the scene's own.

use std::{
    io,
    net::{SocketAddr, TcpStream},
    sync::Arc,
};

use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
};

use super::{
    certificates::{Authority, Pair},
    http::{self, Line, Reply},
};

/// Trusts one authority, and may have a certificate of its own.
#[derive(Clone)]
pub(crate) struct Caller(Arc<ClientConfig>);

impl Caller {
    pub(crate) fn new(authority: &Authority, pair: Option<&Pair>) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(certificate(&authority.pem)).unwrap();
        let config = ClientConfig::builder_with_provider(aws_lc_rs::default_provider().into())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        Self(Arc::new(match pair {
            None => config.with_no_client_auth(),
            Some(pair) => {
                let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).unwrap();
                let chain = vec![certificate(&pair.certificate)];
                config.with_client_auth_cert(chain, key).unwrap()
            }
        }))
    }

    /// One request on a connection of its own.
    pub(crate) fn get(&self, address: SocketAddr, target: &str) -> io::Result<Reply> {
        let stream = self.connect(address)?;
        let line = Line {
            method: "GET",
            target,
            host: &address.to_string(),
        };
        http::talk(stream, &line, &[], None)
    }

    /// The certificate that the peer shows now.
    pub(crate) fn shown(&self, address: SocketAddr) -> io::Result<CertificateDer<'static>> {
        let stream = self.connect(address)?;
        let chain = stream.conn.peer_certificates().unwrap_or_default();
        Ok(chain.first().unwrap().clone().into_owned())
    }

    fn connect(&self, address: SocketAddr) -> io::Result<StreamOwned<ClientConnection, TcpStream>> {
        let name = ServerName::from(address.ip());
        let connection = ClientConnection::new(Arc::clone(&self.0), name).unwrap();
        let stream = http::connect(address)?;
        let mut stream = StreamOwned::new(connection, stream);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        Ok(stream)
    }
}

pub(crate) fn certificate(pem: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()
}
