//! One call: rate limit, permit, endpoint, and another try or endpoint where that may help.

use std::sync::Arc;

use tokio::time::{Instant, sleep, timeout_at};

use super::{
    body::UpstreamResponse,
    concurrency::ConcurrencyPermit,
    endpoint::{CircuitPermit, Endpoint},
    exchange_state::ExchangeState,
    failure::AttemptFailure,
    rate_limit::jitter,
    request::{RequestContext, UpstreamRequest},
    retry::{self, RetryAlternatives, RetryCause, RetryDecision, RetryState, SPREAD_MAX},
    state::Caller,
};
use crate::{telemetry::UpstreamHealth, upstream::error::UpstreamError};

/// How a call to an endpoint ended.
enum EndpointFailure {
    /// The next endpoint is tried.
    TryNext(UpstreamError),
    /// The call ends.
    Final(UpstreamError),
}

impl Caller {
    /// Tries the endpoints in order until one answers with a usable body.
    pub(in crate::upstream) async fn call(
        &self,
        context: &RequestContext<'_>,
        request: &UpstreamRequest,
    ) -> Result<UpstreamResponse, UpstreamError> {
        let mut last = None;
        let mut rest = self.endpoints.as_slice();
        while let Some((endpoint, others)) = rest.split_first() {
            rest = others;
            let now = Instant::now();
            let Some(circuit) = endpoint.try_acquire(now) else {
                continue;
            };
            let reserve = match circuit.probe {
                _ if others.iter().any(|other| other.is_available(now)) => {
                    RetryAlternatives::AnotherEndpoint
                }
                true => RetryAlternatives::Nothing,
                false => RetryAlternatives::MoreAttempts,
            };
            let tries = RetryState {
                kind: request.kind,
                alternatives: reserve,
                retries: 0,
                dropped: false,
            };
            match self
                .call_endpoint(endpoint, &circuit, (context, request), tries)
                .await
            {
                Ok(answer) => return Ok(answer),
                Err(EndpointFailure::Final(error)) => return Err(error),
                Err(EndpointFailure::TryNext(error)) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| self.preferred_endpoint().circuit_open_error()))
    }

