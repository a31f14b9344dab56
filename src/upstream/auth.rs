//! Logins: what is sent as `Authorization`, and what a 401 changes about it.
//!
//! Only an endpoint itself is ever sent a login, and only its own 401 is listened to: a redirect's
//! target gets nothing and teaches nothing.

use http::{HeaderMap, header::WWW_AUTHENTICATE};
use parking_lot::Mutex;
use reqwest::RequestBuilder;

use super::Credentials;
use crate::secret::Secret;

/// How we log in at one endpoint.
#[derive(Debug, Default)]
pub(super) struct Login {
    credentials: Credentials,
    /// What its last 401 asked for; kept so that later requests need no refusal first.
    challenge: Mutex<Challenge>,
}

/// What is sent.
#[derive(Clone, Debug)]
pub(super) enum Authorization {
    /// Nothing.
    None,
    /// User name and password.
    Basic {
        /// The user name.
        username: String,
        /// The password.
        password: Secret,
    },
}

/// What a 401 asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Challenge {
    /// Nothing that we know.
    #[default]
    None,
    /// User name and password.
    Basic,
    /// A token, and nothing else.
    Token,
}

impl Login {
    /// Has these credentials ready for whoever asks for them.
    pub(super) fn new(credentials: Credentials) -> Self {
        Self {
            credentials,
            challenge: Mutex::default(),
        }
    }

    /// What the next request carries, given the credentials and the last challenge.
    pub(super) fn authorization(&self) -> Authorization {
        let challenge = *self.challenge.lock();
        match (&self.credentials, challenge) {
            (Credentials::Basic { username, password }, Challenge::Basic) => Authorization::Basic {
                username: username.clone(),
                password: password.clone(),
            },
            _ => Authorization::None,
        }
    }

    /// Takes a 401's challenge in; whether asking again would send something new.
    pub(super) fn challenged(&self, sent: &Authorization, headers: &HeaderMap) -> bool {
        let challenge = Challenge::read(headers);
        *self.challenge.lock() = challenge;
        let can = challenge == Challenge::Basic && !self.is_anonymous();
        can && matches!(sent, Authorization::None)
    }

    /// Why a 401 is the last word, for the log.
    pub(super) fn why_refused(&self, sent: &Authorization) -> &'static str {
        let challenge = *self.challenge.lock();
        match (sent, challenge) {
            (Authorization::Basic { .. }, _) => "it does not accept the login",
            (Authorization::None, Challenge::Token) => "it needs a token login",
            (Authorization::None, _) if self.is_anonymous() => "it needs a login",
            (Authorization::None, _) => "it does not say how to log in",
        }
    }

    /// Whether there is nothing to log in with.
    pub(super) fn is_anonymous(&self) -> bool {
        matches!(self.credentials, Credentials::Anonymous)
    }
}

impl Authorization {
    /// Puts it into a request; the header is marked so that nothing prints it.
    pub(super) fn apply(&self, request: RequestBuilder) -> RequestBuilder {
        match self {
            Self::None => request,
            Self::Basic { username, password } => {
                request.basic_auth(username, Some(password.reveal()))
            }
        }
    }
}

impl Challenge {
    /// Reads all challenges, in any order, on one line or several. Basic is preferred: it needs no
    /// third party.
    fn read(headers: &HeaderMap) -> Self {
        let schemes = headers
            .get_all(WWW_AUTHENTICATE)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(schemes);
        schemes.fold(Self::None, |best, scheme| {
            match (best, scheme.to_ascii_lowercase().as_str()) {
                (Self::Basic, _) | (_, "basic") => Self::Basic,
                (_, "bearer") => Self::Token,
                (best, _) => best,
            }
        })
    }
}

/// The scheme names of one header line: what starts an element and is no `name=value`.
fn schemes(line: &str) -> Vec<&str> {
    let mut quoted = false;
    let outside = |byte: char| {
        quoted ^= byte == '"';
        byte == ',' && !quoted
    };
    line.split(outside)
        .filter_map(|element| element.split_whitespace().next())
        .filter(|word| !word.contains('='))
        .collect()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn read(lines: &[&'static str]) -> Challenge {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(WWW_AUTHENTICATE, HeaderValue::from_static(line));
        }
        Challenge::read(&headers)
    }

    #[test]
    fn challenges_come_in_any_order() {
        let bearer = r#"Bearer realm="https://a/t, Basic x",service="s",error="a b""#;
        assert_eq!(read(&[]), Challenge::None);
        assert_eq!(read(&[bearer]), Challenge::Token);
        assert_eq!(read(&[r#"basic realm="x""#]), Challenge::Basic);
        assert_eq!(read(&[bearer, r#"Basic realm="x""#]), Challenge::Basic);
        assert_eq!(
            read(&[r#"Negotiate, Bearer realm="r",service="s", Basic realm="x""#]),
            Challenge::Basic
        );
        assert_eq!(read(&["Negotiate", "NTLM abc="]), Challenge::None);
        assert_eq!(read(&["Basic"]), Challenge::Basic);
    }

    #[test]
    fn a_password_leaves_only_when_it_is_asked_for() {
        let login = Login::new(Credentials::Basic {
            username: "u".into(),
            password: Secret::new("p"),
        });
        let none = login.authorization();
        assert!(matches!(none, Authorization::None));
        let mut headers = HeaderMap::new();
        assert!(!login.challenged(&none, &headers));
        headers.insert(
            WWW_AUTHENTICATE,
            HeaderValue::from_static("Bearer realm=\"r\""),
        );
        assert!(!login.challenged(&none, &headers));
        assert_eq!(login.why_refused(&none), "it needs a token login");
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Basic"));
        assert!(login.challenged(&none, &headers));
        let basic = login.authorization();
        assert!(matches!(basic, Authorization::Basic { .. }));
        assert!(!login.challenged(&basic, &headers));
        assert!(!Login::default().challenged(&none, &headers));
    }
}
