//! `[[credential]]` and `[credentials]`: every login, and what it is for.

use std::collections::HashMap;

use super::{
    import::Located,
    load_context::{FileSensitivity, LoadContext},
    problem::ValueError,
    reader::Section,
    report::{KeyLocation, ProblemReport},
    value::ConfigText,
};
use crate::{
    oci::UpstreamName,
    platform::{self, DiagnosticCode, ImportedCredentials},
    secret::Secret,
    upstream::{Credential, CredentialScope, CredentialSource, Keyring, KeyringEntry},
};

/// Everything that was read.
#[derive(Debug)]
pub(super) struct ConfiguredCredentials {
    pub(super) keyring: Keyring,
    pub(super) scopes: Vec<LocatedScope>,
}

/// What one `[[credential]]` is for, and where it says so.
#[derive(Debug)]
pub(super) struct LocatedScope {
    pub(super) scope: CredentialScope,
    pub(super) location: KeyLocation,
}

/// The keys of a `[[credential]]` that say where the login comes from.
const SOURCES: [&str; 3] = ["password_file", "token_file", "helper"];

/// Reads both; what is written here comes before what stands in other programs' files, and of those
/// the `imported` come first.
pub(super) fn read(
    root: &mut Section<'_>,
    imported: &[Located<ImportedCredentials>],
    around: &LoadContext<'_>,
) -> ConfiguredCredentials {
    let mut written: Vec<LocatedScope> = Vec::new();
    let mut entries = Vec::new();
    for mut section in root.sections("credential") {
        let place = scope(&mut section, &written);
        let source = source(&mut section, place.as_ref(), around);
        if let Some(place) = place {
            let spot = section.location_of("for", None);
            entries.extend(source.map(|source| KeyringEntry {
                scope: place.clone(),
                source,
            }));
            written.push(LocatedScope {
                scope: place,
                location: spot,
            });
        }
        section.finish();
    }
    let mut known: HashMap<CredentialScope, usize> = HashMap::new();
    for (at, other) in written.iter().enumerate().rev() {
        known.insert(other.scope.clone(), at);
    }
    for (login, spot) in imported {
        let place = &login.entry.scope;
        let other = known.get(place).and_then(|at| written.get(*at));
        match other {
            None => {
                known.insert(place.clone(), written.len());
                entries.push(login.entry.clone());
                written.push(LocatedScope {
                    scope: place.clone(),
                    location: spot.clone(),
                });
            }
            Some(_) if entries.contains(&login.entry) => {}
            Some(other) if other.location.imported.is_some() => {
                let other = other.location.display_name();
                let reason =
                    format!("two different logins for {place}: the other stands in {other}");
                let complaint = ValueError::new(reason).code(DiagnosticCode::CredentialAmbiguous);
                let hint = format!("say which by a [[credential]] for = \"{place}\"");
                root.report.problem(spot, complaint.hint(hint));
            }
            Some(other) => root.report.note(format!(
                "{}: the login for {place} is not used: {} has one",
                spot.display_name(),
                other.location.key
            )),
        }
    }
    add_docker_configs(root, &mut entries, around);
    ConfiguredCredentials {
        keyring: Keyring::new(entries),
        scopes: written,
    }
}

/// Adds the logins of `docker_config_files` that nothing before them has.
fn add_docker_configs(
    root: &mut Section<'_>,
    entries: &mut Vec<KeyringEntry>,
    around: &LoadContext<'_>,
) {
    let mut section = root.section("credentials");
    let mut known: HashMap<CredentialScope, Vec<CredentialSource>> = HashMap::new();
    for KeyringEntry {
        scope: place,
        source,
    } in entries.iter()
    {
        let sources = known.entry(place.clone()).or_default();
        sources.push(source.clone());
    }
    for file in section.strings("docker_config_files").unwrap_or_default() {
        for entry in docker_config(section.report, &file, around) {
            let KeyringEntry {
                scope: place,
                source,
            } = &entry;
            match known.get(place) {
                None => {
                    known.insert(place.clone(), vec![source.clone()]);
                    entries.push(entry);
                }
                Some(sources) if sources.contains(source) => {}
                Some(_) => note_second(section.report, &file, place),
            }
        }
    }
    section.finish();
}

