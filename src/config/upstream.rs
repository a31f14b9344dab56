//! `[upstream."NAME"]`: registries that need more settings than their name.

use std::ops::RangeInclusive;

use super::{
    address,
    credential::{self, ConfiguredCredentials},
    import::Located,
    limits::{LimitsTable, Timeouts},
    load_context::LoadContext,
    pem,
    problem::ValueError,
    reader::Section,
    report::{KeyLocation, ProblemReport},
    transport,
    value::ConfigText,
};
use crate::{
    oci::{Registry, UpstreamName},
    platform::{self, CertificateAuthority, DiagnosticCode},
    route::RefusalPolicy,
    upstream::{Access, Keyring, Settings, UpstreamDefaults},
};

/// Bounds of `concurrent_max`.
const CONCURRENT: RangeInclusive<usize> = 1..=1_024;

/// One table, and where it is written.
#[derive(Debug)]
pub(super) struct ConfiguredUpstream {
    pub(super) settings: Settings,
    pub(super) refused: RefusalPolicy,
    pub(super) location: KeyLocation,
    /// Where each endpoint is written.
    pub(super) endpoint_locations: Vec<KeyLocation>,
}

/// The defaults of every upstream, configured or not.
pub(super) fn defaults(
    limits: &LimitsTable,
    timeouts: &Timeouts,
    keyring: Keyring,
    context: &LoadContext<'_>,
) -> UpstreamDefaults {
    UpstreamDefaults {
        connect_max: timeouts.connect,
        progress_max: timeouts.progress,
        manifest_bytes_max: limits.manifest_bytes_max,
        keyring,
        proxy: context.environment.proxy(),
        ..UpstreamDefaults::default()
    }
}

/// The canonical name of an upstream: hosts are spelled as in references.
pub(super) fn canonical(name: &str) -> Option<UpstreamName> {
    match name.parse::<Registry>() {
        Ok(registry) if Registry::looks_like(name) => registry.as_str().parse().ok(),
        _ => name.parse().ok(),
    }
}

/// Reads every table.
pub(super) fn read(
    root: &mut Section<'_>,
    defaults: &UpstreamDefaults,
    credentials: &ConfiguredCredentials,
    context: &LoadContext<'_>,
) -> Vec<ConfiguredUpstream> {
    let report = root.report;
    let mut read: Vec<ConfiguredUpstream> = Vec::new();
    for (name, section) in root.section("upstream").named_sections() {
        if let Some(rest) = section.cut_name() {
            let error = ValueError::new("put a name with dots in quotes");
            let hint = format!("write [upstream.\"{name}{rest}\"]");
            report.problem(&section.location, error.hint(hint));
            continue;
        }
        let Some(name) = canonical(&name) else {
            let invalid = crate::oci::InvalidUpstreamName;
            report.problem(&section.location, ValueError::new(invalid.to_string()));
            continue;
        };
        if let Some(other) = read.iter().find(|other| other.settings.name == name) {
            let other = &other.location.key;
            let error = ValueError::new(format!("{other} names the same registry, {name}"));
            report.problem(&section.location, error);
        }
        read.push(from_table(
            section,
            defaults.for_host(&name),
            credentials,
            context,
        ));
    }
    read
}

