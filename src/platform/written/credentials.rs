//! Credentials, each in the form that the configuration has for it.

use serde_json::{Map, Value, json};

use super::{
    secrets_folder::SecretsFolder,
    toml::{TomlWriter, list, string},
};
use crate::{
    platform::{ImportedCredentials, Location},
    secret::Secret,
    upstream::{Credential, CredentialSource, KeyringEntry},
};

/// A placeholder for the name of a file that is not written.
const NO_FILE: &str = "FILE";

/// Writes all credentials; returns how many are in comments only.
pub(super) fn write(
    toml: &mut TomlWriter,
    credentials: &[ImportedCredentials],
    folder: &mut SecretsFolder<'_>,
) -> usize {
    let mut docker = DockerConfigFile::default();
    let mut left_out = 0;
    for ImportedCredentials { entry, location } in credentials {
        left_out +=
            usize::from(!docker.add(entry, location) && !one(toml, entry, location, folder));
    }
    left_out + docker.write(toml, folder)
}

/// Writes a `[[credential]]`; `false` if it is only a comment.
fn one(
    toml: &mut TomlWriter,
    entry: &KeyringEntry,
    location: &Location,
    folder: &mut SecretsFolder<'_>,
) -> bool {
    let scope = entry.scope.to_string();
    let mut table = TomlWriter::default();
    table.table("[[credential]]", location);
    table.entry("for", &string(&scope));
    let (key, secret) = match &entry.source {
        CredentialSource::Helper { name, .. } => {
            table.entry("helper", &string(name));
            toml.append(&table);
            return true;
        }
        CredentialSource::Static(Credential::Password { username, password }) => {
            table.entry("username", &string(username));
            ("password", password)
        }
        CredentialSource::Static(Credential::Token(token) | Credential::Refresh(token)) => {
            ("token", token)
        }
    };
    let line = format!("{}\n", secret.reveal());
    let file = folder.add(&scope, &format!(".{key}"), &line);
    let name = file.as_deref().unwrap_or(NO_FILE);
    table.entry(&format!("{key}_file"), &string(name));
    if file.is_some() {
        toml.append(&table);
    } else {
        toml.append_as_comments(&table);
    }
    file.is_some()
}

/// Credentials that only a file in Docker's format can express.
#[derive(Default)]
struct DockerConfigFile<'l> {
    auths: Map<String, Value>,
    helper: Option<&'l str>,
    locations: Vec<&'l Location>,
}

impl<'l> DockerConfigFile<'l> {
    fn add(&mut self, entry: &'l KeyringEntry, location: &'l Location) -> bool {
        let scope = entry.scope.to_string();
        let fields = match &entry.source {
            CredentialSource::Helper { name, .. } if entry.scope.is_any_host() => {
                self.helper = Some(name);
                self.locations.push(location);
                return true;
            }
            CredentialSource::Static(Credential::Refresh(token)) => {
                json!({ "identitytoken": token.reveal() })
            }
            CredentialSource::Static(Credential::Token(token)) if !is_line(token) => {
                json!({ "registrytoken": token.reveal() })
            }
            CredentialSource::Static(Credential::Password { username, password })
                if !is_line(password) =>
            {
                json!({ "username": username, "password": password.reveal() })
            }
            _ => return false,
        };
        self.auths.insert(scope, fields);
        self.locations.push(location);
        true
    }

    /// Writes the file, if it has content; returns how many credentials are in comments only.
    fn write(self, toml: &mut TomlWriter, folder: &mut SecretsFolder<'_>) -> usize {
        let Self {
            auths,
            helper,
            locations,
        } = self;
        if locations.is_empty() {
            return 0;
        }
        let mut document = json!({ "auths": auths });
        if let (Some(helper), Some(document)) = (helper, document.as_object_mut()) {
            document.insert("credsStore".to_owned(), helper.into());
        }
        let file = folder.add("docker-config", ".json", &format!("{document:#}\n"));
        let mut table = TomlWriter::default();
        for location in &locations {
            table.comment(location);
        }
        table.line("[credentials]");
        let name = file.as_deref().unwrap_or(NO_FILE);
        table.entry("docker_config_files", &list(&[string(name)]));
        if file.is_some() {
            toml.append(&table);
            0
        } else {
            toml.append_as_comments(&table);
            locations.len()
        }
    }
}

/// Whether a file of one line can contain it.
fn is_line(secret: &Secret) -> bool {
    let text = secret.reveal();
    !text.trim().is_empty() && !text.contains(char::is_control)
}
