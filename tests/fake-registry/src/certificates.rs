//! Certificate authorities for tests, and the certificates that they sign.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    date_time_ymd,
};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// A certificate authority.
#[derive(Debug)]
pub struct Authority {
    /// Its own certificate, for a `ca_file`.
    pub pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its key, in PEM.
#[derive(Debug, Clone)]
pub struct Pair {
    /// The certificate.
    pub certificate: String,
    /// Its key.
    pub key: String,
}

impl Authority {
    /// An authority of this name.
    pub fn new(name: &str) -> Self {
        let mut made = parameters(&[]);
        made.distinguished_name.push(DnType::CommonName, name);
        made.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let certificate = made.self_signed(&key).expect("a certificate");
        Self {
            pem: certificate.pem(),
            issuer: Issuer::new(made, key),
        }
    }

    /// A server's certificate for these names and addresses.
    pub fn server(&self, names: &[&str]) -> Pair {
        self.sign(parameters(names), ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// A server's certificate that has expired.
    pub fn expired_server(&self, names: &[&str]) -> Pair {
        let mut made = parameters(names);
        made.not_before = date_time_ymd(2000, 1, 1);
        made.not_after = date_time_ymd(2001, 1, 1);
        self.sign(made, ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// A client's certificate.
    pub fn client(&self, name: &str) -> Pair {
        let mut made = parameters(&[]);
        made.distinguished_name.push(DnType::CommonName, name);
        self.sign(made, ExtendedKeyUsagePurpose::ClientAuth)
    }

    fn sign(&self, mut made: CertificateParams, usage: ExtendedKeyUsagePurpose) -> Pair {
        made.extended_key_usages = vec![usage];
        let key = KeyPair::generate().expect("a key");
        let certificate = made.signed_by(&key, &self.issuer).expect("a certificate");
        Pair {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        }
    }
}

/// A client's end of TLS to this address, for a server of this name whom `ca` vouches for.
pub async fn connect(
    address: SocketAddr,
    name: &str,
    ca: &str,
    client: Option<&Pair>,
) -> io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(chain(ca));
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("a provider of all versions")
        .with_root_certificates(roots);
    let config = match client {
        None => builder.with_no_client_auth(),
        Some(pair) => builder
            .with_client_auth_cert(chain(&pair.certificate), key(pair))
            .expect("a certificate and its key"),
    };
    let name = ServerName::try_from(name.to_owned()).expect("a server's name");
    let socket = TcpStream::connect(address).await?;
    TlsConnector::from(Arc::new(config))
        .connect(name, socket)
        .await
}

fn parameters(names: &[&str]) -> CertificateParams {
    let names: Vec<_> = names.iter().map(|&name| name.to_owned()).collect();
    CertificateParams::new(names).expect("names a test can write")
}

/// HTTP/1.1 over TLS as this server.
pub(crate) fn acceptor(pair: &Pair, client_ca: Option<&str>) -> TlsAcceptor {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .expect("a provider of all versions");
    let builder = match client_ca {
        None => builder.with_no_client_auth(),
        Some(pem) => {
            let mut roots = RootCertStore::empty();
            roots.add_parsable_certificates(chain(pem));
            let verifier =
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            builder.with_client_cert_verifier(verifier.expect("an authority"))
        }
    };
    let mut config = builder
        .with_single_cert(chain(&pair.certificate), key(pair))
        .expect("a certificate and its key");
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    TlsAcceptor::from(Arc::new(config))
}

fn key(pair: &Pair) -> PrivateKeyDer<'static> {
    PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).expect("a key")
}

fn chain(pem: &str) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_slice_iter(pem.as_bytes())
        .map(|one| one.expect("a certificate"))
        .collect()
}
