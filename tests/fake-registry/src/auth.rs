//! Who may ask: nobody refused, a password, or a token from the token service. Pure.

use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use http::{Method, StatusCode};
use serde_json::json;

use crate::answer::Answer;
use crate::record::Recorded;
use crate::target::{Endpoint, query_value};

/// The registry's guard.
#[derive(Debug)]
pub(crate) enum Guard {
    Open,
    Basic(Login),
    Bearer {
        /// Who gets a token; `None` gives one to everybody.
        login: Option<Login>,
        /// Where tokens are said to be had, if not here.
        realm: Option<String>,
    },
}

/// A user name and a password.
#[derive(Debug)]
pub(crate) struct Login {
    pub(crate) user: String,
    pub(crate) password: String,
}

/// What a token is worth now.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mint {
    /// Tokens of an earlier generation have expired.
    pub(crate) generation: usize,
    /// What `expires_in` says.
    pub(crate) lifetime_s: usize,
}

impl Guard {
    /// The refusal of this request, or the token service's answer to it; `None` lets it in.
    pub(crate) fn stop(&self, request: &Recorded, mint: Mint, host: &str) -> Option<Answer> {
        match self {
            Self::Open => None,
            Self::Basic(login) => {
                (!login.is_in(request)).then(|| challenge("Basic realm=\"fake registry\""))
            }
            Self::Bearer { login, .. } if request.endpoint == Endpoint::Token => {
                Some(token(login.as_ref(), request, mint))
            }
            Self::Bearer { realm, .. } => refusal(request, mint).map(|error| {
                let here = format!("http://{host}/token");
                let realm = realm.as_deref().unwrap_or(&here);
                let scope = needed_scope(request);
                let scope = scope
                    .map(|scope| format!(",scope=\"{scope}\""))
                    .unwrap_or_default();
                challenge(&format!(
                    "Bearer realm=\"{realm}\",service=\"{SERVICE}\"{scope}{error}"
                ))
            }),
        }
    }
}

impl Login {
    fn is_in(&self, request: &Recorded) -> bool {
        let pair = base64(format!("{}:{}", self.user, self.password).as_bytes());
        request.header(AUTHORIZATION.as_str()) == Some(&format!("Basic {pair}"))
    }
}

/// Why a bearer is not let in, as the end of a challenge.
fn refusal(request: &Recorded, mint: Mint) -> Option<&'static str> {
    let Some(bearer) = request
        .header(AUTHORIZATION.as_str())
        .and_then(|value| value.strip_prefix("Bearer "))
    else {
        return Some("");
    };
    let scopes = bearer.strip_prefix(&token_prefix(mint.generation));
    match (scopes, needed_scope(request)) {
        (None, _) => Some(",error=\"invalid_token\""),
        (Some(scopes), Some(scope)) if !scopes.split('+').any(|held| held == scope) => {
            Some(",error=\"insufficient_scope\"")
        }
        (Some(_), _) => None,
    }
}

/// The token service: the token says what it is good for, so that two registries can share one.
fn token(login: Option<&Login>, request: &Recorded, mint: Mint) -> Answer {
    if request.method != Method::GET {
        return Answer::error(StatusCode::METHOD_NOT_ALLOWED, "UNSUPPORTED");
    }
    if login.is_some_and(|login| !login.is_in(request)) {
        return Answer::error(StatusCode::UNAUTHORIZED, "UNAUTHORIZED");
    }
    let scope = query_value(request.query.as_deref(), "scope").unwrap_or_default();
    let token = format!(
        "{}{}",
        token_prefix(mint.generation),
        scope.replace(' ', "+")
    );
    let body = json!({ "token": token, "access_token": token, "expires_in": mint.lifetime_s });
    Answer::new(StatusCode::OK, "application/json", body.to_string())
}

fn token_prefix(generation: usize) -> String {
    format!("fake-{generation}-")
}

fn needed_scope(request: &Recorded) -> Option<String> {
    request
        .endpoint
        .repository()
        .map(|name| format!("repository:{name}:pull"))
}

fn challenge(value: &str) -> Answer {
    Answer::error(StatusCode::UNAUTHORIZED, "UNAUTHORIZED").with(WWW_AUTHENTICATE, value)
}

fn base64(bytes: &[u8]) -> String {
    let letters: Vec<char> = ('A'..='Z')
        .chain('a'..='z')
        .chain('0'..='9')
        .chain(['+', '/'])
        .collect();
    let letter = |bits: usize| letters.get(bits % 64).copied().unwrap_or('=');
    bytes
        .chunks(3)
        .flat_map(|chunk| {
            let byte = |at: usize| usize::from(chunk.get(at).copied().unwrap_or(0));
            let bits = (byte(0) << 16) | (byte(1) << 8) | byte(2);
            [
                letter(bits >> 18),
                letter(bits >> 12),
                if chunk.len() > 1 {
                    letter(bits >> 6)
                } else {
                    '='
                },
                if chunk.len() > 2 { letter(bits) } else { '=' },
            ]
        })
        .collect()
}

const SERVICE: &str = "fake-registry";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_the_standard() {
        for (plain, coded) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob?>~", "Zm9vYj8+fg=="),
        ] {
            assert_eq!(base64(plain.as_bytes()), coded);
        }
    }
}
