//! Logins as Docker keeps them: `config.json`, containers' `auth.json`, Kubernetes'
//! `.dockerconfigjson`, and the older `.dockercfg`.

use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use serde_json::{Map, Value, error::Category};
use thiserror::Error;

use crate::{
    secret::Secret,
    upstream::{Credential, Entry, Place, Source},
};

/// One thing that is wrong with such a file: where, and why. Repeats no value.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{place}: {reason}")]
pub struct Flaw {
    /// Line and column, or the key.
    pub place: String,
    /// Why.
    pub reason: &'static str,
}

/// As Kubernetes reads it: with or without padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The user of a password that is a refresh token.
const REFRESH_USERNAME: &str = "<token>";

/// Reads every login: helpers of hosts first, then what is written down, then the helper of all
/// other hosts. Of equal places the first is meant.
///
/// # Errors
/// Everything that is wrong, as far as the text can be read.
pub fn docker_config(text: &str) -> Result<Vec<Entry>, Vec<Flaw>> {
    let document = serde_json::from_str(text).map_err(|error| {
        let reason = match error.classify() {
            Category::Eof => "the file ends in the middle",
            _ => "this is no JSON",
        };
        // The parser's own words might repeat a part of the text.
        let place = format!("line {}, column {}", error.line(), error.column());
        vec![Flaw { place, reason }]
    })?;
    let Value::Object(document) = document else {
        let place = "line 1".to_owned();
        let reason = "this is no object with auths, credHelpers or credsStore";
        return Err(vec![Flaw { place, reason }]);
    };
    let mut reading = Reading::default();
    if is_dockercfg(&document) {
        reading.auths("", &document);
    } else {
        reading.helpers(&document);
        if let Some(auths) = reading.object(&document, "auths") {
            reading.auths("auths", auths);
        }
        reading.store(&document);
    }
    if reading.flaws.is_empty() {
        Ok(reading.entries)
    } else {
        Err(reading.flaws)
    }
}

/// The older form is what stands in `auths` now.
fn is_dockercfg(document: &Map<String, Value>) -> bool {
    let new = ["auths", "credHelpers", "credsStore"];
    let is_login = |value: &Value| {
        ["auth", "username"]
            .iter()
            .any(|key| value.get(key).is_some())
    };
    !new.iter().any(|key| document.contains_key(*key)) && document.values().any(is_login)
}

#[derive(Default)]
struct Reading {
    entries: Vec<Entry>,
    flaws: Vec<Flaw>,
}

impl Reading {
    fn flaw(&mut self, place: String, reason: &'static str) {
        self.flaws.push(Flaw { place, reason });
    }

    fn object<'v>(
        &mut self,
        document: &'v Map<String, Value>,
        key: &str,
    ) -> Option<&'v Map<String, Value>> {
        match document.get(key)? {
            Value::Object(object) => Some(object),
            Value::Null => None,
            _ => {
                self.flaw(key.to_owned(), "this is no object");
                None
            }
        }
    }

    fn helpers(&mut self, document: &Map<String, Value>) {
        let helpers = self.object(document, "credHelpers");
        for (key, value) in sorted(helpers.into_iter().flatten()) {
            let path = path("credHelpers", key);
            let Some(place) = self.place(&path, key) else {
                continue;
            };
            match helper_name(value) {
                // An empty name says that this host's login stands in `auths`.
                Ok("") => {}
                Ok(name) => {
                    let source = match place.host() {
                        Some(_) => Source::helper(name, host(key)),
                        None => Source::Helper {
                            name: name.to_owned(),
                            server: String::new(),
                        },
                    };
                    self.entries.push(Entry { place, source });
                }
                Err(reason) => self.flaw(path, reason),
            }
        }
    }

    fn auths(&mut self, prefix: &str, auths: &Map<String, Value>) {
        for (key, value) in sorted(auths.iter()) {
            let path = path(prefix, key);
            let Value::Object(fields) = value else {
                self.flaw(path, "this is no object");
                continue;
            };
            match credential(fields) {
                // A helper has it; the key only says that there was a login.
                Ok(None) => {}
                Ok(Some(credential)) => {
                    if let Some(place) = self.place(&path, key) {
                        let source = Source::Given(credential);
                        self.entries.push(Entry { place, source });
                    }
                }
                Err((field, reason)) => self.flaw(format!("{path}.{field}"), reason),
            }
        }
    }

    fn store(&mut self, document: &Map<String, Value>) {
        let Some(value) = document.get("credsStore") else {
            return;
        };
        match helper_name(value) {
            Ok("") => {}
            Ok(name) => self.entries.push(Entry {
                place: Place::anywhere(),
                source: Source::Helper {
                    name: name.to_owned(),
                    server: String::new(),
                },
            }),
            Err(reason) => self.flaw("credsStore".to_owned(), reason),
        }
    }

    fn place(&mut self, path: &str, key: &str) -> Option<Place> {
        let bare = bare(key);
        let place = bare.parse().ok();
        if place.is_none() {
            let reason = "the key is no registry, written HOST[:PORT][/PATH]";
            self.flaw(path.to_owned(), reason);
        }
        place
    }
}

