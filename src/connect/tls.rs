//! TLS towards upstreams: trust that does not need a system store, and what a failure means.

use std::{
    error::Error,
    io,
    sync::{Arc, LazyLock},
};

use rustls::{
    AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore,
    SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    pki_types::{CertificateDer, ServerName, UnixTime},
};

use super::{error::ClientBuildError, transport::Transport};
use crate::tls::provider;

/// The system's trust anchors, if it has any, and those that browsers agree on. Read once: an
/// upstream may be made while a request waits.
static ROOTS: LazyLock<Arc<RootCertStore>> = LazyLock::new(|| {
    let mut roots = RootCertStore::empty();
    roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    let native = rustls_native_certs::load_native_certs();
    let (_added, _ignored) = roots.add_parsable_certificates(native.certs);
    Arc::new(roots)
});

/// For an upstream's own hosts: shows our certificate, and does not check theirs if the
/// configuration says so. Whatever else the client contacts, such as a proxy, is always checked.
pub(super) fn for_own_hosts(
    transport: &Transport,
    hosts: &[String],
) -> Result<ClientConfig, ClientBuildError> {
    let roots = roots(transport)?;
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(client_error)?;
    let builder = if transport.is_verified {
        builder.with_root_certificates(roots)
    } else {
        let unchecked = InsecureHostsVerifier {
            hosts: hosts.iter().filter_map(|host| server_name(host)).collect(),
            others: WebPkiServerVerifier::builder_with_provider(roots, provider())
                .build()
                .map_err(client_error)?,
        };
        builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(unchecked))
    };
    let config = match &transport.identity {
        Some(identity) => builder
            .with_client_auth_cert(identity.chain(), identity.key())
            .map_err(client_error)?,
        None => builder.with_no_client_auth(),
    };
    Ok(over_http1(config))
}

/// For everyone else: the same trust, no certificate of ours, and always checked.
pub(super) fn for_other_hosts(transport: &Transport) -> Result<ClientConfig, ClientBuildError> {
    let config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(client_error)?
        .with_root_certificates(roots(transport)?)
        .with_no_client_auth();
    Ok(over_http1(config))
}

/// What a failure of TLS among an error's causes means, for people.
pub(super) fn explain(cause: &(dyn Error + 'static)) -> Option<String> {
    tls_error(cause).map(describe)
}

/// What is said of our certificate, if the cause is that the other side does not take it.
pub fn client_certificate_refused(cause: &(dyn Error + 'static)) -> Option<&'static str> {
    match tls_error(cause)? {
        rustls::Error::AlertReceived(alert) if is_about_certificate(*alert) => {
            Some("it does not accept our client certificate")
        }
        _ => None,
    }
}

fn tls_error<'e>(cause: &'e (dyn Error + 'static)) -> Option<&'e rustls::Error> {
    if let Some(error) = cause.downcast_ref() {
        return Some(error);
    }
    // An I/O error passes over what it holds when it is asked for its source.
    let held = cause.downcast_ref::<io::Error>()?.get_ref()?;
    tls_error(held)
}

/// Whether an alert is about the receiver's certificate.
fn is_about_certificate(alert: AlertDescription) -> bool {
    use AlertDescription as A;
    matches!(
        alert,
        A::BadCertificate
            | A::UnsupportedCertificate
            | A::CertificateRevoked
            | A::CertificateExpired
            | A::CertificateUnknown
            | A::CertificateRequired
            | A::UnknownCA
            | A::AccessDenied
    )
}

fn describe(error: &rustls::Error) -> String {
    use rustls::Error as E;
    let text = match error {
        E::InvalidCertificate(error) => return describe_certificate(error),
        E::NoCertificatesPresented => "it shows no certificate",
        E::InvalidMessage(_) => "it does not speak TLS there",
        E::PeerIncompatible(_) => "it speaks no TLS version or cipher that we accept",
        E::AlertReceived(AlertDescription::CertificateRequired) => {
            "it demands a client certificate; set client_cert_file and client_key_file"
        }
        E::AlertReceived(alert) if is_about_certificate(*alert) => {
            "it does not accept our client certificate, or demands one"
        }
        E::AlertReceived(AlertDescription::HandshakeFailure) => {
            "it refuses the TLS handshake; perhaps it demands a client certificate"
        }
        E::AlertReceived(AlertDescription::UnrecognisedName) => {
            "it does not know the host name that we ask for"
        }
        other => return format!("TLS failed: {other}"),
    };
    text.to_owned()
}

fn describe_certificate(error: &CertificateError) -> String {
    let text = match error {
        CertificateError::UnknownIssuer => {
            "its certificate is signed by an authority that is not known; set ca_file"
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "its certificate is for another name"
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "its certificate has expired"
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "its certificate is not valid yet; is this machine's clock right?"
        }
        CertificateError::Revoked => "its certificate is revoked",
        other if other.to_string().contains("CaUsedAsEndEntity") => {
            "its certificate is an authority's (CA:TRUE), which must not identify a server"
        }
        other => return format!("its certificate is refused: {other}"),
    };
    text.to_owned()
}

/// Takes any certificate of some hosts, and only of those.
#[derive(Debug)]
struct InsecureHostsVerifier {
    hosts: Vec<ServerName<'static>>,
    others: Arc<WebPkiServerVerifier>,
}

impl ServerCertVerifier for InsecureHostsVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if self.hosts.iter().any(|host| host == server_name) {
            return Ok(ServerCertVerified::assertion());
        }
        self.others
            .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.others
            .verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.others
            .verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.others.supported_verify_schemes()
    }
}

fn roots(transport: &Transport) -> Result<Arc<RootCertStore>, ClientBuildError> {
    let authorities = transport.authorities.certificates();
    if authorities.is_empty() {
        return Ok(Arc::clone(&ROOTS));
    }
    let mut roots = RootCertStore::clone(&ROOTS);
    for authority in authorities {
        roots.add(authority.clone()).map_err(client_error)?;
    }
    Ok(Arc::new(roots))
}

/// A host of a URL as TLS names it.
fn server_name(host: &str) -> Option<ServerName<'static>> {
    let inner = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    ServerName::try_from(inner.unwrap_or(host).to_owned()).ok()
}

fn over_http1(mut config: ClientConfig) -> ClientConfig {
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "it is what map_err hands over"
)]
fn client_error(error: impl ToString) -> ClientBuildError {
    ClientBuildError(error.to_string())
}