/// Adds imported upstreams; a table of the configuration takes precedence over those of its name.
pub(super) fn import(
    report: &ProblemReport<'_>,
    read: &mut Vec<ConfiguredUpstream>,
    imported: &[Located<platform::ImportedUpstream>],
    defaults: &UpstreamDefaults,
    context: &LoadContext<'_>,
) {
    let mut known: Vec<(UpstreamName, &Located<platform::ImportedUpstream>)> = Vec::new();
    for found in imported {
        let (one, location) = found;
        let name = canonical(one.name.as_str()).unwrap_or_else(|| one.name.clone());
        let is_configured = |other: &&ConfiguredUpstream| {
            other.settings.name == name && other.location.imported.is_none()
        };
        if let Some(other) = read.iter().find(is_configured) {
            let (name, key) = (location.display_name(), &other.location.key);
            report.note(format!("{name}: not used: {key} takes precedence"));
        } else if let Some((_, (other, first))) = known.iter().find(|(other, _)| *other == name) {
            let is_same = platform::ImportedUpstream {
                location: one.location.clone(),
                ..other.clone()
            } == *one;
            if !is_same {
                let first = first.display_name();
                let reason = format!("{name} has other settings in {first}");
                let error = ValueError::new(reason).code(DiagnosticCode::Duplicate);
                let hint = format!("write [upstream.\"{name}\"], which overrides both");
                report.problem(location, error.hint(hint));
            }
        } else {
            read.push(from_import(
                report,
                defaults.for_host(&name),
                found,
                defaults,
                context,
            ));
            known.push((name, found));
        }
    }
}

fn from_import(
    report: &ProblemReport<'_>,
    mut settings: Settings,
    (one, location): &Located<platform::ImportedUpstream>,
    defaults: &UpstreamDefaults,
    context: &LoadContext<'_>,
) -> ConfiguredUpstream {
    let text = |text: &String| ConfigText {
        text: text.clone(),
        location: location.clone(),
    };
    let endpoint_locations = if one.urls.is_empty() {
        require_host(report, location, &settings.name);
        vec![location.clone()]
    } else {
        let mut urls = one.urls.clone();
        urls.dedup();
        read_endpoints(report, &mut settings, urls.iter().map(text).collect())
    };
    if let Some(path) = &one.api_path {
        match api_path(path) {
            Ok(path) => settings.api_path = path,
            Err(error) => report.problem(location, error.code(DiagnosticCode::Value)),
        }
    }
    settings.send_ns = one.send_ns;
    let authorities = match &one.ca {
        None => None,
        Some(CertificateAuthority::File(path)) => pem::authorities(report, context, &text(path)),
        Some(CertificateAuthority::Pem(pem)) => pem::parse_authorities(report, pem, location),
    };
    settings.transport.authorities = authorities.unwrap_or_default();
    if let Some((certificate, key)) = &one.client {
        let (certificate, key) = (Some(text(certificate)), Some(text(key)));
        let names = ["certificate", "key"];
        settings.transport.identity = pem::identity(report, context, names, certificate, key);
    }
    settings.transport.is_verified = one.is_verified;
    transport::note_unverified(report, &settings, location);
    settings.select_credentials(&defaults.keyring, None);
    settings.access = default_access(&settings);
    ConfiguredUpstream {
        settings,
        refused: RefusalPolicy::default(),
        location: location.clone(),
        endpoint_locations,
    }
}

fn from_table(
    mut section: Section<'_>,
    mut settings: Settings,
    credentials: &ConfiguredCredentials,
    context: &LoadContext<'_>,
) -> ConfiguredUpstream {
    let report = section.report;
    let endpoint_locations = endpoints(&mut section, &mut settings);
    settings.api_path = section
        .parse("api_path", api_path)
        .unwrap_or(settings.api_path);
    settings.send_ns = section.flag("send_ns").unwrap_or(false);
    transport::read(&mut section, &mut settings, context);
    let own = credential::short_form(&mut section, &settings.name, credentials, context);
    settings.select_credentials(&credentials.keyring, own);
    settings.access = access(&mut section, &settings);
    let refused = section.choice("refused", &REFUSED).unwrap_or_default();
    let redirects = section.strings("redirects").unwrap_or_default();
    settings.redirect_hosts = redirects
        .iter()
        .filter_map(|text| redirect(report, text))
        .collect();
    let concurrent_max = section.integer("concurrent_max", &CONCURRENT);
    settings.concurrent_max = concurrent_max.unwrap_or(settings.concurrent_max);
    let location = section.location.clone();
    section.finish();
    ConfiguredUpstream {
        settings,
        refused,
        location,
        endpoint_locations,
    }
}