/// The short form in `[upstream."NAME"]`: `username` and `password_file`, for NAME itself.
pub(super) fn short_form(
    section: &mut Section<'_>,
    name: &UpstreamName,
    credentials: &ConfiguredCredentials,
    around: &LoadContext<'_>,
) -> Option<CredentialSource> {
    let username = section.string("username");
    let file = section.string("password_file");
    let is_written = is_set(username.as_ref()) || is_set(file.as_ref());
    let place = CredentialScope::of_upstream(name);
    let mut same = credentials.scopes.iter();
    if let Some(other) =
        same.find(|other| is_written && other.scope == place && other.location.imported.is_none())
    {
        let reason = format!("{} has a login for {place} as well", other.location.key);
        let spot = section.location_of("password_file", None);
        section
            .report
            .problem(&without_value(spot), ValueError::new(reason));
    }
    password(section, username, file, around).map(CredentialSource::Static)
}

fn scope(section: &mut Section<'_>, others: &[LocatedScope]) -> Option<CredentialScope> {
    let report = section.report;
    let text = section.string("for");
    if !section.has("for") {
        let complaint = ValueError::new("the login does not say what it is for");
        let complaint = complaint.hint("add for = \"HOST\" or for = \"HOST/PATH\"");
        report.problem(&section.location, complaint);
    }
    let text = text?;
    let place = match text.text.parse::<CredentialScope>() {
        Ok(place) => place,
        Err(invalid) => {
            let complaint = ValueError::new(invalid.to_string());
            let bare = text.text.split_once("://").map(|(_, rest)| rest);
            let bare = bare.map(|rest| rest.trim_end_matches('/'));
            let complaint = match bare.filter(|bare| bare.parse::<CredentialScope>().is_ok()) {
                Some(bare) => complaint.hint(format!("did you mean \"{bare}\"?")),
                None => complaint,
            };
            report.problem(&text.location, complaint);
            return None;
        }
    };
    if let Some(other) = others.iter().find(|other| other.scope == place) {
        let complaint = ValueError::new(format!("{} is for {place} as well", other.location.key));
        report.problem(&text.location, complaint);
    }
    Some(place)
}

/// Exactly one of the sources.
fn source(
    section: &mut Section<'_>,
    place: Option<&CredentialScope>,
    around: &LoadContext<'_>,
) -> Option<CredentialSource> {
    let report = section.report;
    let username = section.string("username");
    let [password_file, token_file, helper] = SOURCES.map(|key| section.string_or_unset(key));
    let texts = [&password_file, &token_file, &helper];
    match texts.into_iter().flatten().count() {
        1 => {}
        0 => {
            // A source that is no string has been reported already.
            if !SOURCES.iter().any(|key| section.has(key)) || is_set(username.as_ref()) {
                let complaint = ValueError::new("the login does not say where it comes from");
                let hint = "add one of password_file, token_file and helper";
                report.problem(&section.location, complaint.hint(hint));
            }
            return None;
        }
        _ => {
            let reason = "a login has one of password_file, token_file and helper";
            report.problem(&section.location, ValueError::new(reason));
            return None;
        }
    }
    if password_file.is_some() {
        return password(section, username, password_file, around).map(CredentialSource::Static);
    }
    if let Some(username) = username.filter(|username| is_set(Some(username))) {
        let complaint = ValueError::new("a user name goes with password_file only");
        report.problem(&username.location, complaint);
    }
    if let Some(file) = token_file {
        return secret(report, &file, around)
            .map(|token| CredentialSource::Static(Credential::Token(token)));
    }
    let helper = helper?;
    if !CredentialSource::is_helper_name(&helper.text) {
        let complaint = ValueError::new("a helper's name has letters, digits and . _ - only");
        let hint = "for the program docker-credential-pass, write \"pass\"";
        report.problem(&helper.location, complaint.hint(hint));
        return None;
    }
    Some(match place.and_then(CredentialScope::host) {
        Some(host) => CredentialSource::helper(&helper.text, &host),
        // A pattern: which host it is shows when there is one.
        None => CredentialSource::Helper {
            name: helper.text,
            server: String::new(),
        },
    })
}

