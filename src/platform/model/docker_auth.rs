//! Logins as Docker keeps them: `config.json`, containers' `auth.json`, Kubernetes'
//! `.dockerconfigjson`, and the older `.dockercfg`.

mod key;

use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use thiserror::Error;

use super::imported::ImportedCredentials;
use crate::{
    platform::reading::{
        diagnostic::{Diagnostic, DiagnosticCode, Severity},
        json,
        location::{Location, SourceText},
        node::{Node, Scalar},
        placeholder::{TOKEN_USERNAME, placeholders},
    },
    secret::Secret,
    upstream::{Credential, CredentialScope, CredentialSource, KeyringEntry},
};
use key::{bare, display_path, host, sorted};

/// One thing that is wrong with such a file: where, and why. Repeats no value.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("line {line}, column {column}: {reason}")]
pub struct DockerConfigError {
    /// Counted from 1.
    pub line: usize,
    /// Counted from 1.
    pub column: usize,
    /// The key, and why.
    pub reason: String,
}

/// As Kubernetes reads it: with or without padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

const NO_CONFIG: &str = "this is no object with auths, credHelpers or credsStore";

/// The logins of a text within a file, one for each place.
pub(in crate::platform) fn entries(
    text: &SourceText<'_>,
    remarks: &mut Vec<Diagnostic>,
) -> Vec<KeyringEntry> {
    let Some(node) = document(text, remarks) else {
        return Vec::new();
    };
    placeholders(&node, remarks);
    let logins = read(&node, remarks);
    let logins = first_per_scope(logins, remarks);
    logins.into_iter().map(|login| login.entry).collect()
}

/// Reads every login: helpers of hosts first, then what is written down, then the helper of all
/// other hosts. Of equal places the first is meant.
///
/// # Errors
/// Everything that is wrong, as far as the text can be read.
pub fn parse_docker_config(text: &str) -> Result<Vec<KeyringEntry>, Vec<DockerConfigError>> {
    let mut remarks = Vec::new();
    let document = document(&SourceText::file("", text), &mut remarks);
    let logins = document.map(|node| read(&node, &mut remarks));
    let is_flaw = |remark: &Diagnostic| {
        remark.level == Severity::Error || remark.code == DiagnosticCode::StringPrefix
    };
    let flaws: Vec<_> = remarks
        .into_iter()
        .filter(is_flaw)
        .map(DockerConfigError::from)
        .collect();
    if flaws.is_empty() {
        let logins = logins.unwrap_or_default().into_iter();
        Ok(logins.map(|login| login.entry).collect())
    } else {
        Err(flaws)
    }
}

impl From<Diagnostic> for DockerConfigError {
    fn from(remark: Diagnostic) -> Self {
        Self {
            line: remark.location.line,
            column: remark.location.column,
            reason: remark.message,
        }
    }
}

fn document(text: &SourceText<'_>, remarks: &mut Vec<Diagnostic>) -> Option<Node> {
    match json::document(text) {
        Ok(mut documents) if !documents.is_empty() => return documents.pop(),
        Ok(_) => remarks.push(Diagnostic::new(
            DiagnosticCode::Value,
            &text.start(),
            NO_CONFIG,
        )),
        Err(remark) => remarks.push(remark),
    }
    None
}

/// A file may name one registry twice; what counts is what its own programs take first.
pub(in crate::platform) fn first_per_scope(
    logins: Vec<ImportedCredentials>,
    remarks: &mut Vec<Diagnostic>,
) -> Vec<ImportedCredentials> {
    let mut firsts: Vec<ImportedCredentials> = Vec::new();
    let mut sources = std::collections::HashMap::<CredentialScope, CredentialSource>::new();
    for login in logins {
        let ImportedCredentials { entry, spot } = &login;
        match sources.get(&entry.scope) {
            None => {
                sources.insert(entry.scope.clone(), entry.source.clone());
                firsts.push(login);
            }
            // A helper has the login; what stands in the file is left over.
            Some(CredentialSource::Helper { .. }) => {}
            Some(source) if *source == entry.source => {}
            Some(_) => {
                let message = format!(
                    "{} has another login in this file, which is used",
                    entry.scope
                );
                let remark = Diagnostic::new(DiagnosticCode::Ignored, spot, message);
                remarks.push(remark.fix("remove one of them"));
            }
        }
    }
    firsts
}

