//! A token service as Docker's specification has it, whose tokens a real docker-registry checks.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use base64::{
    Engine,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD},
};
use parking_lot::Mutex;
use percent_encoding::percent_decode_str;
use rcgen::{CertificateParams, KeyPair, PKCS_RSA_SHA256, RsaKeySize, SigningKey};
use serde_json::{Value, json};

use super::{
    http,
    registry::Guard,
    web::{Request, Response, Web},
};

const SERVICE: &str = "harbor";
const ISSUER: &str = "scene";
/// docker-registry believes a token for so long beyond its end, so ours end that much earlier.
const LEEWAY_SECONDS: u64 = 60;
const BEGUN_SECONDS_AGO: u64 = 3600;

/// Who may have tokens.
pub(crate) struct Login {
    pub(crate) username: String,
    pub(crate) password: String,
    /// Taken in place of both.
    pub(crate) refresh: String,
}

/// The service, and what it has been asked.
pub(crate) struct Tokens {
    web: Web,
    bundle: PathBuf,
    book: Arc<Mutex<Book>>,
}

#[derive(Default)]
struct Book {
    issued: Vec<String>,
    refused: usize,
}

impl Tokens {
    /// Signs tokens that hold for `lifetime`; its certificate is written into `folder`.
    pub(crate) fn start(folder: &Path, login: Login, lifetime: Duration) -> Self {
        let key = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap();
        let params = CertificateParams::new([]).unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let bundle = folder.join("tokens.crt");
        std::fs::write(&bundle, certificate.pem()).unwrap();
        let chain = [BASE64_STANDARD.encode(certificate.der())];
        let head = json!({"typ": "JWT", "alg": "RS256", "x5c": chain});
        let book = Arc::new(Mutex::new(Book::default()));
        let pages = Arc::clone(&book);
        let web = Web::serve(move |request| {
            let form = form(request);
            if !login.admits(request, &form) {
                pages.lock().refused += 1;
                return Response::new(401, r#"{"errors": [{"code": "UNAUTHORIZED"}]}"#);
            }
            let token = sign(&key, &head, &claims(&form, lifetime));
            pages.lock().issued.push(token.clone());
            let answer = json!({"token": token, "expires_in": lifetime.as_secs()});
            Response::new(200, answer.to_string()).header("Content-Type", "application/json")
        });
        Self { web, bundle, book }
    }

    /// What makes a docker-registry send its clients here.
    pub(crate) fn guard(&self) -> Guard<'_> {
        Guard::Token {
            realm: format!("http://{}/token", self.web.address),
            service: SERVICE,
            issuer: ISSUER,
            bundle: &self.bundle,
        }
    }

    /// A token for one repository, as a client with this login gets it.
    pub(crate) fn get(&self, repository: &str, username: &str, password: &str) -> String {
        let target = format!("/token?service={SERVICE}&scope=repository:{repository}:pull");
        let pair = BASE64_STANDARD.encode(format!("{username}:{password}"));
        let headers = [("Authorization", format!("Basic {pair}"))];
        let headers = headers
            .each_ref()
            .map(|(name, value)| (*name, value.as_str()));
        let reply = http::send(self.web.address, "GET", &target, &headers, None).unwrap();
        let answer = reply.expect_status(200, &target).bytes();
        let answer: Value = serde_json::from_slice(&answer).unwrap();
        answer["token"].as_str().unwrap().to_owned()
    }

    /// Every token given so far.
    pub(crate) fn issued(&self) -> Vec<String> {
        self.book.lock().issued.clone()
    }

    /// How often somebody came with a wrong login, or with none.
    pub(crate) fn refused(&self) -> usize {
        self.book.lock().refused
    }
}

impl Login {
    fn admits(&self, request: &Request, form: &[(String, String)]) -> bool {
        let pair = format!("{}:{}", self.username, self.password);
        let basic = format!("Basic {}", BASE64_STANDARD.encode(pair));
        let has = |name: &str, value: &str| field(form, name) == Some(value);
        match field(form, "grant_type") {
            Some("refresh_token") => has("refresh_token", &self.refresh),
            Some("password") => has("username", &self.username) && has("password", &self.password),
            _ => request.header("authorization") == Some(basic.as_str()),
        }
    }
}

/// The fields of the query and of a posted form.
fn form(request: &Request) -> Vec<(String, String)> {
    let (_, query) = request.target.split_once('?').unwrap_or_default();
    let pairs = query.split('&').chain(request.body.split('&'));
    let text = |text: &str| {
        let spaced = text.replace('+', " ");
        percent_decode_str(&spaced)
            .decode_utf8()
            .unwrap()
            .into_owned()
    };
    pairs
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (text(name), text(value)))
        .collect()
}

fn field<'a>(form: &'a [(String, String)], name: &str) -> Option<&'a str> {
    let found = form.iter().find(|(key, _)| key == name)?;
    Some(&found.1)
}

/// The right to pull whatever was asked for, and nothing else.
fn claims(form: &[(String, String)], lifetime: Duration) -> Value {
    let scopes = form.iter().filter(|(name, _)| name == "scope");
    let access: Vec<Value> = scopes
        .flat_map(|(_, scope)| scope.split(' '))
        .filter_map(|scope| scope.strip_prefix("repository:")?.rsplit_once(':'))
        .map(|(name, _)| json!({"type": "repository", "name": name, "actions": ["pull"]}))
        .collect();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let now = now.unwrap().as_secs();
    json!({
        "iss": ISSUER,
        "sub": "robot",
        "aud": SERVICE,
        "exp": now + lifetime.as_secs() - LEEWAY_SECONDS,
        "nbf": now - BEGUN_SECONDS_AGO,
        "iat": now,
        "jti": format!("{now}"),
        "access": access,
    })
}

fn sign(key: &KeyPair, head: &Value, claims: &Value) -> String {
    let [head, claims] = [head, claims].map(|part| BASE64_URL_SAFE_NO_PAD.encode(part.to_string()));
    let text = format!("{head}.{claims}");
    let signature = BASE64_URL_SAFE_NO_PAD.encode(key.sign(text.as_bytes()).unwrap());
    format!("{text}.{signature}")
}
