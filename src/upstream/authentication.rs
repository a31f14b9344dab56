//! How we log in: what is sent as `Authorization`, what a 401 changes about it, and tokens.
//!
//! Promises: a login goes to the endpoint itself, and to a token service that may have it; nothing
//! of it is ever printed. Called by `exchange`. Never listens to a redirect's target.

mod challenge;
mod fetch;
pub(super) mod plan;
mod realm;
#[cfg(test)]
mod scenes;
mod token;
mod tokens;

use std::{sync::Arc, time::Duration};

use http::{HeaderMap, HeaderValue, header::AUTHORIZATION};
use moka::sync::Cache;
use parking_lot::Mutex;
use reqwest::RequestBuilder;
use tokio::time::Instant;

use super::{
    Credential, ProtocolViolation, UpstreamError,
    call::{
        caller::Caller,
        endpoint::Endpoint,
        exchange::{AttemptFailure, ExchangeState},
        judge::{Responder, Verdict},
        request::UpstreamRequest,
    },
};
use crate::{oci::RepositoryName, secret::Secret};
use plan::{AuthAttempts, AuthFallback, AuthPlan, RefusalAction};
use realm::Realm;
use token::BearerToken;

pub(super) use challenge::Challenge;
pub(super) use tokens::Tokens;

/// Most repositories of an endpoint whose challenges are remembered.
const REPOSITORIES_MAX: u64 = 4096;
/// How long an endpoint whose root says nothing either is not asked there again.
const SILENT_ROOT_MAX: Duration = Duration::from_mins(1);

/// What an endpoint's refusals taught us, so that later requests need no refusal first.
#[derive(Debug)]
pub(super) struct KnownChallenges {
    /// For repositories that nobody asked for yet.
    last: Mutex<Challenge>,
    by_repository: Cache<RepositoryName, Challenge>,
    /// Until when asking at the root teaches nothing.
    silent_until: Mutex<Option<Instant>>,
}

/// What one request carries.
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
    /// A token from the configuration.
    ConfiguredToken(HeaderValue),
    /// A token from a service.
    Token(TokenKey, Arc<BearerToken>),
}

/// What decides who may use a token, and for what.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct TokenKey {
    pub(super) credential: Option<Credential>,
    pub(super) realm: Realm,
    pub(super) service: Option<String>,
    pub(super) scope: Option<String>,
}

/// How far one request has come with logging in.
#[derive(Debug)]
pub(super) struct AuthState {
    began: Instant,
    pub(in crate::upstream) attempts: AuthAttempts,
    /// What we have to log in with.
    pub(super) credential: Option<Credential>,
    /// Whether the next request shall carry nothing, to hear the whole challenge.
    omit_next: bool,
    /// What was sent last.
    pub(super) sent: Authorization,
}

impl Default for KnownChallenges {
    fn default() -> Self {
        Self {
            last: Mutex::default(),
            by_repository: Cache::new(REPOSITORIES_MAX),
            silent_until: Mutex::default(),
        }
    }
}

impl KnownChallenges {
    fn of(&self, name: Option<&RepositoryName>) -> Challenge {
        let own = name.and_then(|name| self.by_repository.get(name));
        own.unwrap_or_else(|| self.last.lock().clone().without_scope())
    }

    fn remember(&self, name: Option<&RepositoryName>, challenge: &Challenge) {
        *self.last.lock() = challenge.clone();
        if let Some(name) = name {
            self.by_repository.insert(name.clone(), challenge.clone());
        }
    }

    /// Whether the root may say what a resource does not.
    fn may_ping(&self, now: Instant) -> bool {
        self.silent_until.lock().is_none_or(|until| now >= until)
    }

    /// Remembers whether the root said something.
    fn record_ping(&self, challenge: &Challenge, now: Instant) {
        *self.silent_until.lock() = challenge.is_empty().then_some(now + SILENT_ROOT_MAX);
    }

    /// Goes back to asking: what was learnt leads nowhere.
    fn forget(&self, name: Option<&RepositoryName>) {
        self.remember(name, &Challenge::default());
    }
}

impl AuthState {
    pub(super) fn new() -> Self {
        Self {
            began: Instant::now(),
            attempts: AuthAttempts::default(),
            credential: None,
            omit_next: false,
            sent: Authorization::None,
        }
    }

    /// Whether a 400 may mean that the token was too old (some say so), which is believed once.
    pub(super) fn may_blame_token(&mut self) -> bool {
        let is_token = matches!(self.sent, Authorization::Token(..));
        is_token && self.attempts.once(AuthFallback::NewToken)
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
            Self::ConfiguredToken(header) => request.header(AUTHORIZATION, header),
            Self::Token(_, token) => request.header(AUTHORIZATION, token.header()),
        }
    }
}

