//! Authorities, and the certificates they sign, made anew for each scene.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

/// Nobody else may read a key.
const SECRET_MODE: u32 = 0o600;

/// Somebody who signs certificates.
pub(crate) struct Authority {
    pub(crate) pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its key as PEM.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Pair {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

/// Where a pair lies.
#[derive(Clone)]
pub(crate) struct PairFiles {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = named(&[], name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        Self {
            pem: params.self_signed(&key).unwrap().pem(),
            issuer: Issuer::new(params, key),
        }
    }

    /// A new pair for whoever is called so: host names and addresses, or none for a client.
    pub(crate) fn issue(&self, hosts: &[&str]) -> Pair {
        let key = KeyPair::generate().unwrap();
        let signed = named(hosts, "scene").signed_by(&key, &self.issuer).unwrap();
        Pair {
            certificate: signed.pem(),
            key: key.serialize_pem(),
        }
    }

    /// Writes the authority's own certificate.
    pub(crate) fn write(&self, folder: &Path, name: &str) -> PathBuf {
        let file = folder.join(name);
        fs::write(&file, &self.pem).unwrap();
        file
    }
}

impl Pair {
    /// Writes `NAME.crt` and `NAME.key`, one after the other.
    pub(crate) fn write(&self, folder: &Path, name: &str) -> PairFiles {
        let files = PairFiles {
            certificate: folder.join(format!("{name}.crt")),
            key: folder.join(format!("{name}.key")),
        };
        fs::write(&files.certificate, &self.certificate).unwrap();
        write_secret(&files.key, &self.key);
        files
    }
}

impl PairFiles {
    /// The lines that make a listener show this pair.
    pub(crate) fn listener(&self) -> String {
        format!(
            "tls_cert_file = \"{}\"\ntls_key_file = \"{}\"\n",
            self.certificate.display(),
            self.key.display()
        )
    }
}

/// Writes a file that only we may read.
pub(crate) fn write_secret(file: &Path, text: &str) {
    if !file.exists() {
        fs::write(file, "").unwrap();
        fs::set_permissions(file, fs::Permissions::from_mode(SECRET_MODE)).unwrap();
    }
    fs::write(file, text).unwrap();
}

fn named(hosts: &[&str], name: &str) -> CertificateParams {
    let hosts: Vec<String> = hosts.iter().map(|&host| host.to_owned()).collect();
    let mut params = CertificateParams::new(hosts).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}
