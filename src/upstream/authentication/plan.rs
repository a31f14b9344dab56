//! From a challenge and a login to what is sent, and from a refusal to what follows. Pure.

use reqwest::Url;
use tokio::time::Instant;

use super::{
    authorization::{Authorization, TokenKey},
    challenge::{BearerChallenge, Challenge},
    state::{AuthAttempts, AuthFallback},
    token,
};
use crate::{
    connect::AddressGuard,
    oci::RepositoryName,
    upstream::{Credential, ProtocolViolation},
};

/// Most refusals of one request that are answered with another login.
const ROUNDS_MAX: u32 = 2;

/// Where a login is wanted.
pub(super) struct AuthContext<'a> {
    pub(super) base: &'a Url,
    pub(super) guard: &'a AddressGuard,
    /// Further hosts whose token services may have our logins.
    pub(super) listed: &'a [String],
    pub(super) name: Option<&'a RepositoryName>,
}

/// What a challenge leads to.
#[derive(Debug)]
pub(super) enum AuthPlan {
    /// This can be sent at once.
    Send(Authorization),
    /// A token of this kind.
    Fetch(TokenKey),
    /// We have nothing that it asks for.
    NothingToSend(&'static str),
    /// It sends us where we do not go.
    Stop(ProtocolViolation),
}

/// What a refusal leads to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum RefusalAction {
    /// The same request with what the plan says.
    Retry,
    /// The same request without a login, to hear the whole challenge.
    WithoutCredentials,
    /// The end: our login, or its absence, is not accepted.
    Refused(&'static str),
    /// The end: we do not go where it sends us.
    Stop(ProtocolViolation),
}

impl AuthContext<'_> {
    /// What to send. Judged anew each time, so that no earlier verdict speaks for another realm.
    pub(super) fn plan(&self, challenge: &Challenge, credential: Option<&Credential>) -> AuthPlan {
        match (credential, self.first_usable(challenge, credential)) {
            (Some(Credential::Token(token)), _) => match token::header(token.reveal()) {
                Some(header) => AuthPlan::Send(Authorization::ConfiguredToken(header)),
                None => AuthPlan::NothingToSend("the configured token cannot be sent"),
            },
            (_, Some(Ok(key))) => AuthPlan::Fetch(key),
            (Some(password), Some(Err(_))) if challenge.basic => basic(password),
            (_, Some(Err(breach))) => AuthPlan::Stop(breach),
            (Some(credential), None) if challenge.basic => basic(credential),
            (None, None) if challenge.basic => AuthPlan::NothingToSend("it needs a login"),
            (_, None) => AuthPlan::NothingToSend("it does not say how to log in"),
        }
    }

    /// The first token service that may be asked; if there are only others, what is wrong with the
    /// first of them.
    fn first_usable(
        &self,
        challenge: &Challenge,
        credential: Option<&Credential>,
    ) -> Option<Result<TokenKey, ProtocolViolation>> {
        let bearers = challenge.bearers.iter();
        let mut keys = bearers.map(|bearer| self.key(bearer, credential));
        let first = keys.next()?;
        Some(first.or_else(|breach| keys.find_map(Result::ok).ok_or(breach)))
    }

    fn key(
        &self,
        bearer: &BearerChallenge,
        credential: Option<&Credential>,
    ) -> Result<TokenKey, ProtocolViolation> {
        let realm = bearer.realm.clone()?;
        realm.check_allowed(self.base, self.guard)?;
        if credential.is_some() && !realm.may_receive_credentials(self.base, self.listed) {
            let origin = realm.origin();
            let why = format!("our login is not for {origin}, unless `realms` lists it");
            return Err(ProtocolViolation::Realm(why));
        }
        let pull = || self.name.map(|name| format!("repository:{name}:pull"));
        Ok(TokenKey {
            credential: credential.cloned(),
            realm,
            service: bearer.service.clone(),
            scope: bearer.scope.clone().or_else(pull),
        })
    }
}

fn basic(credential: &Credential) -> AuthPlan {
    match credential {
        Credential::Password { username, password } => AuthPlan::Send(Authorization::Basic {
            username: username.clone(),
            password: password.clone(),
        }),
        _ => AuthPlan::NothingToSend("it takes user names and passwords only"),
    }
}