impl Caller {
    /// What the next request to the endpoint carries. A token that must be fetched is fetched.
    pub(super) async fn log_in(
        &self,
        station: &Endpoint,
        request: &UpstreamRequest,
        trail: &mut ExchangeState,
    ) -> Result<Authorization, AttemptFailure> {
        trail.waiting_for = self.helper(request);
        trail.auth.credential = self.credential(station, request).await?;
        trail.waiting_for = None;
        if std::mem::take(&mut trail.auth.omit_next) {
            return Ok(Authorization::None);
        }
        let challenge = station.known_challenges.of(request.name.as_ref());
        let key = match self.plan(station, request, &challenge, &trail.auth) {
            // Learnt with another login, maybe: the endpoint shall say it again.
            AuthPlan::Stop(_) | AuthPlan::NothingToSend(_) => return Ok(Authorization::None),
            AuthPlan::Send(authorization) => return Ok(authorization),
            AuthPlan::Fetch(key) => key,
        };
        trail.waiting_for = Some(key.realm.origin().into());
        let failure = match self.token(station, &key).await {
            Ok(token) => {
                trail.waiting_for = None;
                return Ok(Authorization::Token(key, token));
            }
            Err(failure) => failure,
        };
        if failure.error.is_refused_credentials() && self.renew_login(request, &mut trail.auth) {
            trail.waiting_for = None;
            return Box::pin(self.log_in(station, request, trail)).await;
        }
        // Should the endpoint have another service now, it shall have the chance to say so.
        if !matches!(failure.error, UpstreamError::Throttled { .. }) {
            station.known_challenges.forget(request.name.as_ref());
        }
        Err(failure)
    }

    /// Takes a refusal in: either there is something new to send, or it is the last word.
    pub(super) async fn challenged(
        &self,
        station: &Endpoint,
        request: &UpstreamRequest,
        headers: &HeaderMap,
        trail: &mut ExchangeState,
    ) -> Result<(), AttemptFailure> {
        self.drop_token(&trail.auth.sent);
        let visit = &mut trail.auth;
        let mut challenge = Challenge::read(headers);
        let is_bare = matches!(visit.sent, Authorization::None);
        if challenge.is_empty()
            && is_bare
            && station.known_challenges.may_ping(Instant::now())
            && visit.attempts.once(AuthFallback::PingRoot)
        {
            // The scope that a root names, if it names one, is about no repository of ours.
            challenge = self.ping(station, request).await?.without_scope();
            station
                .known_challenges
                .record_ping(&challenge, Instant::now());
        }
        let plan = self.plan(station, request, &challenge, visit);
        match visit
            .attempts
            .after_refusal(&visit.sent, &challenge, &plan, visit.began)
        {
            RefusalAction::WithoutCredentials => visit.omit_next = true,
            RefusalAction::Retry => station
                .known_challenges
                .remember(request.name.as_ref(), &challenge),
            RefusalAction::Stop(breach) => {
                let endpoint = trail.responsible_host(station);
                return Err(AttemptFailure::permanent(
                    UpstreamError::ProtocolViolation { endpoint, breach },
                ));
            }
            RefusalAction::Refused(_) if self.renew_login(request, visit) => {}
            RefusalAction::Refused(detail) => {
                return Err(AttemptFailure::permanent(UpstreamError::Refused {
                    with_credentials: visit.credential.is_some(),
                    endpoint: trail.responsible_host(station),
                    detail,
                }));
            }
        }
        Ok(())
    }

    /// A token that was refused is not sent again; a newer one in its place stays.
    pub(super) fn drop_token(&self, sent: &Authorization) {
        if let Authorization::Token(key, token) = sent {
            self.tokens.forget(key, token);
        }
    }

    fn plan(
        &self,
        station: &Endpoint,
        request: &UpstreamRequest,
        challenge: &Challenge,
        visit: &AuthState,
    ) -> AuthPlan {
        let place = plan::AuthContext {
            base: &station.base,
            guard: &self.guard,
            listed: &self.settings.realm_hosts,
            name: request.name.as_ref(),
        };
        place.plan(challenge, visit.credential.as_ref())
    }

    /// What the endpoint says at its root, for one that says nothing at a resource.
    async fn ping(
        &self,
        station: &Endpoint,
        request: &UpstreamRequest,
    ) -> Result<Challenge, AttemptFailure> {
        let ping = UpstreamRequest::ping(None, request.deadline);
        for url in UpstreamRequest::roots(&station.base, &self.settings) {
            let mut aside = ExchangeState::new(url);
            let answer = self.send(station, &ping, &mut aside).await?;
            self.count(
                &ping,
                Verdict::of(answer.status(), ping.kind, Responder::Endpoint).label(),
            );
            if answer.status().as_u16() == 401 {
                return Ok(Challenge::read(answer.headers()));
            }
            // Only one of the two spellings may be known.
            if !matches!(answer.status().as_u16(), 301..=308 | 404) {
                break;
            }
        }
        Ok(Challenge::default())
    }
}

impl From<realm::UnusableRealm> for ProtocolViolation {
    fn from(why: realm::UnusableRealm) -> Self {
        Self::Realm(why.to_string())
    }
}