/// Reads every login of a document, in the order of [`parse_docker_config`].
pub(in crate::platform) fn read(
    document: &Node,
    remarks: &mut Vec<Diagnostic>,
) -> Vec<ImportedCredentials> {
    let mut reading = DockerConfigReader {
        credentials: Vec::new(),
        remarks,
    };
    if !document.is_mapping() {
        reading.report(DiagnosticCode::Value, &document.spot, NO_CONFIG.to_owned());
    } else if is_dockercfg(document) {
        reading.auths("", document);
    } else {
        reading.helpers(document);
        if let Some(auths) = reading.object(document, "auths") {
            reading.auths("auths", auths);
        }
        reading.store(document);
        if let Some(headers) = document
            .get("HttpHeaders")
            .filter(|node| node.entries().next().is_some())
        {
            let message = "HttpHeaders: the mirror sends its own headers";
            reading.remarks.push(Diagnostic::new(
                DiagnosticCode::Ignored,
                &headers.spot,
                message,
            ));
        }
    }
    reading.credentials
}

/// The older form is what stands in `auths` now.
fn is_dockercfg(document: &Node) -> bool {
    let new = ["auths", "credHelpers", "credsStore"];
    let is_login = |value: &Node| ["auth", "username"].iter().any(|key| value.has(key));
    !new.iter().any(|key| document.has(key)) && document.entries().any(|(_, value)| is_login(value))
}

struct DockerConfigReader<'r> {
    credentials: Vec<ImportedCredentials>,
    remarks: &'r mut Vec<Diagnostic>,
}

impl DockerConfigReader<'_> {
    fn report(&mut self, code: DiagnosticCode, spot: &Location, message: String) {
        self.remarks.push(Diagnostic::new(code, spot, message));
    }

    fn object<'n>(&mut self, document: &'n Node, key: &str) -> Option<&'n Node> {
        let object = document.get(key)?;
        if object.is_mapping() {
            return Some(object);
        }
        self.report(
            DiagnosticCode::Value,
            &object.spot,
            format!("{key}: this is no object"),
        );
        None
    }

    fn helpers(&mut self, document: &Node) {
        let Some(helpers) = self.object(document, "credHelpers") else {
            return;
        };
        for (key, value) in sorted(helpers) {
            let path = display_path("credHelpers", &key.text);
            let Some(place) = self.scope(&path, key) else {
                continue;
            };
            match helper_name(value) {
                // An empty name says that this host's login stands in `auths`.
                Ok("") => {}
                Ok(name) => {
                    let source = match place.host() {
                        Some(_) => CredentialSource::helper(name, host(&key.text)),
                        None => CredentialSource::Helper {
                            name: name.to_owned(),
                            server: String::new(),
                        },
                    };
                    self.add(&key.start, place, source);
                }
                Err(reason) => self.report(
                    DiagnosticCode::Value,
                    &value.spot,
                    format!("{path}: {reason}"),
                ),
            }
        }
    }

    fn auths(&mut self, prefix: &str, auths: &Node) {
        for (key, value) in sorted(auths) {
            let path = display_path(prefix, &key.text);
            if !value.is_mapping() {
                self.report(
                    DiagnosticCode::Value,
                    &value.spot,
                    format!("{path}: this is no object"),
                );
                continue;
            }
            match credential(value) {
                // A helper has it; the key only says that there was a login.
                Ok(None) => {}
                Ok(Some(credential)) => {
                    if let Some(place) = self.scope(&path, key) {
                        self.add(&key.start, place, CredentialSource::Static(credential));
                    }
                }
                Err((field, reason)) => {
                    let found = value.get(field);
                    let code = match found.and_then(string) {
                        Some(_) if field == "auth" => DiagnosticCode::AuthBase64,
                        _ => DiagnosticCode::Value,
                    };
                    let spot = &found.unwrap_or(value).spot;
                    self.report(code, spot, format!("{path}.{field}: {reason}"));
                }
            }
        }
    }

    fn store(&mut self, document: &Node) {
        let Some(value) = document.get("credsStore") else {
            return;
        };
        match helper_name(value) {
            Ok("") => {}
            Ok(name) => {
                let source = CredentialSource::Helper {
                    name: name.to_owned(),
                    server: String::new(),
                };
                self.add(&value.spot, CredentialScope::any_host(), source);
            }
            Err(reason) => self.report(
                DiagnosticCode::Value,
                &value.spot,
                format!("credsStore: {reason}"),
            ),
        }
    }

    fn add(&mut self, spot: &Location, place: CredentialScope, source: CredentialSource) {
        let entry = KeyringEntry {
            scope: place,
            source,
        };
        let spot = spot.clone();
        self.credentials.push(ImportedCredentials { entry, spot });
    }

    fn scope(&mut self, path: &str, key: &Scalar) -> Option<CredentialScope> {
        let bare = bare(&key.text);
        let place: Option<CredentialScope> = bare.parse().ok();
        if place.is_some() {
            return place;
        }
        let whole = bare.trim_end_matches(['-', '_', '.']);
        let remark = if whole.contains('/') && whole.parse::<CredentialScope>().is_ok() {
            let message = format!("{path}: the key ends within an element, and is not used");
            Diagnostic::new(DiagnosticCode::StringPrefix, &key.start, message)
                .fix("write a key for each repository; only whole elements are compared here")
        } else {
            let message = format!("{path}: the key is no registry, written HOST[:PORT][/PATH]");
            Diagnostic::new(DiagnosticCode::Reference, &key.start, message)
        };
        self.remarks.push(remark);
        None
    }
}

