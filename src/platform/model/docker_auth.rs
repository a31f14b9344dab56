//! Credentials in Docker's format: `config.json`, containers' `auth.json`, Kubernetes'
//! `.dockerconfigjson`, and the older `.dockercfg`.

pub(in crate::platform) mod basic;
mod key;

use thiserror::Error;

use super::imported::ImportedCredentials;
use crate::{
    platform::reading::{
        diagnostic::{Diagnostic, DiagnosticCode, Severity},
        json,
        location::{Location, SourceText},
        node::{Node, Scalar},
        placeholder::placeholders,
    },
    secret::Secret,
    upstream::{Credential, CredentialScope, CredentialSource, KeyringEntry},
};
use basic::{FieldError, decode_basic, password_credentials};
use key::{bare, display_path, host, sorted};

/// An error in such a file, with its location. Repeats no value.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("line {line}, column {column}: {reason}")]
pub struct DockerConfigError {
    /// Counted from 1.
    pub line: usize,
    /// Counted from 1.
    pub column: usize,
    /// The key and the reason.
    pub reason: String,
}

const NO_CONFIG: &str = "the file must be an object with auths, credHelpers or credsStore";

/// The credentials of an embedded text, one entry for each scope.
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

/// Reads all credentials: helpers of hosts first, then written credentials, then the helper of all
/// other hosts. The first of equal scopes takes effect.
///
/// # Errors
/// All errors, as far as the text can be parsed.
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

/// A file may have one registry twice; the first takes effect, as in Docker.
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
            // The helper takes precedence; written credentials are stale.
            Some(CredentialSource::Helper { .. }) => {}
            Some(source) if *source == entry.source => {}
            Some(_) => {
                let message = format!(
                    "{} has other credentials in this file, which are used",
                    entry.scope
                );
                let diagnostic = Diagnostic::new(DiagnosticCode::Ignored, location, message);
                diagnostics.push(diagnostic.fix("remove one of them"));
            }
        }
    }
    firsts
}

/// Reads all credentials of a document, in the order of [`parse_docker_config`].
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

/// The older form is the content of `auths`.
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
            format!("{key}: this must be an object"),
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
                // An empty name means that this host's credentials are in `auths`.
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
                    format!("{path}: this must be an object"),
                );
                continue;
            }
            match credential(value) {
                // The credentials are in a helper; the key only marks the registry.
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
            let message = format!("{path}: the key ends within a path element and is not used");
            Diagnostic::new(DiagnosticCode::StringPrefix, &key.start, message)
                .fix("write a key for each repository; only whole path elements are compared")
        } else {
            let message = format!("{path}: the key must be a registry, HOST[:PORT][/PATH]");
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
        None => Err("this must be a string"),
    }
}

/// One entry's credential. Tokens take precedence: a password beside one is stale.
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

/// A field's text; empty counts as absent.
fn field<'n>(fields: &'n Node, key: &'static str) -> Result<Option<&'n str>, FieldError> {
    match fields.get(key).map(string) {
        None | Some(Some("")) => Ok(None),
        Some(Some(text)) if text.contains('\0') => Err((key, "it contains a NUL")),
        Some(Some(text)) => Ok(Some(text)),
        Some(None) => Err((key, "this must be a string")),
    }
}

/// A string, and not a number or a boolean.
fn string(node: &Node) -> Option<&str> {
    let scalar = node.scalar()?;
    let is_other = scalar.is_plain
        && (scalar.text.parse::<f64>().is_ok() || ["true", "false"].contains(&&*scalar.text));
    (!is_other).then_some(&scalar.text)
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;

    use super::{basic::BASE64, *};

    /// Each entry as `SCOPE SOURCE`.
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
                "line 1, column 1: the file ends unexpectedly",
            ),
            (
                "{\n \"canary\": canary".into(),
                "line 2, column 12: invalid JSON",
            ),
            (
                "[]".into(),
                "line 1, column 1: the file must be an object with auths, credHelpers or \
                 credsStore",
            ),
            (
                encoded("canary"),
                "line 1, column 28: auths.\"a.b\".auth: the decoded USER:PASSWORD has no colon",
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
                "line 1, column 28: auths.\"a.b\".auth: it contains a NUL",
            ),
            (
                fields(r#""auth": "canary!""#),
                "line 1, column 28: auths.\"a.b\".auth: this is not the base64 of USER:PASSWORD",
            ),
            (
                fields(r#""auth": "/w""#),
                "line 1, column 28: auths.\"a.b\".auth: this is not text in base64",
            ),
            (
                fields(r#""auth": 5"#),
                "line 1, column 28: auths.\"a.b\".auth: this must be a string",
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
                "line 1, column 37: auths.\"a.b\".identitytoken: it contains a NUL",
            ),
            (
                key("a b"),
                "line 1, column 13: auths.\"a b\": the key must be a registry, HOST[:PORT][/PATH]",
            ),
            (
                key("https://me:canary@a.b"),
                "line 1, column 13: auths.\"…@a.b\": the key must be a registry, \
                 HOST[:PORT][/PATH]",
            ),
            (
                r#"{"auths": {"a.b": "canary"}}"#.into(),
                "line 1, column 19: auths.\"a.b\": this must be an object",
            ),
            (
                r#"{"auths": "canary"}"#.into(),
                "line 1, column 11: auths: this must be an object",
            ),
            (
                r#"{"credsStore": "../canary"}"#.into(),
                "line 1, column 16: credsStore: a helper's name has letters, digits and . _ - only",
            ),
            (
                r#"{"credHelpers": {"a.b": ["canary"]}}"#.into(),
                "line 1, column 25: credHelpers.\"a.b\": this must be a string",
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