    /// All tries of one endpoint.
    async fn call_endpoint(
        &self,
        endpoint: &Endpoint,
        circuit: &CircuitPermit<'_>,
        question: (&RequestContext<'_>, &UpstreamRequest),
        mut tries: RetryState,
    ) -> Result<UpstreamResponse, EndpointFailure> {
        loop {
            let failure = match self.attempt(endpoint, circuit, question, tries).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            let Some(cause) = failure.cause else {
                return Err(EndpointFailure::Final(failure.error));
            };
            let step = retry::decide(cause, tries, jitter(SPREAD_MAX));
            match step {
                RetryDecision::AtOnce => tries.dropped = true,
                RetryDecision::After(pause) if Instant::now() + pause < question.1.deadline => {
                    tries.retries += 1;
                    sleep(pause).await;
                }
                RetryDecision::After(_) | RetryDecision::NextEndpoint | RetryDecision::GiveUp => {
                    self.record_failure(circuit, cause);
                    return Err(match step {
                        RetryDecision::NextEndpoint => EndpointFailure::TryNext(failure.error),
                        _ => EndpointFailure::Final(failure.error),
                    });
                }
            }
        }
    }

    /// One try, from the rate limit to the head of an answer.
    async fn attempt(
        &self,
        endpoint: &Endpoint,
        circuit: &CircuitPermit<'_>,
        (context, request): (&RequestContext<'_>, &UpstreamRequest),
        tries: RetryState,
    ) -> Result<UpstreamResponse, AttemptFailure> {
        let permit = self.acquire_permit(endpoint, circuit, request).await?;
        let began = Instant::now();
        let left = request.deadline.saturating_duration_since(began);
        let until = began + retry::attempt_timeout(left, tries.alternatives);
        let mut state = ExchangeState::new(request.url(&endpoint.base, context, &self.settings));
        let exchange = self.exchange(endpoint, request, &mut state);
        let Ok(outcome) = timeout_at(until, Box::pin(exchange)).await else {
            self.count(request, "timed_out");
            let waited = until.duration_since(began);
            // A request that started too late says nothing against the endpoint.
            let cause = if waited < self.settings.connect_max {
                RetryCause::NotAttempted
            } else {
                state.attribute(RetryCause::TimedOut)
            };
            return Err(AttemptFailure {
                error: UpstreamError::TimedOut {
                    endpoint: state.responsible_host(endpoint),
                    waited,
                },
                cause: Some(cause),
            });
        };
        let blamed = |failure: &AttemptFailure| {
            failure
                .cause
                .is_some_and(RetryCause::counts_against_endpoint)
        };
        if state.endpoint_responses > 0 && !outcome.as_ref().is_err_and(blamed) {
            circuit.succeeded();
            self.metrics
                .upstream_up(&self.settings.label, UpstreamHealth::Up);
        }
        let response = outcome.inspect_err(|failure| self.note_refusal(&failure.error))?;
        self.rate_limit.reset();
        Ok(UpstreamResponse::new(
            response,
            state.responsible_host(endpoint),
            permit,
            self,
        ))
    }

    /// Waits for the rate limit and for a concurrency permit.
    async fn acquire_permit(
        &self,
        endpoint: &Endpoint,
        circuit: &CircuitPermit<'_>,
        request: &UpstreamRequest,
    ) -> Result<ConcurrencyPermit, AttemptFailure> {
        let came = Instant::now();
        loop {
            let passed = self.rate_limit.wait(request.kind, request.deadline).await;
            passed.map_err(|wait| {
                AttemptFailure::permanent(UpstreamError::Throttled {
                    endpoint: Arc::clone(&endpoint.label),
                    retry_after: Some(wait),
                })
            })?;
            let Some(permit) = self
                .concurrency
                .acquire(request.kind, request.deadline)
                .await
            else {
                return Err(AttemptFailure::permanent(UpstreamError::TimedOut {
                    endpoint: Arc::clone(&endpoint.label),
                    waited: came.elapsed(),
                }));
            };
            if !circuit.probe && endpoint.is_circuit_open() {
                return Err(AttemptFailure {
                    error: endpoint.circuit_open_error(),
                    cause: Some(RetryCause::NotAttempted),
                });
            }
            // Another request may have met a 429 while this one waited for its permit.
            if self.rate_limit.is_clear() {
                return Ok(permit);
            }
        }
    }

    /// Counts refused credentials; the caller decides on the log level.
    fn note_refusal(&self, error: &UpstreamError) {
        if error.is_refused_credentials() {
            self.metrics.credentials_refused(&self.settings.label);
        }
    }

    /// Notes a failure on the way out.
    fn record_failure(&self, circuit: &CircuitPermit<'_>, cause: RetryCause) {
        if cause.counts_against_endpoint() {
            circuit.failed();
            let rests = self.endpoints.iter().all(Endpoint::is_circuit_open);
            let standing = if rests {
                UpstreamHealth::CircuitOpen
            } else {
                UpstreamHealth::Up
            };
            self.metrics.upstream_up(&self.settings.label, standing);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::upstream::{
        EndpointAddress,
        scene::{NAME, Scene, upstream, with, within},
    };

    fn tag() -> crate::oci::Reference {
        crate::oci::Reference::Tag("1".parse().unwrap())
    }

    fn path() -> String {
        format!("HEAD /v2/{NAME}/manifests/1")
    }

    /// An address without a listener.
    async fn unused() -> EndpointAddress {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        EndpointAddress::Url(format!("http://{}", listener.local_addr().unwrap()))
    }

    #[tokio::test]
    async fn an_equal_endpoint_takes_over() {
        let (bad, good) = (Scene::new().await, Scene::new().await);
        bad.on(&path(), "HTTP/1.1 503 S", b"");
        good.on(&path(), "HTTP/1.1 200 K", b"");
        let endpoints = vec![unused().await, bad.endpoint(), good.endpoint()];
        let upstream = upstream(endpoints, |_| {});
        for _ in 0..2 {
            let found = with(async |ask| upstream.manifest_head(&ask, &tag()).await).await;
            assert!(found.unwrap().is_none());
        }
        assert_eq!((bad.asked().len(), good.asked().len()), (1, 2));
    }

    #[tokio::test]
    async fn few_tries_and_then_no_packet() {
        let scene = Scene::new().await;
        scene.on(&path(), "HTTP/1.1 502 B", b"");
        let upstream = upstream(vec![scene.endpoint()], |_| {});
        let ask = || with(async |ask| upstream.manifest_head(&ask, &tag()).await);
        assert!(matches!(
            ask().await,
            Err(UpstreamError::Failed { status: 502, .. })
        ));
        assert_eq!(scene.asked().len(), 3);
        let metrics = upstream.0.metrics.render();
        for line in [
            "requests_total{kind=\"manifest\",result=\"failed\",upstream=\"test\"} 3",
            "upstream_up{upstream=\"test\"} 0",
        ] {
            assert!(metrics.contains(line), "{metrics}");
        }
        let error = ask().await.unwrap_err();
        assert!(
            matches!(error, UpstreamError::Unreachable { .. }),
            "{error}"
        );
        assert!(error.is_transient());
        assert_eq!(scene.asked().len(), 3);
    }

    #[tokio::test]
    async fn a_circle_is_final_and_speaks_against_nobody() {
        let (circle, other) = (Scene::new().await, Scene::new().await);
        circle.on(&path(), "HTTP/1.1 508 L", b"");
        let upstream = upstream(vec![circle.endpoint(), other.endpoint()], |_| {});
        for _ in 0..2 {
            let found = with(async |ask| upstream.manifest_head(&ask, &tag()).await).await;
            let error = found.unwrap_err();
            assert!(matches!(error, UpstreamError::Loop { .. }), "{error}");
            assert!(error.is_transient());
        }
        assert_eq!((circle.asked().len(), other.asked().len()), (2, 0));
        assert!(!upstream.0.preferred_endpoint().is_circuit_open());
    }

    #[tokio::test]
    async fn a_burst_that_passes_is_not_noticed() {
        let scene = Scene::new().await;
        let ok = "HTTP/1.1 200 K";
        for head in ["HTTP/1.1 500 E", "", "", ok] {
            scene.on(&path(), head, b"");
        }
        let upstream = upstream(vec![scene.endpoint()], |_| {});
        let found = with(async |ask| upstream.manifest_head(&ask, &tag()).await).await;
        assert!(found.is_ok());
        assert_eq!(scene.asked().len(), 4);
    }

    #[tokio::test]
    async fn an_idle_connection_that_was_reset_is_replaced() {
        let scene = Scene::new().await;
        for head in ["HTTP/1.1 404 N", "", "HTTP/1.1 404 N"] {
            scene.on(&path(), head, b"");
        }
        let upstream = upstream(vec![scene.endpoint()], |_| {});
        for _ in 0..2 {
            let found = with(async |ask| upstream.manifest_head(&ask, &tag()).await).await;
            assert!(matches!(found, Err(UpstreamError::Absent { .. })));
        }
        assert_eq!(scene.asked().len(), 3);
    }

    #[tokio::test]
    async fn a_429_shuts_the_gate_for_manifests() {
        let scene = Scene::new().await;
        scene.on(
            &path(),
            "HTTP/1.1 429 T\nretry-after: 7\nratelimit-remaining: 0;w=60",
            b"",
        );
        let upstream = upstream(vec![scene.endpoint(), scene.endpoint()], |_| {});
        for _ in 0..2 {
            let found = with(async |ask| upstream.manifest_head(&ask, &tag()).await).await;
            let Err(UpstreamError::Throttled { retry_after, .. }) = found else {
                panic!("{found:?}");
            };
            assert!(retry_after.unwrap() > Duration::from_secs(6));
        }
        assert_eq!(scene.asked().len(), 1);
        let budget = "ratelimit_remaining{upstream=\"test\"} 0";
        assert!(upstream.0.metrics.render().contains(budget));
        // A blob would wait, but not beyond its deadline.
        let digest = crate::upstream::scene::digest(b"x");
        let soon = Duration::from_secs(5);
        let found = within(soon, async |ask| {
            upstream.blob(&ask, &digest, 0).await.map(drop)
        });
        assert!(matches!(found.await, Err(UpstreamError::Throttled { .. })));
        assert_eq!(scene.asked().len(), 1);
    }

    #[tokio::test]
    async fn the_deadline_holds() {
        let scene = Scene::new().await;
        scene.on(&path(), "hang", b"");
        let upstream = upstream(vec![scene.endpoint()], |_| {});
        let time = Duration::from_millis(50);
        let began = Instant::now();
        let found = within(time, async |ask| upstream.manifest_head(&ask, &tag()).await).await;
        assert!(matches!(found, Err(UpstreamError::TimedOut { .. })));
        assert!(began.elapsed() < Duration::from_secs(5));
        assert!(
            !upstream.0.preferred_endpoint().is_circuit_open(),
            "it was not given a fair chance"
        );
    }

    #[tokio::test]
    async fn plain_words_never_answer_https() {
        let scene = Scene::new().await;
        let url = format!("https://{}", scene.address);
        let upstream = upstream(vec![EndpointAddress::Url(url)], |settings| {
            settings.connect_max = Duration::from_millis(100);
        });
        let error = with(async |ask| upstream.manifest_head(&ask, &tag()).await).await;
        assert!(
            matches!(error, Err(UpstreamError::Unreachable { .. })),
            "{error:?}"
        );
        assert!(scene.asked().is_empty());
    }

    #[tokio::test]
    async fn a_socket_is_an_endpoint() {
        let scene = Scene::new().await;
        let folder = tempfile::tempdir().unwrap();
        let path_of = folder.path().join("s");
        scene.listen(&path_of);
        scene.on(&path(), "HTTP/1.1 307 R\nlocation: /there", b"");
        scene.on("HEAD /there", "HTTP/1.1 200 K", b"");
        let upstream = upstream(vec![EndpointAddress::Unix(path_of.clone())], |_| {});
        let found = with(async |ask| upstream.manifest_head(&ask, &tag()).await).await;
        assert!(found.unwrap().is_none());
        assert_eq!(upstream.authority(), path_of.display().to_string());
        assert!(scene.asked()[0].contains("host: localhost\r\n"));
    }
}
