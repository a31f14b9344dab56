//! `[[credential]]` and `[credentials]`: credentials, each with its scope.

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

/// All configured and imported credentials.
#[derive(Debug)]
pub(super) struct ConfiguredCredentials {
    pub(super) keyring: Keyring,
    pub(super) scopes: Vec<LocatedScope>,
}

/// The scope of one `[[credential]]`, and where it is written.
#[derive(Debug)]
pub(super) struct LocatedScope {
    pub(super) scope: CredentialScope,
    pub(super) location: KeyLocation,
}

/// The keys of a `[[credential]]` that name its source.
const SOURCES: [&str; 3] = ["password_file", "token_file", "helper"];

/// Reads both. Precedence: those written here, then the `imported`, then Docker's files.
pub(super) fn read(
    root: &mut Section<'_>,
    imported: &[Located<ImportedCredentials>],
    context: &LoadContext<'_>,
) -> ConfiguredCredentials {
    let mut written: Vec<LocatedScope> = Vec::new();
    let mut entries = Vec::new();
    for mut section in root.sections("credential") {
        let scope = scope(&mut section, &written);
        let source = source(&mut section, scope.as_ref(), context);
        if let Some(scope) = scope {
            let location = section.location_of("for", None);
            entries.extend(source.map(|source| KeyringEntry {
                scope: scope.clone(),
                source,
            }));
            written.push(LocatedScope { scope, location });
        }
        section.finish();
    }
    let mut known: HashMap<CredentialScope, usize> = HashMap::new();
    for (at, other) in written.iter().enumerate().rev() {
        known.insert(other.scope.clone(), at);
    }
    for (credentials, location) in imported {
        let scope = &credentials.entry.scope;
        let other = known.get(scope).and_then(|at| written.get(*at));
        match other {
            None => {
                known.insert(scope.clone(), written.len());
                entries.push(credentials.entry.clone());
                written.push(LocatedScope {
                    scope: scope.clone(),
                    location: location.clone(),
                });
            }
            Some(_) if entries.contains(&credentials.entry) => {}
            Some(other) if other.location.imported.is_some() => {
                let other = other.location.display_name();
                let reason = format!("{scope} has different credentials in {other}");
                let error = ValueError::new(reason).code(DiagnosticCode::CredentialAmbiguous);
                let hint =
                    format!("add a [[credential]] with for = \"{scope}\", which overrides both");
                root.report.problem(location, error.hint(hint));
            }
            Some(other) => root.report.note(format!(
                "{}: credentials for {scope} are not used: {} takes precedence",
                location.display_name(),
                other.location.key
            )),
        }
    }
    add_docker_configs(root, &mut entries, context);
    ConfiguredCredentials {
        keyring: Keyring::new(entries),
        scopes: written,
    }
}