fn password(
    section: &Section<'_>,
    username: Option<ConfigText>,
    file: Option<ConfigText>,
    around: &LoadContext<'_>,
) -> Option<Credential> {
    let report = section.report;
    // Nothing in the place of a key that is written: it is no string, which has been reported.
    let (username, file) = match (username, file) {
        (Some(username), file) if !username.text.is_empty() => match file {
            Some(file) if !file.text.is_empty() => (username, file),
            None if section.has("password_file") => return None,
            _ => {
                let complaint = ValueError::new("a user name without a password");
                let complaint = complaint.hint("add password_file = \"FILE\" beside it");
                report.problem(&username.location, complaint);
                return None;
            }
        },
        (username, Some(file)) if !file.text.is_empty() => {
            if username.is_some() || !section.has("username") {
                let complaint = ValueError::new("a password without a user name");
                report.problem(
                    &file.location,
                    complaint.hint("add username = \"…\" beside it"),
                );
            }
            return None;
        }
        _ => return None,
    };
    let bad = |letter: char| letter == ':' || letter.is_control();
    if username.text.contains(bad) {
        let complaint = ValueError::new("a user name holds no colon and no control characters");
        // Perhaps the password stands behind the colon.
        report.problem(&without_value(username.location), complaint);
        return None;
    }
    let password = secret(report, &file, around)?;
    Some(Credential::Password {
        username: username.text,
        password,
    })
}

/// The file's one line, without its end.
fn secret(
    report: &ProblemReport<'_>,
    file: &ConfigText,
    around: &LoadContext<'_>,
) -> Option<Secret> {
    let text = around.read_text(report, file, FileSensitivity::Secret)?;
    let line = text.strip_suffix('\n').unwrap_or(&text);
    let line = line.strip_suffix('\r').unwrap_or(line);
    let reason = if line.trim().is_empty() {
        "the file is empty"
    } else if line.contains(char::is_control) {
        "the file holds more than one line of text"
    } else {
        return Some(Secret::new(line));
    };
    report.problem(&file.location, ValueError::new(reason));
    None
}

fn docker_config(
    report: &ProblemReport<'_>,
    file: &ConfigText,
    around: &LoadContext<'_>,
) -> Vec<KeyringEntry> {
    let Some(text) = around.read_text(report, file, FileSensitivity::Secret) else {
        return Vec::new();
    };
    match platform::parse_docker_config(&text) {
        Ok(entries) => {
            if entries.is_empty() {
                let (key, path) = (&file.location.key, &file.text);
                report.note(format!("{key}: there is no login in {path}"));
            }
            entries
        }
        Err(flaws) => {
            for flaw in flaws {
                report.problem(&file.location, ValueError::new(flaw.to_string()));
            }
            Vec::new()
        }
    }
}

fn note_second(report: &ProblemReport<'_>, file: &ConfigText, place: &CredentialScope) {
    let (key, path) = (&file.location.key, &file.text);
    report.note(format!(
        "{key}: the login for {place} in {path} is not used: an earlier one is"
    ));
}

/// Whether something stands there; `""` is the default of each key.
fn is_set(text: Option<&ConfigText>) -> bool {
    text.is_some_and(|text| !text.text.is_empty())
}

/// The same place, without a repetition of what stands there.
fn without_value(spot: KeyLocation) -> KeyLocation {
    KeyLocation {
        is_value: false,
        ..spot
    }
}
