//! Authentication at an endpoint: what is sent as `Authorization`, what a 401 changes, and tokens.
//!
//! Promises: credentials go to the endpoint itself, and to a token service that may receive them;
//! nothing of them is printed. Called by `exchange`. Never reads a challenge of a redirect's target.

pub(super) mod authorization;
pub(super) mod challenge;
mod fetch;
pub(super) mod known_challenges;
pub(super) mod plan;
mod realm;
#[cfg(test)]
mod scenes;
pub(super) mod state;
mod token;
pub(super) mod tokens;

use http::HeaderMap;
use tokio::time::Instant;

use self::{
    authorization::Authorization,
    challenge::Challenge,
    plan::{AuthPlan, RefusalAction},
    state::{AuthFallback, AuthState},
};
use super::{
    call::{
        endpoint::Endpoint,
        exchange_state::ExchangeState,
        failure::AttemptFailure,
        judge::Verdict,
        request::{Responder, UpstreamRequest},
        state::Caller,
    },
    error::UpstreamError,
};

impl Caller {
    /// What the next request to the endpoint carries. A token that must be fetched is fetched.
    pub(super) async fn authorize(
        &self,
        endpoint: &Endpoint,
        request: &UpstreamRequest,
        state: &mut ExchangeState,
    ) -> Result<Authorization, AttemptFailure> {
        state.waiting_for = self.helper(request);
        state.auth.credential = self.credential(endpoint, request).await?;
        state.waiting_for = None;
        if std::mem::take(&mut state.auth.omit_next) {
            return Ok(Authorization::None);
        }
        let challenge = endpoint.known_challenges.of(request.name.as_ref());
        let key = match self.plan(endpoint, request, &challenge, &state.auth) {
            // Learnt with another login, maybe: the endpoint shall say it again.
            AuthPlan::Stop(_) | AuthPlan::NothingToSend(_) => return Ok(Authorization::None),
            AuthPlan::Send(authorization) => return Ok(authorization),
            AuthPlan::Fetch(key) => key,
        };
        state.waiting_for = Some(key.realm.origin().into());
        let failure = match self.token(endpoint, &key).await {
            Ok(token) => {
                state.waiting_for = None;
                return Ok(Authorization::Token(key, token));
            }
            Err(failure) => failure,
        };
        if failure.error.is_refused_credentials()
            && self.renew_credentials(request, &mut state.auth)
        {
            state.waiting_for = None;
            return Box::pin(self.authorize(endpoint, request, state)).await;
        }
        // Should the endpoint have another service now, it shall have the chance to say so.
        if !matches!(failure.error, UpstreamError::Throttled { .. }) {
            endpoint.known_challenges.forget(request.name.as_ref());
        }
        Err(failure)
    }

    /// Takes a refusal in: either there is something new to send, or it is the last word.
    pub(super) async fn handle_challenge(
        &self,
        endpoint: &Endpoint,
        request: &UpstreamRequest,
        headers: &HeaderMap,
        state: &mut ExchangeState,
    ) -> Result<(), AttemptFailure> {
        self.drop_token(&state.auth.sent);
        let auth = &mut state.auth;
        let mut challenge = Challenge::read(headers);
        let is_bare = matches!(auth.sent, Authorization::None);
        if challenge.is_empty()
            && is_bare
            && endpoint.known_challenges.may_ping(Instant::now())
            && auth.attempts.once(AuthFallback::PingRoot)
        {
            // The scope that a root names, if it names one, is about no repository of ours.
            challenge = self.ping(endpoint, request).await?.without_scope();
            endpoint
                .known_challenges
                .record_ping(&challenge, Instant::now());
        }
        let plan = self.plan(endpoint, request, &challenge, auth);
        match auth
            .attempts
            .after_refusal(&auth.sent, &challenge, &plan, auth.began)
        {
            RefusalAction::WithoutCredentials => auth.omit_next = true,
            RefusalAction::Retry => endpoint
                .known_challenges
                .remember(request.name.as_ref(), &challenge),
            RefusalAction::Stop(breach) => {
                let endpoint = state.responsible_host(endpoint);
                return Err(AttemptFailure::permanent(
                    UpstreamError::ProtocolViolation { endpoint, breach },
                ));
            }
            RefusalAction::Refused(_) if self.renew_credentials(request, auth) => {}
            RefusalAction::Refused(detail) => {
                return Err(AttemptFailure::permanent(UpstreamError::Refused {
                    with_credentials: auth.credential.is_some(),
                    endpoint: state.responsible_host(endpoint),
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
        endpoint: &Endpoint,
        request: &UpstreamRequest,
        challenge: &Challenge,
        auth: &AuthState,
    ) -> AuthPlan {
        let place = plan::AuthContext {
            base: &endpoint.base,
            guard: &self.guard,
            listed: &self.settings.realm_hosts,
            name: request.name.as_ref(),
        };
        place.plan(challenge, auth.credential.as_ref())
    }

    /// What the endpoint says at its root, for one that says nothing at a resource.
    async fn ping(
        &self,
        endpoint: &Endpoint,
        request: &UpstreamRequest,
    ) -> Result<Challenge, AttemptFailure> {
        let ping = UpstreamRequest::ping(None, request.deadline);
        for url in UpstreamRequest::roots(&endpoint.base, &self.settings) {
            let mut aside = ExchangeState::new(url);
            let answer = self.send(endpoint, &ping, &mut aside).await?;
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
