//! The requests to token services.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use http::{StatusCode, header};
use reqwest::{RequestBuilder, Response, Url};
use tokio::time::{Instant, sleep, timeout};

use super::{
    authorization::TokenKey,
    token::{self, ANSWER_BYTES_MAX, BearerToken, IssuedToken},
};
use crate::{
    connect::failure_detail,
    secret::Secret,
    upstream::{
        Credential, ProtocolViolation, UpstreamError,
        call::{
            endpoint::Endpoint,
            failure::{self, AttemptFailure},
            judge,
            rate_limit::jitter,
            request::RequestKind,
            retry::{self, RetryAlternatives, RetryCause, RetryDecision, RetryState, SPREAD_MAX},
            retry_after,
            state::Caller,
        },
    },
};

/// Longest time that a token may take, below what a manifest's caller waits.
const FETCH_MAX: Duration = Duration::from_secs(5);
/// Who we are to a token service that wants to know.
const CLIENT: (&str, &str) = ("client_id", "roadstead");

/// One way to ask for a token.
#[derive(Clone, Debug)]
enum TokenRequest {
    /// GET, anonymously or with a user name and a password.
    Get(Option<(String, Secret)>),
    /// POST of these fields, as OAuth 2 has it.
    Post(Vec<(&'static str, Secret)>),
}

/// A try that failed.
struct TokenFetchFailure {
    error: UpstreamError,
    /// None: another try would be no better.
    cause: Option<RetryCause>,
    status: Option<StatusCode>,
}

impl Caller {
    /// A token for the key, held or fetched.
    pub(super) async fn token(
        &self,
        endpoint: &Endpoint,
        key: &TokenKey,
    ) -> Result<Arc<BearerToken>, AttemptFailure> {
        let held = self
            .tokens
            .get(key, || self.fetch_token(endpoint, key))
            .await;
        held.map_err(|error| {
            let is_throttled = matches!(error, UpstreamError::Throttled { .. });
            // It was tried often enough, and says nothing against the endpoint, which another
            // endpoint's service may replace.
            let cause = (error.is_transient() && !is_throttled).then_some(RetryCause::NotAttempted);
            AttemptFailure { error, cause }
        })
    }

    async fn fetch_token(
        &self,
        endpoint: &Endpoint,
        key: &TokenKey,
    ) -> Result<BearerToken, UpstreamError> {
        let asked = timeout(FETCH_MAX, Box::pin(self.ask_service(endpoint, key))).await;
        let outcome = asked.unwrap_or_else(|_elapsed| {
            Err(UpstreamError::TimedOut {
                endpoint: key.realm.origin().into(),
                waited: FETCH_MAX,
            })
        });
        let result = outcome.as_ref().map_or_else(result_label, |_| "ok");
        self.metrics.token_requested(&self.settings.label, result);
        outcome
    }

    /// Asks with what the key logs in with; of a refresh token, with what came in its place.
    async fn ask_service(
        &self,
        endpoint: &Endpoint,
        key: &TokenKey,
    ) -> Result<BearerToken, UpstreamError> {
        let Some(Credential::Refresh(configured)) = &key.credential else {
            let issued = self
                .ask_each_way(endpoint, key, token_requests(key))
                .await?;
            return Ok(issued.token);
        };
        let mut sent = self.tokens.refresh_token(key, configured);
        let mut is_second = false;
        loop {
            let ways = refresh_requests(&sent);
            match self.ask_each_way(endpoint, key, ways).await {
                Ok(issued) => {
                    if let Some(newer) = issued.refresh {
                        self.tokens.replace_refresh_token(key, newer);
                    }
                    return Ok(issued.token);
                }
                Err(error @ UpstreamError::Refused { .. }) => {
                    self.tokens.discard_refresh_token(key, &sent);
                    // It may have been replaced for another scope while we asked.
                    let current = self.tokens.refresh_token(key, configured);
                    if is_second || current == sent {
                        return Err(error);
                    }
                    (sent, is_second) = (current, true);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// The way to begin with, and the second one if the service does not know the first.
    async fn ask_each_way(
        &self,
        endpoint: &Endpoint,
        key: &TokenKey,
        (first, second): (TokenRequest, Option<TokenRequest>),
    ) -> Result<IssuedToken, UpstreamError> {
        let mut outcome = self.try_way(endpoint, key, &first).await;
        if let (
            Err(TokenFetchFailure {
                status: Some(status),
                ..
            }),
            Some(second),
        ) = (&outcome, second)
            && first.is_unsupported(*status)
        {
            outcome = self.try_way(endpoint, key, &second).await;
        }
        outcome.map_err(|failed| failed.error)
    }

    /// One way, again a few times where that may help.
    async fn try_way(
        &self,
        endpoint: &Endpoint,
        key: &TokenKey,
        way: &TokenRequest,
    ) -> Result<IssuedToken, TokenFetchFailure> {
        let mut tries = RetryState {
            kind: RequestKind::Manifest,
            alternatives: RetryAlternatives::MoreAttempts,
            retries: 0,
            dropped: false,
        };
        loop {
            let failed = match self.try_once(endpoint, key, way).await {
                Ok(issued) => return Ok(issued),
                Err(failed) => failed,
            };
            let step = failed
                .cause
                .map(|cause| retry::decide(cause, tries, jitter(SPREAD_MAX)));
            match step {
                Some(RetryDecision::AtOnce) => tries.dropped = true,
                Some(RetryDecision::After(pause)) => {
                    tries.retries += 1;
                    sleep(pause).await;
                }
                Some(RetryDecision::NextEndpoint | RetryDecision::GiveUp) | None => {
                    return Err(failed);
                }
            }
        }
    }

    async fn try_once(
        &self,
        endpoint: &Endpoint,
        key: &TokenKey,
        way: &TokenRequest,
    ) -> Result<IssuedToken, TokenFetchFailure> {
        let service: Arc<str> = key.realm.origin().into();
        let url = key.realm.url();
        let (client, proxy) = match &endpoint.socket {
            Some(socket) if url.origin() == endpoint.base.origin() => (socket, None),
            _ => {
                let client =
                    self.clients
                        .client_for(url)
                        .map_err(|forbidden| TokenFetchFailure {
                            error: UpstreamError::ProtocolViolation {
                                endpoint: Arc::clone(&service),
                                breach: forbidden.into(),
                            },
                            cause: None,
                            status: None,
                        })?;
                (client, self.clients.proxy_for(url))
            }
        };
        let request = match way {
            TokenRequest::Get(login) => {
                let request = client.get(token_url(url, key));
                match login {
                    Some((user, password)) => request.basic_auth(user, Some(password.reveal())),
                    None => request,
                }
            }
            TokenRequest::Post(fields) => post(client.post(url.clone()), url, key, fields),
        };
        let request = request
            .header(header::ACCEPT, "application/json")
            .header(header::ACCEPT_ENCODING, "identity");
        let born = Instant::now();
        let sent = request.send().await;
        let heard = failure::checked_response(sent, Arc::clone(&service), proxy.as_ref());
        let response = heard.map_err(|AttemptFailure { error, cause }| TokenFetchFailure {
            error,
            cause,
            status: None,
        })?;
        let status = response.status();
        let issued = read_response(response, key, Arc::clone(&service), born).await;
        issued.map_err(|error| TokenFetchFailure {
            cause: match &error {
                UpstreamError::Failed { .. } => Some(RetryCause::ServerError),
                UpstreamError::Unreachable { .. } => Some(RetryCause::Dropped),
                _ => None,
            },
            error,
            status: Some(status),
        })
    }
}

impl TokenRequest {
    /// Whether a status means that the service does not know this way at all: some know no POST,
    /// and say so with one of four statuses; few know no GET.
    fn is_unsupported(&self, status: StatusCode) -> bool {
        match self {
            Self::Get(_) => status.as_u16() == 405,
            Self::Post(_) => matches!(status.as_u16(), 400 | 401 | 404 | 405),
        }
    }
}

/// The way to begin with, and the one for a service that does not know it.
fn token_requests(key: &TokenKey) -> (TokenRequest, Option<TokenRequest>) {
    match &key.credential {
        Some(Credential::Password { username, password }) => {
            let fields = vec![
                ("grant_type", Secret::new("password")),
                ("username", Secret::new(username.as_str())),
                ("password", password.clone()),
            ];
            let get = TokenRequest::Get(Some((username.clone(), password.clone())));
            (get, Some(TokenRequest::Post(fields)))
        }
        Some(Credential::Refresh(token)) => refresh_requests(token),
        // A configured token is sent as it is, and asks for none.
        Some(Credential::Token(_)) | None => (TokenRequest::Get(None), None),
    }
}

fn refresh_requests(token: &Secret) -> (TokenRequest, Option<TokenRequest>) {
    let fields = vec![
        ("grant_type", Secret::new("refresh_token")),
        ("refresh_token", token.clone()),
    ];
    let get = TokenRequest::Get(Some(("<token>".into(), token.clone())));
    (TokenRequest::Post(fields), Some(get))
}

/// A realm's address with the question; what it brought along stays.
fn token_url(realm: &Url, key: &TokenKey) -> Url {
    let mut url = realm.clone();
    let scopes = key.scope.iter().flat_map(|scope| scope.split(' '));
    let pairs = key
        .service
        .iter()
        .map(|service| ("service", service.as_str()));
    let pairs: Vec<_> = pairs.chain(scopes.map(|scope| ("scope", scope))).collect();
    if !pairs.is_empty() {
        url.query_pairs_mut().extend_pairs(pairs);
    }
    url
}

fn post(
    request: RequestBuilder,
    realm: &Url,
    key: &TokenKey,
    fields: &[(&'static str, Secret)],
) -> RequestBuilder {
    // The address only lends its way of writing pairs.
    let mut form = realm.clone();
    form.set_query(None);
    let words = [("service", &key.service), ("scope", &key.scope)];
    let words = words
        .iter()
        .filter_map(|(name, word)| Some((*name, word.as_deref()?)));
    form.query_pairs_mut()
        .extend_pairs(fields.iter().map(|(name, value)| (*name, value.reveal())))
        .extend_pairs(words)
        .append_pair(CLIENT.0, CLIENT.1);
    request
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(form.query().unwrap_or_default().to_owned())
}

/// What an answer means, its body included.
async fn read_response(
    response: Response,
    key: &TokenKey,
    endpoint: Arc<str>,
    born: Instant,
) -> Result<IssuedToken, UpstreamError> {
    let breach = |breach| UpstreamError::ProtocolViolation {
        endpoint: Arc::clone(&endpoint),
        breach,
    };
    judge::head_size(response.headers()).map_err(breach)?;
    match response.status().as_u16() {
        200 => {
            let body = read_body(response, &endpoint).await?;
            token::read(&body, born).map_err(breach)
        }
        401 | 403 => Err(UpstreamError::Refused {
            endpoint,
            with_credentials: key.credential.is_some(),
            detail: "its token service refuses us a token",
        }),
        429 => Err(UpstreamError::Throttled {
            endpoint,
            retry_after: retry_after::from_headers(response.headers(), SystemTime::now()),
        }),
        status @ (408 | 425 | 500..=599) => Err(UpstreamError::Failed { endpoint, status }),
        _ => Err(breach(ProtocolViolation::Token(
            "its status is not one of a token service",
        ))),
    }
}

async fn read_body(mut response: Response, endpoint: &Arc<str>) -> Result<Vec<u8>, UpstreamError> {
    let mut body = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if body.len() + chunk.len() <= ANSWER_BYTES_MAX => {
                body.extend_from_slice(&chunk);
            }
            Ok(Some(_)) => {
                return Err(UpstreamError::ProtocolViolation {
                    endpoint: Arc::clone(endpoint),
                    breach: ProtocolViolation::TooLarge {
                        bytes_max: ANSWER_BYTES_MAX,
                    },
                });
            }
            Ok(None) => return Ok(body),
            Err(error) => {
                return Err(UpstreamError::Unreachable {
                    endpoint: Arc::clone(endpoint),
                    detail: failure_detail(&error.without_url(), None),
                });
            }
        }
    }
}

/// The metric's label.
fn result_label(error: &UpstreamError) -> &'static str {
    match error {
        UpstreamError::Refused { .. } => "refused",
        UpstreamError::Throttled { .. } => "throttled",
        UpstreamError::ProtocolViolation { .. } | UpstreamError::Absent { .. } => "breach",
        UpstreamError::Unreachable { .. }
        | UpstreamError::TimedOut { .. }
        | UpstreamError::Failed { .. }
        | UpstreamError::Loop { .. } => "failed",
    }
}
