//! `[upstream."NAME"]`: the registries that need more than their name.

use std::{io, ops::RangeInclusive, path::Path};

use thiserror::Error;

use super::{
    address,
    limits::{Limits, Timeouts},
    problem::Complaint,
    reader::Section,
    report::{Report, Spot},
    value::Text,
};
use crate::{
    oci::{Registry, UpstreamName},
    route::Refused,
    secret::Secret,
    upstream::{Access, Credentials, Defaults, Settings},
};

/// Bounds of `concurrent_max`.
const CONCURRENT: RangeInclusive<usize> = 1..=1_024;

/// The bits of a file's mode that let people read it who are neither its owner nor of its group.
const READABLE_BY_ALL: u32 = 0o004;

/// Everyone on the machine can read a file that holds a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("everyone on this machine can read the file (mode {mode:03o})")]
pub struct ReadableByAll {
    /// The file's permissions.
    pub mode: u32,
}

/// Refuses the mode of a file that holds a secret, for the closure that reads it.
pub fn admit_secret_mode(mode: u32) -> io::Result<()> {
    if mode & READABLE_BY_ALL == 0 {
        return Ok(());
    }
    Err(io::Error::other(ReadableByAll { mode: mode & 0o777 }))
}

/// Reads a file that holds a secret.
pub(super) type Files<'f> = &'f dyn Fn(&Path) -> io::Result<String>;

/// One table and where it stands.
#[derive(Debug)]
pub(super) struct Configured {
    pub(super) settings: Settings,
    pub(super) refused: Refused,
    pub(super) spot: Spot,
    /// Where each endpoint is written.
    pub(super) endpoint_spots: Vec<Spot>,
}

/// What holds for every upstream, configured or not.
pub(super) fn defaults(limits: &Limits, timeouts: &Timeouts) -> Defaults {
    Defaults {
        connect_max: timeouts.connect,
        progress_max: timeouts.progress,
        manifest_bytes_max: limits.manifest_bytes_max,
        ..Defaults::default()
    }
}

/// An upstream's name as routes know it: hosts in the one spelling that references use.
pub(super) fn canonical(name: &str) -> Option<UpstreamName> {
    match name.parse::<Registry>() {
        Ok(registry) if Registry::looks_like(name) => registry.as_str().parse().ok(),
        _ => name.parse().ok(),
    }
}

/// Reads every table.
pub(super) fn read(
    root: &mut Section<'_>,
    defaults: &Defaults,
    files: Files<'_>,
) -> Vec<Configured> {
    let report = root.report;
    let mut read: Vec<Configured> = Vec::new();
    for (name, section) in root.section("upstream").named_sections() {
        if let Some(rest) = section.cut_name() {
            let complaint = Complaint::new("a name with dots stands in quotes");
            let hint = format!("write [upstream.\"{name}{rest}\"]");
            report.problem(&section.spot, complaint.hint(hint));
            continue;
        }
        let Some(name) = canonical(&name) else {
            let invalid = crate::oci::InvalidUpstreamName;
            report.problem(&section.spot, Complaint::new(invalid.to_string()));
            continue;
        };
        if let Some(other) = read.iter().find(|other| other.settings.name == name) {
            let other = &other.spot.key;
            let complaint = Complaint::new(format!("{other} names the same registry, {name}"));
            report.problem(&section.spot, complaint);
        }
        read.push(one(section, defaults.for_host(&name), files));
    }
    read
}

fn one(mut section: Section<'_>, mut settings: Settings, files: Files<'_>) -> Configured {
    let report = section.report;
    let endpoint_spots = endpoints(&mut section, &mut settings);
    settings.api_path = section
        .parsed("api_path", api_path)
        .unwrap_or(settings.api_path);
    settings.send_ns = section.flag("send_ns").unwrap_or(false);
    settings.credentials = credentials(&mut section, files).unwrap_or_default();
    settings.access = access(&mut section, &settings.credentials);
    let refused = section.choice("refused", &REFUSED).unwrap_or_default();
    let redirects = section.strings("redirects").unwrap_or_default();
    settings.redirects = redirects
        .iter()
        .filter_map(|text| redirect(report, text))
        .collect();
    let concurrent_max = section.integer("concurrent_max", &CONCURRENT);
    settings.concurrent_max = concurrent_max.unwrap_or(settings.concurrent_max);
    let spot = section.spot.clone();
    section.finish();
    Configured {
        settings,
        refused,
        spot,
        endpoint_spots,
    }
}

/// The words of `refused`, here and in a route's targets.
pub(super) const REFUSED: [(&str, Refused); 3] = [
    ("auto", Refused::Auto),
    ("next", Refused::Next),
    ("stop", Refused::Stop),
];

