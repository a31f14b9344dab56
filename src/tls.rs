//! Certificates and keys: parses PEM text for TLS towards upstreams and towards nodes.
//!
//! Promises: an identity is complete and its parts match; an error contains no byte of a key. It
//! provides the one cryptographic provider of the crate. Called by `config`, `upstream` and
//! `server`. Never opens a file or a connection.

use std::{fmt, sync::Arc, time::SystemTime};

use rustls::{
    RootCertStore,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    sign::CertifiedKey,
};
use thiserror::Error;

/// Certificate authorities that are trusted beside the public ones.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Authorities(Arc<[CertificateDer<'static>]>);

/// A certificate with its chain and its key.
#[derive(Clone)]
pub struct Identity {
    chain: Arc<[CertificateDer<'static>]>,
    key: Arc<PrivateKeyDer<'static>>,
    valid: Validity,
}

/// When a certificate is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// The start.
    pub not_before: SystemTime,
    /// The end.
    pub not_after: SystemTime,
}

/// Why PEM text cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum InvalidPem {
    /// It contains no certificate.
    #[error("the file holds no certificate in PEM form")]
    NoCertificate,
    /// It contains no key.
    #[error("the file holds no private key in PEM form")]
    NoKey,
    /// The key is encrypted.
    #[error("the private key is encrypted; only unencrypted keys are supported")]
    EncryptedKey,
    /// The text between the PEM lines cannot be decoded.
    #[error("the file's PEM is broken")]
    Broken,
    /// A certificate cannot be parsed.
    #[error("the file holds a certificate that cannot be read")]
    BadCertificate,
    /// An unsupported kind of key.
    #[error("the private key is of a kind that is not supported")]
    BadKey,
    /// Certificate and key do not match.
    #[error("the private key does not belong to the certificate")]
    Mismatch,
}

/// The one cryptographic provider.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

impl Authorities {
    /// Parses the certificates of authorities, one after the other.
    ///
    /// # Errors
    /// See [`InvalidPem`].
    pub fn from_pem(text: &str) -> Result<Self, InvalidPem> {
        let certificates = certificates(text)?;
        let mut store = RootCertStore::empty();
        for certificate in &certificates {
            store
                .add(certificate.clone())
                .map_err(|_error| InvalidPem::BadCertificate)?;
        }
        Ok(Self(certificates.into()))
    }

    /// The certificates.
    pub fn certificates(&self) -> &[CertificateDer<'static>] {
        &self.0
    }
}

impl Identity {
    /// Parses a certificate with its chain, and its key.
    ///
    /// # Errors
    /// See [`InvalidPem`].
    pub fn from_pem(chain: &str, key: &str) -> Result<Self, InvalidPem> {
        let chain = certificates(chain)?;
        if key.contains("ENCRYPTED") {
            return Err(InvalidPem::EncryptedKey);
        }
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|error| match error {
            rustls::pki_types::pem::Error::NoItemsFound => InvalidPem::NoKey,
            _ => InvalidPem::Broken,
        })?;
        let valid = validity(chain.first().ok_or(InvalidPem::NoCertificate)?)?;
        match CertifiedKey::from_der(chain.clone(), key.clone_key(), &provider()) {
            Ok(_pair) => Ok(Self {
                chain: chain.into(),
                key: Arc::new(key),
                valid,
            }),
            Err(rustls::Error::InconsistentKeys(_)) => Err(InvalidPem::Mismatch),
            Err(rustls::Error::InvalidCertificate(_)) => Err(InvalidPem::BadCertificate),
            Err(_unsupported) => Err(InvalidPem::BadKey),
        }
    }

    /// The certificate, then the rest of its chain.
    pub fn chain(&self) -> Vec<CertificateDer<'static>> {
        self.chain.to_vec()
    }

    /// The key, for the TLS library alone.
    pub fn key(&self) -> PrivateKeyDer<'static> {
        self.key.clone_key()
    }

    /// When the certificate is valid.
    pub fn validity(&self) -> Validity {
        self.valid
    }
}

impl PartialEq for Identity {
    fn eq(&self, other: &Self) -> bool {
        self.chain == other.chain && self.key == other.key
    }
}

impl Eq for Identity {}

impl fmt::Debug for Identity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Identity").finish_non_exhaustive()
    }
}

impl fmt::Debug for Authorities {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_tuple("Authorities")
            .field(&self.0.len())
            .finish()
    }
}

fn certificates(text: &str) -> Result<Vec<CertificateDer<'static>>, InvalidPem> {
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(text.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|_error| InvalidPem::Broken)?;
    if certificates.is_empty() {
        return Err(InvalidPem::NoCertificate);
    }
    Ok(certificates)
}

fn validity(certificate: &CertificateDer<'_>) -> Result<Validity, InvalidPem> {
    let (_rest, read) = x509_parser::parse_x509_certificate(certificate)
        .map_err(|_error| InvalidPem::BadCertificate)?;
    let valid = read.validity();
    Ok(Validity {
        not_before: valid.not_before.to_datetime().into(),
        not_after: valid.not_after.to_datetime().into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (String, String) {
        let made = rcgen::generate_simple_self_signed(["a.example".to_owned()]).unwrap();
        (made.cert.pem(), made.signing_key.serialize_pem())
    }

    #[test]
    fn b124_certificates_and_keys_fit_or_say_why_not() {
        let ((chain, key), (_, other)) = (pair(), pair());
        let identity = Identity::from_pem(&chain, &key).unwrap();
        assert!(identity.validity().not_after > SystemTime::now());
        assert!(Authorities::from_pem(&chain).is_ok());
        let sealed = key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
        let half: String = chain.chars().take(chain.len() / 2).collect();
        for (chain, key, why) in [
            (&String::new(), &key, InvalidPem::NoCertificate),
            (&half, &key, InvalidPem::Broken),
            (&chain, &String::new(), InvalidPem::NoKey),
            (&chain, &chain, InvalidPem::NoKey),
            (&chain, &sealed, InvalidPem::EncryptedKey),
            (&chain, &other, InvalidPem::Mismatch),
        ] {
            assert_eq!(Identity::from_pem(chain, key).unwrap_err(), why);
        }
    }
}