fn helper_name(value: &Node) -> Result<&str, &'static str> {
    match string(value) {
        Some(name) if name.is_empty() || CredentialSource::is_helper_name(name) => Ok(name),
        Some(_) => Err("a helper's name has letters, digits and . _ - only"),
        None if value.is_null() => Ok(""),
        None => Err("this is no string"),
    }
}

/// The field that is wrong, and why.
pub(in crate::platform) type FieldError = (&'static str, &'static str);

/// One login. Tokens come before passwords: beside one, the password is a left-over.
fn credential(fields: &Node) -> Result<Option<Credential>, FieldError> {
    if let Some(token) = field(fields, "registrytoken")? {
        return Ok(Some(Credential::Token(Secret::new(token))));
    }
    if let Some(token) = field(fields, "identitytoken")? {
        return Ok(Some(Credential::Refresh(Secret::new(token))));
    }
    if let Some(coded) = field(fields, "auth")? {
        return decode_basic(coded)
            .map(Some)
            .map_err(|reason| ("auth", reason));
    }
    match (field(fields, "username")?, field(fields, "password")?) {
        (None, None) => Ok(None),
        (None, Some(_)) => Err(("username", "a password without a user name")),
        (Some(_), None) => Err(("password", "a user name without a password")),
        (Some(username), Some(password)) => password_credentials(username, password).map(Some),
    }
}

/// A field's text; an empty one counts as none.
fn field<'n>(fields: &'n Node, key: &'static str) -> Result<Option<&'n str>, FieldError> {
    match fields.get(key).map(string) {
        None | Some(Some("")) => Ok(None),
        Some(Some(text)) if text.contains('\0') => Err((key, "there is a NUL in it")),
        Some(Some(text)) => Ok(Some(text)),
        Some(None) => Err((key, "this is no string")),
    }
}

/// A text that is no number, and neither true nor false.
fn string(node: &Node) -> Option<&str> {
    let scalar = node.scalar()?;
    let is_other = scalar.is_plain
        && (scalar.text.parse::<f64>().is_ok() || ["true", "false"].contains(&&*scalar.text));
    (!is_other).then_some(&scalar.text)
}

/// `auth`: the base64 of `USER:PASSWORD`.
pub(in crate::platform) fn decode_basic(coded: &str) -> Result<Credential, &'static str> {
    // Tools break lines and fill up with NUL.
    let coded: String = coded.split_ascii_whitespace().collect();
    let bytes = BASE64
        .decode(coded)
        .map_err(|_error| "this is no base64 of USER:PASSWORD")?;
    let text = String::from_utf8(bytes).map_err(|_error| "this is no text in base64")?;
    let text = text.trim_end_matches('\0');
    if text.contains('\0') {
        return Err("there is a NUL in it");
    }
    let (username, password) = text
        .split_once(':')
        .ok_or("there is no colon in the decoded USER:PASSWORD")?;
    password_credentials(username, password).map_err(|(_, reason)| reason)
}

