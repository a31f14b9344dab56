//! `tls_cert_file`, `tls_key_file` and `client_ca_file` of `[server]` and `[[listener]]`: how nodes
//! are met.

use super::{load_context::LoadContext, pem, problem::ValueError, reader::Section};
use crate::{
    server::ListenerTls,
    tls::{Authorities, Identity},
};

/// The certificate that is shown, and its key.
const PAIR: [&str; 2] = ["tls_cert_file", "tls_key_file"];

/// What a listener shows and asks for.
#[derive(Clone, Debug, Default)]
pub(super) struct ServerTls {
    /// Whether a certificate is named, even one that cannot be used.
    has_certificate: bool,
    identity: Option<Identity>,
    client_authorities: Option<Authorities>,
}

impl ServerTls {
    /// Reads what a table says; what it leaves out is as in `inherited`. The certificate and its
    /// key are one thing: a table that says one says both, and with "" it has neither.
    pub(super) fn read(
        section: &mut Section<'_>,
        context: &LoadContext<'_>,
        inherited: &Self,
    ) -> Self {
        let report = section.report;
        let is_own = PAIR.iter().any(|key| section.has(key));
        let [certificate, key] = PAIR.map(|key| section.string_or_unset(key));
        let named = if is_own {
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
        let clients = match section.string_or_unset("client_ca_file") {
            Some(file) if !named => {
                let what = "clients show certificates only where the listener shows one";
                pem::report_missing_pair(report, &file, what, "tls_cert_file");
                None
            }
            Some(file) => pem::authorities(report, context, &file),
            None if is_own || !named => None,
            None => inherited.client_authorities.clone(),
        };
        Self {
            has_certificate: named,
            identity,
            client_authorities: clients,
        }
    }

    /// What the server needs; nothing where nodes are met in plain text.
    pub(super) fn tls(self, section: &Section<'_>) -> Option<ListenerTls> {
        let tls = ListenerTls::new(self.identity?, self.client_authorities);
        tls.map_err(|why| {
            let location = section.location_of("tls_cert_file", None);
            section.report.problem(&location, ValueError::new(why));
        })
        .ok()
    }
}