impl AuthAttempts {
    /// What follows from a refusal of what was sent by a request that began at `began`.
    pub(super) fn after_refusal(
        &mut self,
        sent: &Authorization,
        challenge: &Challenge,
        plan: &AuthPlan,
        began: Instant,
    ) -> RefusalAction {
        let is_token = matches!(sent, Authorization::Token(..));
        // An expired token is answered with another scheme, or with no challenge at all, by some.
        if is_token && challenge.bearers.is_empty() && self.once(AuthFallback::WithoutCredentials) {
            return RefusalAction::WithoutCredentials;
        }
        let refused = match (sent, plan) {
            (_, AuthPlan::Stop(breach)) => return RefusalAction::Stop(breach.clone()),
            (Authorization::Basic { .. }, AuthPlan::Send(Authorization::Basic { .. }))
            | (Authorization::Basic { .. }, AuthPlan::NothingToSend(_)) => {
                Some("it does not accept the login")
            }
            (Authorization::ConfiguredToken(_), _) => {
                Some("it does not accept the configured token")
            }
            (_, AuthPlan::NothingToSend(why)) => Some(*why),
            // What the service issued just now will not be better a second time.
            (Authorization::Token(key, token), AuthPlan::Fetch(next)) => (key == next
                && token.requested_at >= began)
                .then_some("it does not accept its own service's token"),
            (_, AuthPlan::Send(_) | AuthPlan::Fetch(_)) => None,
        };
        match refused {
            Some(why) => RefusalAction::Refused(why),
            None if self.rounds == ROUNDS_MAX => RefusalAction::Refused("it accepts no login"),
            None => {
                self.rounds += 1;
                RefusalAction::Retry
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use http::{HeaderMap, HeaderValue, header::WWW_AUTHENTICATE};

    use super::*;
    use crate::{
        connect::{GuardPolicy, NamedBy, NetworkZone},
        secret::Secret,
    };

    const OWN: &str = "Bearer realm=\"https://auth.r.example/\",service=s";
    const FOREIGN: &str = "Bearer realm=\"https://else.net/\",service=s";

    fn challenge(lines: &[&'static str]) -> Challenge {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(WWW_AUTHENTICATE, HeaderValue::from_static(line));
        }
        Challenge::read(&headers)
    }

    fn plan(challenge: &Challenge, credential: Option<&Credential>) -> AuthPlan {
        let place = AuthContext {
            base: &"https://r.example".parse().unwrap(),
            guard: &AddressGuard::new(GuardPolicy {
                own_hosts: vec!["r.example".into()],
                least_zone: NetworkZone::Public,
                named_by: NamedBy::Configuration,
                allowed_hosts: Vec::new(),
                proxy_hosts: Vec::new(),
            }),
            listed: &[],
            name: Some(&"a/b".parse().unwrap()),
        };
        place.plan(challenge, credential)
    }

    fn told(plan: &AuthPlan) -> String {
        match plan {
            AuthPlan::Send(Authorization::Basic { .. }) => "basic".into(),
            AuthPlan::Send(_) => "own".into(),
            AuthPlan::Fetch(key) => key.scope.clone().unwrap_or_default(),
            AuthPlan::NothingToSend(_) => "nothing".into(),
            AuthPlan::Stop(_) => "stop".into(),
        }
    }

    fn password() -> Credential {
        Credential::Password {
            username: "u".into(),
            password: Secret::new("p"),
        }
    }

    #[test]
    fn a_password_leaves_only_when_it_is_asked_for() {
        let (pull, scoped) = (
            "repository:a/b:pull",
            "Bearer realm=\"https://r.example/\",scope=aws",
        );
        let (password, refresh) = (password(), Credential::Refresh(Secret::new("r")));
        let token = Credential::Token(Secret::new("t"));
        let broken = Credential::Token(Secret::new("t\r\nx: y"));
        let nowhere = "Bearer realm=\"nowhere\"";
        let rows: [(&[&'static str], Option<&Credential>, &str); 22] = [
            (&[], None, "nothing"),
            (&[], Some(&password), "nothing"),
            (&[], Some(&token), "own"),
            (&[], Some(&broken), "nothing"),
            (&["Basic"], None, "nothing"),
            (&["Basic"], Some(&password), "basic"),
            (&["Basic"], Some(&refresh), "nothing"),
            (&["Negotiate"], Some(&password), "nothing"),
            (&[OWN], None, pull),
            (&[OWN], Some(&password), pull),
            (&[OWN], Some(&refresh), pull),
            (&["Basic", OWN], Some(&password), pull),
            (&[scoped], Some(&password), "aws"),
            (&[FOREIGN], None, pull),
            (&[FOREIGN], Some(&password), "stop"),
            (&[FOREIGN, "Basic"], Some(&password), "basic"),
            (&["Bearer realm=\"http://r.example/\""], None, "stop"),
            (&[FOREIGN, OWN], Some(&password), pull),
            (&["Bearer", nowhere, OWN, "Basic"], Some(&password), pull),
            (&[nowhere, OWN], None, pull),
            (&[nowhere, FOREIGN], Some(&password), "stop"),
            (&[nowhere, FOREIGN, "Basic"], Some(&password), "basic"),
        ];
        for (lines, credential, want) in rows {
            let plan = plan(&challenge(lines), credential);
            assert_eq!(told(&plan), want, "{lines:?} {credential:?}");
        }
        // Only who logs in with it may use a token.
        let key = |credential| match plan(&challenge(&[OWN]), credential) {
            AuthPlan::Fetch(key) => key,
            other => panic!("{other:?}"),
        };
        assert_ne!(key(None), key(Some(&password)));
        assert_eq!(key(Some(&password)), key(Some(&password.clone())));
    }

    #[test]
    fn a_refusal_is_answered_with_something_new_or_not_at_all() {
        let login = password();
        let key = |scope: &str| match plan(&challenge(&[OWN]), Some(&login)) {
            AuthPlan::Fetch(key) => TokenKey {
                scope: Some(scope.to_owned()),
                ..key
            },
            other => panic!("{other:?}"),
        };
        let began = Instant::now();
        let sent = |scope: &str, body: &[u8], born| {
            let token = token::read(body, born).unwrap().token;
            Authorization::Token(key(scope), Arc::new(token))
        };
        let body = br#"{"token":"t"}"#;
        let pull = "repository:a/b:pull";
        let old = || {
            began
                .checked_sub(std::time::Duration::from_secs(1))
                .unwrap()
        };
        let next = |tried: &mut AuthAttempts, sent: &Authorization, lines: &[&'static str]| {
            let challenge = challenge(lines);
            let plan = plan(&challenge, Some(&login));
            match tried.after_refusal(sent, &challenge, &plan, began) {
                RefusalAction::Retry => "again",
                RefusalAction::WithoutCredentials => "bare",
                RefusalAction::Refused(_) => "refused",
                RefusalAction::Stop(_) => "stop",
            }
        };
        let basic = || Authorization::Basic {
            username: "u".into(),
            password: Secret::new("p"),
        };
        let own = || Authorization::ConfiguredToken(token::header("t").unwrap());
        let rows: [(Authorization, &[&'static str], &str); 13] = [
            (Authorization::None, &["Basic"], "again"),
            (Authorization::None, &[OWN], "again"),
            (Authorization::None, &[], "refused"),
            (Authorization::None, &[FOREIGN], "stop"),
            (basic(), &["Basic"], "refused"),
            (basic(), &[], "refused"),
            (basic(), &[OWN], "again"),
            (own(), &[OWN], "refused"),
            (sent(pull, body, old()), &[OWN], "again"),
            (sent(pull, body, began), &[OWN], "refused"),
            (sent("less", body, began), &[OWN], "again"),
            (sent(pull, body, began), &["Basic"], "bare"),
            (sent(pull, body, began), &[], "bare"),
        ];
        for (sent, lines, want) in rows {
            assert_eq!(
                next(&mut AuthAttempts::default(), &sent, lines),
                want,
                "{sent:?} {lines:?}"
            );
        }
        let mut tried = AuthAttempts::default();
        let stale = sent(pull, body, old());
        let steps = [&stale; 3].map(|sent| next(&mut tried, sent, &[OWN]));
        assert_eq!(steps, ["again", "again", "refused"], "B096");
        let steps = [&stale; 2].map(|sent| next(&mut AuthAttempts::default(), sent, &[]));
        assert_eq!(steps, ["bare", "bare"]);
        let mut tried = AuthAttempts::default();
        let steps = [&stale; 2].map(|sent| next(&mut tried, sent, &[]));
        assert_eq!(steps, ["bare", "refused"]);
    }
}