fn endpoints(section: &mut Section<'_>, settings: &mut Settings) -> Vec<Spot> {
    let report = section.report;
    let name = settings.name.as_str();
    let Some(texts) = section.strings("url") else {
        if !section.has("url") && !Registry::looks_like(name) {
            let complaint = Complaint::new(format!("\"{name}\" is no host, so it needs a url"));
            report.problem(&section.spot, complaint.hint("add url = \"https://HOST\""));
        }
        return vec![section.spot.clone()];
    };
    if texts.is_empty() {
        let complaint = Complaint::new("at least one address is needed");
        report.problem(&section.spot_of("url", None), complaint);
    }
    let mut spots = Vec::new();
    settings.endpoints.clear();
    for text in texts {
        match address::endpoint(&text.text) {
            Ok(endpoint) if settings.endpoints.contains(&endpoint) => {
                report.problem(&text.spot, Complaint::new("this address is listed twice"));
            }
            Ok(endpoint) => {
                settings.endpoints.push(endpoint);
                spots.push(text.spot);
            }
            Err(complaint) => report.problem(&text.spot, complaint),
        }
    }
    spots
}

fn access(section: &mut Section<'_>, credentials: &Credentials) -> Access {
    let logs_in = matches!(credentials, Credentials::Basic { .. });
    let words = [
        ("public", Some(Access::Public)),
        ("shared", Some(Access::Shared)),
        ("per-client", None),
    ];
    match section.choice("access", &words) {
        Some(Some(access)) => {
            if logs_in && access == Access::Public {
                section.report.note(format!(
                    "{}: what is pulled with its credentials is public here: everyone who reaches \
                     a listener gets it, under any name",
                    section.spot.key
                ));
            }
            access
        }
        Some(None) => {
            let complaint = Complaint::new("\"per-client\" is not built yet");
            let complaint = complaint.hint("\"shared\" admits whoever the listener admits");
            section
                .report
                .problem(&section.spot_of("access", None), complaint);
            Access::Shared
        }
        None if logs_in => Access::Shared,
        None => Access::Public,
    }
}

fn credentials(section: &mut Section<'_>, files: Files<'_>) -> Option<Credentials> {
    let report = section.report;
    let username = section.string_or_unset("username");
    let file = section.string("password_file");
    let is_unset = file.as_ref().is_none_or(|file| file.text.is_empty());
    let (username, file) = match (username, file) {
        (Some(username), Some(file)) if !is_unset => (username, file),
        (Some(username), file) => {
            if file.is_some() || !section.has("password_file") {
                let complaint = Complaint::new("a user name without a password");
                let complaint = complaint.hint("add password_file = \"FILE\" beside it");
                report.problem(&username.spot, complaint);
            }
            return None;
        }
        (None, Some(file)) if !is_unset => {
            if !section.has("username") {
                let complaint = Complaint::new("a password without a user name");
                report.problem(&file.spot, complaint.hint("add username = \"…\" beside it"));
            }
            return None;
        }
        (None, _) => return None,
    };
    if username
        .text
        .contains(|character: char| character == ':' || character.is_control())
    {
        let complaint = Complaint::new("a user name holds no colon and no control characters");
        report.problem(&username.spot, complaint);
    }
    match password(&file.text, files) {
        Ok(password) => Some(Credentials::Basic {
            username: username.text,
            password,
        }),
        Err(complaint) => {
            report.problem(&file.spot, complaint);
            None
        }
    }
}

/// The file's one line, without its end.
fn password(path: &str, files: Files<'_>) -> Result<Secret, Complaint> {
    let text = files(Path::new(path)).map_err(|error| {
        let open = error
            .get_ref()
            .is_some_and(<dyn std::error::Error + Send + Sync>::is::<ReadableByAll>);
        let complaint = Complaint::new(format!("the file cannot be used: {error}"));
        if open {
            complaint.hint("chmod 600 FILE; in Kubernetes, defaultMode: 0440 on the volume")
        } else {
            complaint
        }
    })?;
    let line = text.strip_suffix('\n').unwrap_or(&text);
    let line = line.strip_suffix('\r').unwrap_or(line);
    if line.is_empty() {
        return Err(Complaint::new("the file is empty"));
    }
    if line.contains(char::is_control) {
        return Err(Complaint::new("the file holds more than one line of text"));
    }
    Ok(Secret::new(line))
}

fn redirect(report: &Report<'_>, text: &Text) -> Option<String> {
    if text.text.parse::<Registry>().is_err() {
        let complaint = Complaint::new("a host is written HOST or HOST:PORT");
        report.problem(&text.spot, complaint);
        return None;
    }
    Some(text.text.to_ascii_lowercase())
}

fn api_path(text: &str) -> Result<String, Complaint> {
    let sound = |byte: u8| byte.is_ascii_alphanumeric() || b"/._~-".contains(&byte);
    let elements = text.strip_prefix('/').map(|rest| rest.split('/'));
    let named = |element: &str| !element.is_empty() && element != "." && element != "..";
    if text.bytes().all(sound) && elements.is_some_and(|mut elements| elements.all(named)) {
        return Ok(text.to_owned());
    }
    Err(Complaint::new(
        "a path begins with / and has no / at its end, such as /v2",
    ))
}