/// Plain keys before those with a scheme: where both mean the same registry, the plain one does.
fn sorted<'v>(
    fields: impl Iterator<Item = (&'v String, &'v Value)>,
) -> Vec<(&'v String, &'v Value)> {
    let mut fields: Vec<_> = fields.collect();
    fields.sort_by_key(|(key, _)| (key.contains("://"), *key));
    fields
}

/// A key's whole path, without a login that may stand in it.
fn path(prefix: &str, key: &str) -> String {
    let shown = match key.rsplit_once('@') {
        Some((_, host)) => format!("…@{host}"),
        None => key.to_owned(),
    };
    let shown = format!("{shown:?}");
    if prefix.is_empty() {
        shown
    } else {
        format!("{prefix}.{shown}")
    }
}

/// A key without scheme, the API's version, and slashes at its end: `https://index.docker.io/v1/`.
fn bare(key: &str) -> String {
    let rest = ["https://", "http://"]
        .iter()
        .find_map(|scheme| key.strip_prefix(scheme))
        .unwrap_or(key);
    let rest = rest.trim_end_matches('/');
    match rest.split_once('/') {
        Some((host, "v1" | "v2")) => host.to_owned(),
        Some((host, path)) => {
            let below = ["v1/", "v2/"].iter().find_map(|api| path.strip_prefix(api));
            format!("{host}/{}", below.unwrap_or(path))
        }
        None => rest.to_owned(),
    }
}

/// What a helper is asked for.
fn host(key: &str) -> &str {
    let rest = key.split_once("://").map_or(key, |(_, rest)| rest);
    rest.split('/').next().unwrap_or(rest)
}

fn helper_name(value: &Value) -> Result<&str, &'static str> {
    match value {
        Value::Null => Ok(""),
        Value::String(name) if name.is_empty() || Source::is_helper_name(name) => Ok(name),
        Value::String(_) => Err("a helper's name has letters, digits and . _ - only"),
        _ => Err("this is no string"),
    }
}

/// The field that is wrong, and why.
type FieldFlaw = (&'static str, &'static str);

/// One login. Tokens come before passwords: beside one, the password is a left-over.
fn credential(fields: &Map<String, Value>) -> Result<Option<Credential>, FieldFlaw> {
    if let Some(token) = field(fields, "registrytoken")? {
        return Ok(Some(Credential::Token(Secret::new(token))));
    }
    if let Some(token) = field(fields, "identitytoken")? {
        return Ok(Some(Credential::Refresh(Secret::new(token))));
    }
    if let Some(coded) = field(fields, "auth")? {
        return decoded(coded).map(Some).map_err(|reason| ("auth", reason));
    }
    match (field(fields, "username")?, field(fields, "password")?) {
        (None, None) => Ok(None),
        (None, Some(_)) => Err(("username", "a password without a user name")),
        (Some(_), None) => Err(("password", "a user name without a password")),
        (Some(username), Some(password)) => pair(username, password).map(Some),
    }
}

/// A field's text; an empty one counts as none.
fn field<'v>(
    fields: &'v Map<String, Value>,
    key: &'static str,
) -> Result<Option<&'v str>, FieldFlaw> {
    match fields.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.is_empty() => Ok(None),
        Some(Value::String(text)) if text.contains('\0') => Err((key, "there is a NUL in it")),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err((key, "this is no string")),
    }
}

/// `auth`: the base64 of `USER:PASSWORD`.
fn decoded(coded: &str) -> Result<Credential, &'static str> {
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
    pair(username, password).map_err(|(_, reason)| reason)
}

