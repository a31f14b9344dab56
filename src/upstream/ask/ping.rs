//! Whether an upstream lets us in, for `check`: one question to the root of its API.

use tokio::time::{Instant, timeout_at};

use crate::{
    oci::RepositoryName,
    upstream::{
        Credential, Upstream, UpstreamError,
        authentication::Authorization,
        call::{exchange::ExchangeState, request::UpstreamRequest},
    },
};

/// How an upstream took us in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PingOutcome {
    /// It wanted no login, so that ours, if there is one, was not tried.
    Open,
    /// With a token that anyone gets.
    Anonymous,
    /// As this user.
    As(String),
}

impl Upstream {
    /// Asks for the root of the API, with the login that the repository has, or the upstream as a
    /// whole. The endpoints are asked in order until one answers.
    pub async fn greet(
        &self,
        name: Option<&RepositoryName>,
        deadline: Instant,
    ) -> Result<PingOutcome, UpstreamError> {
        let request = UpstreamRequest::ping(name.cloned(), deadline);
        let mut last = None;
        for station in &self.0.stations {
            let [root, _] = UpstreamRequest::roots(&station.base, self.settings());
            let mut trail = ExchangeState::new(root);
            let began = Instant::now();
            let exchange = Box::pin(self.0.exchange(station, &request, &mut trail));
            let error = match timeout_at(deadline, exchange).await {
                Ok(Ok(_answer)) => return Ok(PingOutcome::of(&trail.visit.sent)),
                Ok(Err(failure)) => failure.error,
                Err(_elapsed) => UpstreamError::TimedOut {
                    endpoint: trail.host(station),
                    waited: began.elapsed(),
                },
            };
            match PingOutcome::of(&trail.visit.sent) {
                // Its service knows us; some roots accept only a token for some repository.
                PingOutcome::As(user)
                    if is_service_token(&trail.visit.sent) && error.is_refused_login() =>
                {
                    return Ok(PingOutcome::As(user));
                }
                _ => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| self.0.first().left_alone()))
    }
}

impl PingOutcome {
    fn of(sent: &Authorization) -> Self {
        let user = |credential: &Credential| credential.username().to_owned();
        match sent {
            Authorization::None => Self::Open,
            Authorization::Basic { username, .. } => Self::As(username.clone()),
            Authorization::Own(_) => Self::As("<token>".to_owned()),
            Authorization::Token(key, _) => key
                .credential
                .as_ref()
                .map_or(Self::Anonymous, |credential| Self::As(user(credential))),
        }
    }
}

fn is_service_token(sent: &Authorization) -> bool {
    matches!(sent, Authorization::Token(..))
}