/// The words of `refused`, here and in a route's targets.
pub(super) const REFUSED: [(&str, RefusalPolicy); 3] = [
    ("auto", RefusalPolicy::Auto),
    ("next", RefusalPolicy::Next),
    ("stop", RefusalPolicy::Stop),
];

fn endpoints(section: &mut Section<'_>, settings: &mut Settings) -> Vec<KeyLocation> {
    let report = section.report;
    let Some(texts) = section.strings("url") else {
        if !section.has("url") {
            require_host(report, &section.location, &settings.name);
        }
        return vec![section.location.clone()];
    };
    if texts.is_empty() {
        let error = ValueError::new("at least one address is required");
        report.problem(&section.location_of("url", None), error);
    }
    read_endpoints(report, settings, texts)
}

fn require_host(report: &ProblemReport<'_>, location: &KeyLocation, name: &UpstreamName) {
    if !Registry::looks_like(name.as_str()) {
        let error = ValueError::new(format!("\"{name}\" is not a host, so it needs a url"));
        let error = error.hint("add url = \"https://HOST\"");
        report.problem(location, error.code(DiagnosticCode::Value));
    }
}

/// Reads the addresses; returns the locations of the valid ones.
fn read_endpoints(
    report: &ProblemReport<'_>,
    settings: &mut Settings,
    texts: Vec<ConfigText>,
) -> Vec<KeyLocation> {
    let mut locations = Vec::new();
    settings.endpoints.clear();
    for text in texts {
        match address::parse_endpoint(&text.text) {
            Ok(endpoint) if settings.endpoints.contains(&endpoint) => {
                report.problem(
                    &text.location,
                    ValueError::new("this address is listed twice"),
                );
            }
            Ok(endpoint) => {
                settings.endpoints.push(endpoint);
                locations.push(text.location);
            }
            Err(error) => report.problem(&text.location, error.code(DiagnosticCode::Value)),
        }
    }
    locations
}

fn access(section: &mut Section<'_>, settings: &Settings) -> Access {
    let has_credentials = settings.has_credentials();
    let words = [
        ("public", Some(Access::Public)),
        ("shared", Some(Access::Shared)),
        ("per-client", None),
    ];
    match section.choice("access", &words) {
        Some(Some(access)) => {
            if has_credentials && access == Access::Public {
                section.report.note(format!(
                    "{}: content pulled with its credentials is public here: every client that \
                     reaches a listener gets it, under any name",
                    section.location.key
                ));
            }
            access
        }
        Some(None) => {
            let error = ValueError::new("\"per-client\" is not implemented yet");
            let error = error.hint("\"shared\" serves every client that the listener admits");
            section
                .report
                .problem(&section.location_of("access", None), error);
            Access::Shared
        }
        None => default_access(settings),
    }
}

fn default_access(settings: &Settings) -> Access {
    if settings.has_credentials() {
        Access::Shared
    } else {
        Access::Public
    }
}

fn redirect(report: &ProblemReport<'_>, text: &ConfigText) -> Option<String> {
    if text.text.parse::<Registry>().is_err() {
        let error = ValueError::new("a host must be HOST or HOST:PORT");
        report.problem(&text.location, error);
        return None;
    }
    Some(text.text.to_ascii_lowercase())
}

fn api_path(text: &str) -> Result<String, ValueError> {
    let sound = |byte: u8| byte.is_ascii_alphanumeric() || b"/._~-".contains(&byte);
    let elements = text.strip_prefix('/').map(|rest| rest.split('/'));
    let named = |element: &str| !element.is_empty() && element != "." && element != "..";
    let is_path = text.bytes().all(sound) && elements.is_some_and(|mut some| some.all(named));
    // A single slash: repositories at the root, as of mirrors that nodes use without /v2.
    if is_path || text == "/" {
        return Ok(text.to_owned());
    }
    Err(ValueError::new(
        "a path must begin with / and must not end with /, such as /v2",
    ))
}
