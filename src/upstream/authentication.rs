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