pub(in crate::platform) fn password_credentials(
    username: &str,
    password: &str,
) -> Result<Credential, FieldError> {
    if username.is_empty() {
        return Err(("username", "the user name is empty"));
    }
    if password.is_empty() {
        return Err(("password", "the password is empty"));
    }
    if username.contains(|letter: char| letter == ':' || letter.is_control()) {
        let reason = "a user name holds no colon and no control characters";
        return Err(("username", reason));
    }
    let secret = Secret::new(password);
    Ok(if username == TOKEN_USERNAME {
        Credential::Refresh(secret)
    } else {
        Credential::Password {
            username: username.to_owned(),
            password: secret,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each login as `PLACE SOURCE`.
    fn read(text: &str) -> Vec<String> {
        let entries = parse_docker_config(text).unwrap_or_else(|flaws| panic!("{text}: {flaws:?}"));
        let shown = |entry: &KeyringEntry| {
            let source = match &entry.source {
                CredentialSource::Static(Credential::Password { username, password }) => {
                    format!("{username}:{}", password.reveal())
                }
                CredentialSource::Static(Credential::Refresh(token)) => {
                    format!("refresh {}", token.reveal())
                }
                CredentialSource::Static(Credential::Token(token)) => {
                    format!("token {}", token.reveal())
                }
                CredentialSource::Helper { name, server } => format!("helper {name} {server}"),
            };
            format!("{} {source}", entry.scope)
        };
        entries.iter().map(shown).collect()
    }

    fn auth(plain: &str) -> String {
        BASE64.encode(plain)
    }

    #[test]
    fn keys_are_hosts_urls_or_paths() {
        let (code, nul) = (auth("me:pw"), auth("me:pw\0\0"));
        for (key, place) in [
            ("quay.io", "quay.io"),
            ("https://quay.io", "quay.io"),
            ("http://quay.io/", "quay.io"),
            ("quay.io/v2/", "quay.io"),
            ("https://quay.io/v1", "quay.io"),
            ("https://index.docker.io/v1/", "docker.io"),
            ("index.docker.io", "docker.io"),
            ("docker.io", "docker.io"),
            ("https://*.docker.io/v2/", "*.docker.io"),
            ("reg.corp:5000/team/app", "reg.corp:5000/team/app"),
            ("https://reg.corp/v2/team", "reg.corp/team"),
            ("reg.corp/v2x/team", "reg.corp/v2x/team"),
            ("localhost:5000", "localhost:5000"),
        ] {
            for code in [&code, &nul, &code.trim_end_matches('=').to_owned()] {
                let login = format!(r#"{{"{key}": {{"auth": "{code}", "email": "x"}}}}"#);
                let expected = [format!("{place} me:pw")];
                assert_eq!(read(&format!(r#"{{"auths": {login}}}"#)), expected, "{key}");
                assert_eq!(read(&login), expected, "{key}");
            }
        }
    }

    #[test]
    fn logins_come_in_every_form() {
        let (code, empty) = (auth("me:p:w"), auth("00000000-0000:"));
        for (fields, login) in [
            (format!(r#""auth": "{code}""#), "me:p:w"),
            (r#""username": "me", "password": "pw""#.into(), "me:pw"),
            // As kubelet has it.
            (
                format!(r#""auth": "{code}", "username": "x", "password": "y""#),
                "me:p:w",
            ),
            (
                r#""username": "<token>", "password": "t""#.into(),
                "refresh t",
            ),
            (
                format!(r#""auth": "{empty}", "identitytoken": "t""#),
                "refresh t",
            ),
            (r#""registrytoken": "t""#.into(), "token t"),
        ] {
            let text = format!(r#"{{"auths": {{"a.b": {{{fields}}}}}, "HttpHeaders": {{}}}}"#);
            assert_eq!(read(&text), [format!("a.b {login}")]);
        }
    }

    #[test]
    fn helpers_come_first_and_the_store_last() {
        let code = auth("me:pw");
        let text = format!(
            r#"{{"credsStore": "desktop",
                "auths": {{"https://index.docker.io/v1/": {{}}, "a.b": {{"auth": "{code}"}},
                          "https://c.d": {{"auth": "{code}"}}, "c.d": {{"auth": "{code}"}}}},
                "credHelpers": {{"a.b": "pass", "https://gcr.io": "gcloud", "docker.io": "x",
                                "e.f": ""}}}}"#
        );
        let expected = [
            "a.b helper pass a.b",
            "docker.io helper x https://index.docker.io/v1/",
            "gcr.io helper gcloud gcr.io",
            "a.b me:pw",
            "c.d me:pw",
            "c.d me:pw",
            "every host helper desktop ",
        ];
        assert_eq!(read(&text), expected);
        for none in ["{}", r#"{"auths": {}}"#, r#"{"credsStore": ""}"#] {
            assert_eq!(read(none), Vec::<String>::new());
        }
    }

    #[test]
    #[expect(clippy::too_many_lines, reason = "a table")]
    fn b126_what_is_wrong_is_said_without_a_secret() {
        let coded =
            |plain: &str| format!(r#"{{"auths": {{"a.b": {{"auth": "{}"}}}}}}"#, auth(plain));
        let fields = |fields: &str| format!(r#"{{"auths": {{"a.b": {{{fields}}}}}}}"#);
        let key = |key: &str| format!(r#"{{"auths": {{"{key}": {{"auth": "{}"}}}}}}"#, auth("a:b"));
        for (text, flaw) in [
            (
                String::new(),
                "line 1, column 1: the file ends in the middle",
            ),
            (
                "{\n \"canary\": canary".into(),
                "line 2, column 12: this is no JSON",
            ),
            (
                "[]".into(),
                "line 1, column 1: this is no object with auths, credHelpers or credsStore",
            ),
            (
                coded("canary"),
                "line 1, column 28: auths.\"a.b\".auth: there is no colon in the decoded USER:PASSWORD",
            ),
            (
                coded(":canary"),
                "line 1, column 28: auths.\"a.b\".auth: the user name is empty",
            ),
            (
                coded("canary:"),
                "line 1, column 28: auths.\"a.b\".auth: the password is empty",
            ),
            (
                coded("can\0ary:x"),
                "line 1, column 28: auths.\"a.b\".auth: there is a NUL in it",
            ),
            (
                fields(r#""auth": "canary!""#),
                "line 1, column 28: auths.\"a.b\".auth: this is no base64 of USER:PASSWORD",
            ),
            (
                fields(r#""auth": "/w""#),
                "line 1, column 28: auths.\"a.b\".auth: this is no text in base64",
            ),
            (
                fields(r#""auth": 5"#),
                "line 1, column 28: auths.\"a.b\".auth: this is no string",
            ),
            (
                fields(r#""username": "canary""#),
                "line 1, column 19: auths.\"a.b\".password: a user name without a password",
            ),
            (
                fields(r#""password": "canary""#),
                "line 1, column 19: auths.\"a.b\".username: a password without a user name",
            ),
            (
                fields(r#""identitytoken": "can\u0000ary""#),
                "line 1, column 37: auths.\"a.b\".identitytoken: there is a NUL in it",
            ),
            (
                key("a b"),
                "line 1, column 13: auths.\"a b\": the key is no registry, written HOST[:PORT][/PATH]",
            ),
            (
                key("https://me:canary@a.b"),
                "line 1, column 13: auths.\"…@a.b\": the key is no registry, written HOST[:PORT][/PATH]",
            ),
            (
                r#"{"auths": {"a.b": "canary"}}"#.into(),
                "line 1, column 19: auths.\"a.b\": this is no object",
            ),
            (
                r#"{"auths": "canary"}"#.into(),
                "line 1, column 11: auths: this is no object",
            ),
            (
                r#"{"credsStore": "../canary"}"#.into(),
                "line 1, column 16: credsStore: a helper's name has letters, digits and . _ - only",
            ),
            (
                r#"{"credHelpers": {"a.b": ["canary"]}}"#.into(),
                "line 1, column 25: credHelpers.\"a.b\": this is no string",
            ),
        ] {
            let flaws = parse_docker_config(&text).unwrap_err();
            let texts: Vec<_> = flaws.iter().map(ToString::to_string).collect();
            assert_eq!(texts, [flaw]);
            assert!(!format!("{flaws:?}").contains("canary"));
        }
        let two = r#"{"auths": {"a.b": 1, "c.d": 2}}"#;
        assert_eq!(parse_docker_config(two).unwrap_err().len(), 2);
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(text in "\\PC{0,100}", key in "\\PC{0,30}", auth in "[A-Za-z0-9+/=]{0,40}") {
            let _read = parse_docker_config(&text).is_ok();
            let document = serde_json::json!({ "auths": { key: { "auth": auth } } });
            let _read = parse_docker_config(&document.to_string()).is_ok();
        }
    }
}