fn pair(username: &str, password: &str) -> Result<Credential, FieldFlaw> {
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
    Ok(if username == REFRESH_USERNAME {
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
        let entries = docker_config(text).unwrap_or_else(|flaws| panic!("{text}: {flaws:?}"));
        let shown = |entry: &Entry| {
            let source = match &entry.source {
                Source::Given(Credential::Password { username, password }) => {
                    format!("{username}:{}", password.reveal())
                }
                Source::Given(Credential::Refresh(token)) => format!("refresh {}", token.reveal()),
                Source::Given(Credential::Token(token)) => format!("token {}", token.reveal()),
                Source::Helper { name, server } => format!("helper {name} {server}"),
            };
            format!("{} {source}", entry.place)
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
    fn row_126_what_is_wrong_is_said_without_a_secret() {
        let coded =
            |plain: &str| format!(r#"{{"auths": {{"a.b": {{"auth": "{}"}}}}}}"#, auth(plain));
        let fields = |fields: &str| format!(r#"{{"auths": {{"a.b": {{{fields}}}}}}}"#);
        let key = |key: &str| format!(r#"{{"auths": {{"{key}": {{"auth": "{}"}}}}}}"#, auth("a:b"));
        for (text, flaw) in [
            (
                String::new(),
                "line 1, column 0: the file ends in the middle",
            ),
            (
                "{\n \"canary\": canary".into(),
                "line 2, column 12: this is no JSON",
            ),
            (
                "[]".into(),
                "line 1: this is no object with auths, credHelpers or credsStore",
            ),
            (
                coded("canary"),
                "auths.\"a.b\".auth: there is no colon in the decoded USER:PASSWORD",
            ),
            (
                coded(":canary"),
                "auths.\"a.b\".auth: the user name is empty",
            ),
            (
                coded("canary:"),
                "auths.\"a.b\".auth: the password is empty",
            ),
            (
                coded("can\0ary:x"),
                "auths.\"a.b\".auth: there is a NUL in it",
            ),
            (
                fields(r#""auth": "canary!""#),
                "auths.\"a.b\".auth: this is no base64 of USER:PASSWORD",
            ),
            (
                fields(r#""auth": "/w""#),
                "auths.\"a.b\".auth: this is no text in base64",
            ),
            (
                fields(r#""auth": 5"#),
                "auths.\"a.b\".auth: this is no string",
            ),
            (
                fields(r#""username": "canary""#),
                "auths.\"a.b\".password: a user name without a password",
            ),
            (
                fields(r#""password": "canary""#),
                "auths.\"a.b\".username: a password without a user name",
            ),
            (
                fields(r#""identitytoken": "can\u0000ary""#),
                "auths.\"a.b\".identitytoken: there is a NUL in it",
            ),
            (
                key("a b"),
                "auths.\"a b\": the key is no registry, written HOST[:PORT][/PATH]",
            ),
            (
                key("https://me:canary@a.b"),
                "auths.\"…@a.b\": the key is no registry, written HOST[:PORT][/PATH]",
            ),
            (
                r#"{"auths": {"a.b": "canary"}}"#.into(),
                "auths.\"a.b\": this is no object",
            ),
            (r#"{"auths": "canary"}"#.into(), "auths: this is no object"),
            (
                r#"{"credsStore": "../canary"}"#.into(),
                "credsStore: a helper's name has letters, digits and . _ - only",
            ),
            (
                r#"{"credHelpers": {"a.b": ["canary"]}}"#.into(),
                "credHelpers.\"a.b\": this is no string",
            ),
        ] {
            let flaws = docker_config(&text).unwrap_err();
            let texts: Vec<_> = flaws.iter().map(ToString::to_string).collect();
            assert_eq!(texts, [flaw]);
            assert!(!format!("{flaws:?}").contains("canary"));
        }
        let two = r#"{"auths": {"a.b": 1, "c.d": 2}}"#;
        assert_eq!(docker_config(two).unwrap_err().len(), 2);
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(text in "\\PC{0,100}", key in "\\PC{0,30}", auth in "[A-Za-z0-9+/=]{0,40}") {
            let _read = docker_config(&text).is_ok();
            let document = serde_json::json!({ "auths": { key: { "auth": auth } } });
            let _read = docker_config(&document.to_string()).is_ok();
        }
    }
}
