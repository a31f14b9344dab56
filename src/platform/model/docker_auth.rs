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
    diagnostics: &mut Vec<Diagnostic>,
) -> Vec<KeyringEntry> {
    let Some(node) = document(text, diagnostics) else {
        return Vec::new();
    };
    placeholders(&node, diagnostics);
    let credentials = read(&node, diagnostics);
    let credentials = first_per_scope(credentials, diagnostics);
    credentials.into_iter().map(|one| one.entry).collect()
}

/// Reads every login: helpers of hosts first, then what is written down, then the helper of all
/// other hosts. Of equal places the first is meant.
///
/// # Errors
/// Everything that is wrong, as far as the text can be read.
pub fn parse_docker_config(text: &str) -> Result<Vec<KeyringEntry>, Vec<DockerConfigError>> {
    let mut diagnostics = Vec::new();
    let document = document(&SourceText::file("", text), &mut diagnostics);
    let credentials = document.map(|node| read(&node, &mut diagnostics));
    let is_error = |diagnostic: &Diagnostic| {
        diagnostic.level == Severity::Error || diagnostic.code == DiagnosticCode::StringPrefix
    };
    let errors: Vec<_> = diagnostics
        .into_iter()
        .filter(is_error)
        .map(DockerConfigError::from)
        .collect();
    if errors.is_empty() {
        let credentials = credentials.unwrap_or_default().into_iter();
        Ok(credentials.map(|one| one.entry).collect())
    } else {
        Err(errors)
    }
}

impl From<Diagnostic> for DockerConfigError {
    fn from(diagnostic: Diagnostic) -> Self {
        Self {
            line: diagnostic.location.line,
            column: diagnostic.location.column,
            reason: diagnostic.message,
        }
    }
}

fn document(text: &SourceText<'_>, diagnostics: &mut Vec<Diagnostic>) -> Option<Node> {
    match json::document(text) {
        Ok(mut documents) if !documents.is_empty() => return documents.pop(),
        Ok(_) => diagnostics.push(Diagnostic::new(
            DiagnosticCode::Value,
            &text.start(),
            NO_CONFIG,
        )),
        Err(diagnostic) => diagnostics.push(diagnostic),
    }
    None
}

/// A file may name one registry twice; what counts is what its own programs take first.
pub(in crate::platform) fn first_per_scope(
    credentials: Vec<ImportedCredentials>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Vec<ImportedCredentials> {
    let mut firsts: Vec<ImportedCredentials> = Vec::new();
    let mut sources = std::collections::HashMap::<CredentialScope, CredentialSource>::new();
    for one in credentials {
        let ImportedCredentials { entry, location } = &one;
        match sources.get(&entry.scope) {
            None => {
                sources.insert(entry.scope.clone(), entry.source.clone());
                firsts.push(one);
            }
            // A helper has the login; what stands in the file is left over.
            Some(CredentialSource::Helper { .. }) => {}
            Some(source) if *source == entry.source => {}
            Some(_) => {
                let message = format!(
                    "{} has another login in this file, which is used",
                    entry.scope
                );
                let diagnostic = Diagnostic::new(DiagnosticCode::Ignored, location, message);
                diagnostics.push(diagnostic.fix("remove one of them"));
            }
        }
    }
    firsts
}

/// Reads every login of a document, in the order of [`parse_docker_config`].
pub(in crate::platform) fn read(
    document: &Node,
    diagnostics: &mut Vec<Diagnostic>,
) -> Vec<ImportedCredentials> {
    let mut reader = DockerConfigReader {
        credentials: Vec::new(),
        diagnostics,
    };
    if !document.is_mapping() {
        reader.report(
            DiagnosticCode::Value,
            &document.location,
            NO_CONFIG.to_owned(),
        );
    } else if is_dockercfg(document) {
        reader.auths("", document);
    } else {
        reader.helpers(document);
        if let Some(auths) = reader.object(document, "auths") {
            reader.auths("auths", auths);
        }
        reader.store(document);
        if let Some(headers) = document
            .get("HttpHeaders")
            .filter(|node| node.entries().next().is_some())
        {
            let message = "HttpHeaders: the mirror sends its own headers";
            reader.diagnostics.push(Diagnostic::new(
                DiagnosticCode::Ignored,
                &headers.location,
                message,
            ));
        }
    }
    reader.credentials
}

/// The older form is what stands in `auths` now.
fn is_dockercfg(document: &Node) -> bool {
    let new = ["auths", "credHelpers", "credsStore"];
    let has_credentials = |value: &Node| ["auth", "username"].iter().any(|key| value.has(key));
    !new.iter().any(|key| document.has(key))
        && document.entries().any(|(_, value)| has_credentials(value))
}

struct DockerConfigReader<'r> {
    credentials: Vec<ImportedCredentials>,
    diagnostics: &'r mut Vec<Diagnostic>,
}

