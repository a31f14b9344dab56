//! Whether an upstream lets us in, for `check`: one question to the root of its API.

use tokio::time::{Instant, timeout_at};

use crate::{
    oci::RepositoryName,
    upstream::{
        Credential, Upstream, UpstreamError,
        authentication::authorization::Authorization,
        call::{exchange_state::ExchangeState, request::UpstreamRequest},
    },
};

/// How an upstream took us in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PingOutcome {
    /// It wanted no login, so that ours, if there is one, was not tried.
    NoCredentialsNeeded,
    /// With a token that anyone gets.
    AnonymousToken,
    /// As this user.
    Authenticated(String),
}

impl Upstream {
    /// Asks for the root of the API, with the login that the repository has, or the upstream as a
    /// whole. The endpoints are asked in order until one answers.
    pub async fn ping(
        &self,
        name: Option<&RepositoryName>,
        deadline: Instant,
    ) -> Result<PingOutcome, UpstreamError> {
        let request = UpstreamRequest::ping(name.cloned(), deadline);
        let mut last = None;
        for endpoint in &self.0.endpoints {
            let [root, _] = UpstreamRequest::roots(&endpoint.base, self.settings());
            let mut state = ExchangeState::new(root);
            let began = Instant::now();
            let exchange = Box::pin(self.0.exchange(endpoint, &request, &mut state));
            let error = match timeout_at(deadline, exchange).await {
                Ok(Ok(_answer)) => return Ok(PingOutcome::of_sent(&state.auth.sent)),
                Ok(Err(failure)) => failure.error,
                Err(_elapsed) => UpstreamError::TimedOut {
                    endpoint: state.responsible_host(endpoint),
                    waited: began.elapsed(),
                },
            };
            match PingOutcome::of_sent(&state.auth.sent) {
                // Its service knows us; some roots accept only a token for some repository.
                PingOutcome::Authenticated(user)
                    if is_service_token(&state.auth.sent) && error.is_refused_credentials() =>
                {
                    return Ok(PingOutcome::Authenticated(user));
                }
                _ => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| self.0.preferred_endpoint().circuit_open_error()))
    }
}

impl PingOutcome {
    fn of_sent(sent: &Authorization) -> Self {
        let user = |credential: &Credential| credential.username().to_owned();
        match sent {
            Authorization::None => Self::NoCredentialsNeeded,
            Authorization::Basic { username, .. } => Self::Authenticated(username.clone()),
            Authorization::ConfiguredToken(_) => Self::Authenticated("<token>".to_owned()),
            Authorization::Token(key, _) => key
                .credential
                .as_ref()
                .map_or(Self::AnonymousToken, |credential| {
                    Self::Authenticated(user(credential))
                }),
        }
    }
}

fn is_service_token(sent: &Authorization) -> bool {
    matches!(sent, Authorization::Token(..))
}
