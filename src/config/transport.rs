//! The keys of `[upstream."NAME"]` for connections: TLS, proxies, token services.

use super::{
    load_context::LoadContext,
    pem,
    problem::ValueError,
    reader::Section,
    report::{KeyLocation, ProblemReport},
    value::ConfigText,
};
use crate::{
    connect::{InvalidProxy, ProxySettings},
    oci::Registry,
    secret::Secret,
    upstream::{EndpointAddress, Settings},
};

/// The keys of the client certificate and of its private key.
const PAIR: [&str; 2] = ["client_cert_file", "client_key_file"];

/// Reads them into the settings.
pub(super) fn read(section: &mut Section<'_>, settings: &mut Settings, context: &LoadContext<'_>) {
    let report = section.report;
    if let Some(file) = section.string_or_unset("ca_file") {
        let authorities = pem::authorities(report, context, &file);
        settings.transport.authorities = authorities.unwrap_or_default();
    }
    let [certificate, key] = PAIR.map(|key| section.string_or_unset(key));
    settings.transport.identity = pem::identity(report, context, PAIR, certificate, key);
    settings.transport.is_verified = section.flag("tls_verify").unwrap_or(true);
    note_unverified(report, settings, &section.location);
    proxy(section, settings);
    let realms = section.strings("realms").unwrap_or_default();
    settings.realm_hosts = realms
        .iter()
        .filter_map(|text| realm(report, text))
        .collect();
    note_unused_keys(section, settings);
}

/// Notes the consequences of unverified certificates.
pub(super) fn note_unverified(
    report: &ProblemReport<'_>,
    settings: &Settings,
    location: &KeyLocation,
) {
    if !settings.transport.is_verified {
        report.note(format!(
            "{}: certificates are not verified: an attacker on the network can read its \
             credentials and replace tags",
            location.display_name()
        ));
    }
}

/// Checks the proxies of the environment, which apply to every upstream.
pub(super) fn check_environment(report: &ProblemReport<'_>, context: &LoadContext<'_>) {
    let environment = context.environment;
    for (name, proxy) in [
        ("HTTP_PROXY", &environment.http_proxy),
        ("HTTPS_PROXY", &environment.https_proxy),
    ] {
        let address = proxy
            .as_ref()
            .map(|proxy| ProxySettings::parse_url(proxy.reveal()));
        if let Some(Err(invalid)) = address {
            let error = ValueError::new(format!("in the environment: {invalid}"));
            report.problem_elsewhere(name, "…", error);
        }
    }
}

fn proxy(section: &mut Section<'_>, settings: &mut Settings) {
    let Some(text) = section.string("proxy") else {
        return;
    };
    let error = match (text.text.as_str(), ProxySettings::parse_url(&text.text)) {
        ("env", _) => return,
        ("none", _) => {
            settings.transport.proxy = ProxySettings::default();
            return;
        }
        // A word without a scheme is more likely a mistyped "none" than a proxy's name.
        (word, _) if !word.contains("://") => {
            let error = ValueError::new("a proxy must be \"env\", \"none\" or http://HOST:PORT");
            match ProxySettings::parse_url(word) {
                Ok(_) if word.contains(['.', ':']) && !word.contains('@') => {
                    error.hint(format!("did you mean \"http://{word}\"?"))
                }
                _ => error,
            }
        }
        (_, Ok(url)) if !url.username().is_empty() || url.password().is_some() => {
            ValueError::new("credentials must not be part of the proxy's URL here").hint(
                "set HTTPS_PROXY and HTTP_PROXY in the environment, where they may be, and \
                 proxy = \"env\"",
            )
        }
        (_, Ok(url)) => {
            let address = Secret::new(url.as_str());
            settings.transport.proxy = ProxySettings {
                http: Some(address.clone()),
                https: Some(address),
                no_proxy: None,
            };
            return;
        }
        (_, Err(invalid @ InvalidProxy)) => ValueError::new(invalid.to_string()),
    };
    section.report.problem(&text.location, error);
}

fn realm(report: &ProblemReport<'_>, text: &ConfigText) -> Option<String> {
    if text.text.parse::<Registry>().is_err() {
        let error = ValueError::new("a token service must be HOST or HOST:PORT");
        report.problem(&text.location, error);
        return None;
    }
    Some(text.text.to_ascii_lowercase())
}

/// Notes keys for TLS of an upstream without https:// endpoints.
fn note_unused_keys(section: &Section<'_>, settings: &Settings) {
    let is_tls = |endpoint: &EndpointAddress| matches!(endpoint, EndpointAddress::Url(url) if url.starts_with("https://"));
    if settings.endpoints.iter().any(is_tls) {
        return;
    }
    for key in ["ca_file", "client_cert_file", "tls_verify"] {
        if section.has(key) {
            let table = &section.location.key;
            section.report.note(format!(
                "{table}.{key}: this upstream has no https:// URL, so it applies only to its \
                 redirects"
            ));
        }
    }
}