impl DockerConfigReader<'_> {
    fn report(&mut self, code: DiagnosticCode, location: &Location, message: String) {
        self.diagnostics
            .push(Diagnostic::new(code, location, message));
    }

    fn object<'n>(&mut self, document: &'n Node, key: &str) -> Option<&'n Node> {
        let object = document.get(key)?;
        if object.is_mapping() {
            return Some(object);
        }
        self.report(
            DiagnosticCode::Value,
            &object.location,
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
            let Some(scope) = self.scope(&path, key) else {
                continue;
            };
            match helper_name(value) {
                // An empty name says that this host's login stands in `auths`.
                Ok("") => {}
                Ok(name) => {
                    let source = match scope.host() {
                        Some(_) => CredentialSource::helper(name, host(&key.text)),
                        None => CredentialSource::Helper {
                            name: name.to_owned(),
                            server: String::new(),
                        },
                    };
                    self.add(&key.start, scope, source);
                }
                Err(reason) => self.report(
                    DiagnosticCode::Value,
                    &value.location,
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
                    &value.location,
                    format!("{path}: this is no object"),
                );
                continue;
            }
            match credential(value) {
                // A helper has it; the key only says that there was a login.
                Ok(None) => {}
                Ok(Some(credential)) => {
                    if let Some(scope) = self.scope(&path, key) {
                        self.add(&key.start, scope, CredentialSource::Static(credential));
                    }
                }
                Err((field, reason)) => {
                    let found = value.get(field);
                    let code = match found.and_then(string) {
                        Some(_) if field == "auth" => DiagnosticCode::AuthBase64,
                        _ => DiagnosticCode::Value,
                    };
                    let location = &found.unwrap_or(value).location;
                    self.report(code, location, format!("{path}.{field}: {reason}"));
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
                self.add(&value.location, CredentialScope::any_host(), source);
            }
            Err(reason) => self.report(
                DiagnosticCode::Value,
                &value.location,
                format!("credsStore: {reason}"),
            ),
        }
    }

    fn add(&mut self, location: &Location, scope: CredentialScope, source: CredentialSource) {
        let entry = KeyringEntry { scope, source };
        let location = location.clone();
        self.credentials
            .push(ImportedCredentials { entry, location });
    }

    fn scope(&mut self, path: &str, key: &Scalar) -> Option<CredentialScope> {
        let bare = bare(&key.text);
        let scope: Option<CredentialScope> = bare.parse().ok();
        if scope.is_some() {
            return scope;
        }
        let whole = bare.trim_end_matches(['-', '_', '.']);
        let diagnostic = if whole.contains('/') && whole.parse::<CredentialScope>().is_ok() {
            let message = format!("{path}: the key ends within an element, and is not used");
            Diagnostic::new(DiagnosticCode::StringPrefix, &key.start, message)
                .fix("write a key for each repository; only whole elements are compared here")
        } else {
            let message = format!("{path}: the key is no registry, written HOST[:PORT][/PATH]");
            Diagnostic::new(DiagnosticCode::Reference, &key.start, message)
        };
        self.diagnostics.push(diagnostic);
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
    if let Some(encoded) = field(fields, "auth")? {
        return decode_basic(encoded)
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
pub(in crate::platform) fn decode_basic(encoded: &str) -> Result<Credential, &'static str> {
    // Tools break lines and fill up with NUL.
    let encoded: String = encoded.split_ascii_whitespace().collect();
    let bytes = BASE64
        .decode(encoded)
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
        let entries =
            parse_docker_config(text).unwrap_or_else(|errors| panic!("{text}: {errors:?}"));
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
        for (key, scope) in [
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
                let one = format!(r#"{{"{key}": {{"auth": "{code}", "email": "x"}}}}"#);
                let expected = [format!("{scope} me:pw")];
                assert_eq!(read(&format!(r#"{{"auths": {one}}}"#)), expected, "{key}");
                assert_eq!(read(&one), expected, "{key}");
            }
        }
    }

    #[test]
    fn logins_come_in_every_form() {
        let (code, empty) = (auth("me:p:w"), auth("00000000-0000:"));
        for (fields, one) in [
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
            assert_eq!(read(&text), [format!("a.b {one}")]);
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
        let encoded =
            |plain: &str| format!(r#"{{"auths": {{"a.b": {{"auth": "{}"}}}}}}"#, auth(plain));
        let fields = |fields: &str| format!(r#"{{"auths": {{"a.b": {{{fields}}}}}}}"#);
        let key = |key: &str| format!(r#"{{"auths": {{"{key}": {{"auth": "{}"}}}}}}"#, auth("a:b"));
        for (text, error) in [
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
                encoded("canary"),
                "line 1, column 28: auths.\"a.b\".auth: there is no colon in the decoded USER:PASSWORD",
            ),
            (
                encoded(":canary"),
                "line 1, column 28: auths.\"a.b\".auth: the user name is empty",
            ),
            (
                encoded("canary:"),
                "line 1, column 28: auths.\"a.b\".auth: the password is empty",
            ),
            (
                encoded("can\0ary:x"),
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
            let errors = parse_docker_config(&text).unwrap_err();
            let texts: Vec<_> = errors.iter().map(ToString::to_string).collect();
            assert_eq!(texts, [error]);
            assert!(!format!("{errors:?}").contains("canary"));
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
