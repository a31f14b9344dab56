//! `tls_cert_file`, `tls_key_file` and `client_ca_file` of `[server]` and `[[listener]]`: TLS of
//! listeners.

use super::{load_context::LoadContext, pem, problem::ValueError, reader::Section};
use crate::{
    server::ListenerTls,
    tls::{Authorities, Identity},
};

/// The keys of the certificate and of its private key.
const PAIR: [&str; 2] = ["tls_cert_file", "tls_key_file"];

/// A listener's certificate and client authorities.
#[derive(Clone, Debug, Default)]
pub(super) struct ServerTls {
    /// Whether a certificate is configured, even an unusable one.
    has_certificate: bool,
    identity: Option<Identity>,
    client_authorities: Option<Authorities>,
}

impl ServerTls {
    /// Reads a table; what it omits is inherited. The certificate and its key are inherited
    /// together: a table with either key has its own pair, and with "" it has none.
    pub(super) fn read(
        section: &mut Section<'_>,
        context: &LoadContext<'_>,
        inherited: &Self,
    ) -> Self {
        let report = section.report;
        let is_own = PAIR.iter().any(|key| section.has(key));
        let [certificate, key] = PAIR.map(|key| section.string_or_unset(key));
        let has_certificate = if is_own {
            certificate.is_some() || key.is_some()
        } else {
            inherited.has_certificate
        };
        let identity = if is_own {
            pem::identity(report, context, PAIR, certificate, key)
        } else {
            inherited.identity.clone()
        };
        let is_own = section.has("client_ca_file");
        let client_authorities = match section.string_or_unset("client_ca_file") {
            Some(file) if !has_certificate => {
                let what = "client certificates require a certificate of the listener";
                pem::report_missing_pair(report, &file, what, "tls_cert_file");
                None
            }
            Some(file) => pem::authorities(report, context, &file),
            None if is_own || !has_certificate => None,
            None => inherited.client_authorities.clone(),
        };
        Self {
            has_certificate,
            identity,
            client_authorities,
        }
    }

    /// The server's configuration; `None` for plain text.
    pub(super) fn tls(self, section: &Section<'_>) -> Option<ListenerTls> {
        let tls = ListenerTls::new(self.identity?, self.client_authorities);
        tls.map_err(|why| {
            let location = section.location_of("tls_cert_file", None);
            section.report.problem(&location, ValueError::new(why));
        })
        .ok()
    }
}