/// Adds the credentials of `docker_config_files` whose scopes have none yet.
fn add_docker_configs(
    root: &mut Section<'_>,
    entries: &mut Vec<KeyringEntry>,
    context: &LoadContext<'_>,
) {
    let mut section = root.section("credentials");
    let mut known: HashMap<CredentialScope, Vec<CredentialSource>> = HashMap::new();
    for KeyringEntry { scope, source } in entries.iter() {
        let sources = known.entry(scope.clone()).or_default();
        sources.push(source.clone());
    }
    for file in section.strings("docker_config_files").unwrap_or_default() {
        for entry in docker_config(section.report, &file, context) {
            let KeyringEntry { scope, source } = &entry;
            match known.get(scope) {
                None => {
                    known.insert(scope.clone(), vec![source.clone()]);
                    entries.push(entry);
                }
                Some(sources) if sources.contains(source) => {}
                Some(_) => note_second(section.report, &file, scope),
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
    context: &LoadContext<'_>,
) -> Option<CredentialSource> {
    let username = section.string("username");
    let file = section.string("password_file");
    let is_written = is_set(username.as_ref()) || is_set(file.as_ref());
    let scope = CredentialScope::of_upstream(name);
    let mut same = credentials.scopes.iter();
    if let Some(other) =
        same.find(|other| is_written && other.scope == scope && other.location.imported.is_none())
    {
        let reason = format!("{} also has credentials for {scope}", other.location.key);
        let location = section.location_of("password_file", None);
        section
            .report
            .problem(&without_value(location), ValueError::new(reason));
    }
    password(section, username, file, context).map(CredentialSource::Static)
}

fn scope(section: &mut Section<'_>, others: &[LocatedScope]) -> Option<CredentialScope> {
    let report = section.report;
    let text = section.string("for");
    if !section.has("for") {
        let error = ValueError::new("the credential has no scope");
        let error = error.hint("add for = \"HOST\" or for = \"HOST/PATH\"");
        report.problem(&section.location, error);
    }
    let text = text?;
    let scope = match text.text.parse::<CredentialScope>() {
        Ok(scope) => scope,
        Err(invalid) => {
            let error = ValueError::new(invalid.to_string());
            let bare = text.text.split_once("://").map(|(_, rest)| rest);
            let bare = bare.map(|rest| rest.trim_end_matches('/'));
            let error = match bare.filter(|bare| bare.parse::<CredentialScope>().is_ok()) {
                Some(bare) => error.hint(format!("did you mean \"{bare}\"?")),
                None => error,
            };
            report.problem(&text.location, error);
            return None;
        }
    };
    if let Some(other) = others.iter().find(|other| other.scope == scope) {
        let error = ValueError::new(format!("{} is also for {scope}", other.location.key));
        report.problem(&text.location, error);
    }
    Some(scope)
}

/// Exactly one of the sources.
fn source(
    section: &mut Section<'_>,
    scope: Option<&CredentialScope>,
    context: &LoadContext<'_>,
) -> Option<CredentialSource> {
    let report = section.report;
    let username = section.string("username");
    let [password_file, token_file, helper] = SOURCES.map(|key| section.string_or_unset(key));
    let texts = [&password_file, &token_file, &helper];
    match texts.into_iter().flatten().count() {
        1 => {}
        0 => {
            // A source that is not a string has been reported already.
            if !SOURCES.iter().any(|key| section.has(key)) || is_set(username.as_ref()) {
                let error = ValueError::new("the credential has no source");
                let hint = "add one of password_file, token_file and helper";
                report.problem(&section.location, error.hint(hint));
            }
            return None;
        }
        _ => {
            let reason =
                "a credential must have exactly one of password_file, token_file and helper";
            report.problem(&section.location, ValueError::new(reason));
            return None;
        }
    }
    if password_file.is_some() {
        return password(section, username, password_file, context).map(CredentialSource::Static);
    }
    if let Some(username) = username.filter(|username| is_set(Some(username))) {
        let error = ValueError::new("a user name is only used with password_file");
        report.problem(&username.location, error);
    }
    if let Some(file) = token_file {
        return secret(report, &file, context)
            .map(|token| CredentialSource::Static(Credential::Token(token)));
    }
    let helper = helper?;
    if !CredentialSource::is_helper_name(&helper.text) {
        let error = ValueError::new("a helper's name must consist of letters, digits and . _ -");
        let hint = "for the program docker-credential-pass, write \"pass\"";
        report.problem(&helper.location, error.hint(hint));
        return None;
    }
    Some(match scope.and_then(CredentialScope::host) {
        Some(host) => CredentialSource::helper(&helper.text, &host),
        // A pattern: the host is known when there is a request.
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
    context: &LoadContext<'_>,
) -> Option<Credential> {
    let report = section.report;
    // `None` for a key that is written: it is not a string, which has been reported.
    let (username, file) = match (username, file) {
        (Some(username), file) if !username.text.is_empty() => match file {
            Some(file) if !file.text.is_empty() => (username, file),
            None if section.has("password_file") => return None,
            _ => {
                let error = ValueError::new("a user name without a password");
                let error = error.hint("add password_file = \"FILE\"");
                report.problem(&username.location, error);
                return None;
            }
        },
        (username, Some(file)) if !file.text.is_empty() => {
            if username.is_some() || !section.has("username") {
                let error = ValueError::new("a password without a user name");
                report.problem(&file.location, error.hint("add username = \"…\""));
            }
            return None;
        }
        _ => return None,
    };
    let bad = |letter: char| letter == ':' || letter.is_control();
    if username.text.contains(bad) {
        let error = ValueError::new("a user name must not contain a colon or control characters");
        // What follows the colon may be the password.
        report.problem(&without_value(username.location), error);
        return None;
    }
    let password = secret(report, &file, context)?;
    Some(Credential::Password {
        username: username.text,
        password,
    })
}

/// The file's one line, without its line break.
fn secret(
    report: &ProblemReport<'_>,
    file: &ConfigText,
    context: &LoadContext<'_>,
) -> Option<Secret> {
    let text = context.read_text(report, file, FileSensitivity::Secret)?;
    let line = text.strip_suffix('\n').unwrap_or(&text);
    let line = line.strip_suffix('\r').unwrap_or(line);
    let reason = if line.trim().is_empty() {
        "the file is empty"
    } else if line.contains(char::is_control) {
        "the file has more than one line of text"
    } else {
        return Some(Secret::new(line));
    };
    report.problem(&file.location, ValueError::new(reason));
    None
}

fn docker_config(
    report: &ProblemReport<'_>,
    file: &ConfigText,
    context: &LoadContext<'_>,
) -> Vec<KeyringEntry> {
    let Some(text) = context.read_text(report, file, FileSensitivity::Secret) else {
        return Vec::new();
    };
    match platform::parse_docker_config(&text) {
        Ok(entries) => {
            if entries.is_empty() {
                let (key, path) = (&file.location.key, &file.text);
                report.note(format!("{key}: no credentials found in {path}"));
            }
            entries
        }
        Err(errors) => {
            for error in errors {
                report.problem(&file.location, ValueError::new(error.to_string()));
            }
            Vec::new()
        }
    }
}

fn note_second(report: &ProblemReport<'_>, file: &ConfigText, scope: &CredentialScope) {
    let (key, path) = (&file.location.key, &file.text);
    report.note(format!(
        "{key}: credentials for {scope} in {path} are not used: earlier ones take precedence"
    ));
}

/// Whether a value is set; `""` is the default of each key.
fn is_set(text: Option<&ConfigText>) -> bool {
    text.is_some_and(|text| !text.text.is_empty())
}

/// The same location, without a repetition of its value.
fn without_value(location: KeyLocation) -> KeyLocation {
    KeyLocation {
        is_value: false,
        ..location
    }
}
