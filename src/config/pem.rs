//! Certificates, keys and authorities of listeners and upstreams.

use std::time::{Duration, SystemTime};

use jiff::Timestamp;

use super::{
    load_context::{FileSensitivity, LoadContext},
    problem::ValueError,
    report::{KeyLocation, ProblemReport},
    value::ConfigText,
};
use crate::{
    platform::DiagnosticCode,
    tls::{Authorities, Identity, InvalidPem, Validity},
};

/// A certificate that expires sooner gets a note.
const EXPIRES_SOON: Duration = Duration::from_hours(14 * 24);

/// Reads a certificate and its key, whose keys are `names`; `None` where both are unset.
pub(super) fn identity(
    report: &ProblemReport<'_>,
    context: &LoadContext<'_>,
    names: [&str; 2],
    certificate: Option<ConfigText>,
    key: Option<ConfigText>,
) -> Option<Identity> {
    match (certificate, key) {
        (Some(certificate), Some(key)) => read_pair(report, context, &certificate, &key),
        (Some(alone), None) => {
            report_missing_pair(report, &alone, "a certificate without its key", names[1]);
            None
        }
        (None, Some(alone)) => {
            report_missing_pair(report, &alone, "a key without its certificate", names[0]);
            None
        }
        (None, None) => None,
    }
}

/// Reads the certificates of authorities.
pub(super) fn authorities(
    report: &ProblemReport<'_>,
    context: &LoadContext<'_>,
    file: &ConfigText,
) -> Option<Authorities> {
    let pem = context.read_text(report, file, FileSensitivity::Public)?;
    parse_authorities(report, &pem, &file.location)
}

/// Parses authorities; `location` has the text, or names the file with it.
pub(super) fn parse_authorities(
    report: &ProblemReport<'_>,
    pem: &str,
    location: &KeyLocation,
) -> Option<Authorities> {
    let report_error = |invalid: InvalidPem| {
        let error = ValueError::new(invalid.to_string()).hint(CERTIFICATE_HINT);
        report.problem(location, error.code(DiagnosticCode::Authority));
    };
    Authorities::from_pem(pem).map_err(report_error).ok()
}

/// Reports a key of the configuration that requires another one.
pub(super) fn report_missing_pair(
    report: &ProblemReport<'_>,
    alone: &ConfigText,
    what: &str,
    missing: &str,
) {
    let error = ValueError::new(what);
    let error = error.hint(format!("add {missing} = \"FILE\""));
    report.problem(&alone.location, error);
}

const CERTIFICATE_HINT: &str = "a PEM file has lines such as -----BEGIN CERTIFICATE-----";
const KEY_HINT: &str = "a PEM file has one key, between lines such as -----BEGIN PRIVATE KEY-----";

fn read_pair(
    report: &ProblemReport<'_>,
    context: &LoadContext<'_>,
    certificate: &ConfigText,
    key: &ConfigText,
) -> Option<Identity> {
    // Both are read before either is checked: both are reported, and both are watched.
    let chain = context.read_text(report, certificate, FileSensitivity::Public);
    let secret = context.read_text(report, key, FileSensitivity::Secret);
    let (chain, secret) = (chain?, secret?);
    let invalid = match Identity::from_pem(&chain, &secret) {
        Ok(identity) => {
            if let Some(note) = validity_note(identity.validity(), SystemTime::now()) {
                report.note(format!(
                    "{}: the certificate {note}",
                    certificate.location.display_name()
                ));
            }
            return Some(identity);
        }
        Err(invalid) => invalid,
    };
    let chain_is_broken = Authorities::from_pem(&chain) == Err(InvalidPem::Broken);
    let (file, hint) = match invalid {
        InvalidPem::Broken if chain_is_broken => (certificate, CERTIFICATE_HINT),
        InvalidPem::NoCertificate | InvalidPem::BadCertificate => (certificate, CERTIFICATE_HINT),
        InvalidPem::EncryptedKey => (key, "openssl pkey -in FILE -out PLAIN"),
        InvalidPem::Mismatch => (
            key,
            "it must match the file's first certificate; were both files renewed together?",
        ),
        InvalidPem::NoKey | InvalidPem::BadKey | InvalidPem::Broken => (key, KEY_HINT),
    };
    let error = ValueError::new(invalid.to_string());
    report.problem(&file.location, error.hint(hint));
    None
}

/// Notes a certificate that is expired, about to expire or not valid yet. Peers notice as well, but
/// report it elsewhere.
fn validity_note(valid: Validity, now: SystemTime) -> Option<String> {
    let at = |time: SystemTime| {
        Timestamp::try_from(time).map_or_else(
            |_out_of_range| "an unknown time".to_owned(),
            |time| time.to_string(),
        )
    };
    let (start, end) = (at(valid.not_before), at(valid.not_after));
    if now > valid.not_after {
        Some(format!("expired at {end}; peers that verify it refuse it"))
    } else if now < valid.not_before {
        Some(format!(
            "is not valid before {start}; is this machine's clock right?"
        ))
    } else if now + EXPIRES_SOON > valid.not_after {
        Some(format!("expires within two weeks, at {end}"))
    } else {
        None
    }
}
