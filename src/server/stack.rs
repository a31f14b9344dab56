//! What every request passes before its service, from the inside out.

use std::{
    convert::Infallible, fmt, future::Future, panic::AssertUnwindSafe, sync::Arc, time::Duration,
};

use futures_util::FutureExt;
use http::{
    HeaderValue, Method, Request, Response, Version,
    header::{CONNECTION, EXPECT, HOST},
    request::Parts,
};
use http_body::Body as _;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::timeout,
};
use tower::{Service, service_fn};

use super::limits::RequestLimit;
use crate::{telemetry::Metrics, wire::Body};

/// A refused body is read so far and so long, that the client may finish sending and read our
/// answer; then the connection ends.
const REFUSED_BODY_BYTES_MAX: usize = 64 * 1024;
const REFUSED_BODY_MAX: Duration = Duration::from_secs(1);

/// The answers to what goes wrong here; another room writes them and picks their status.
#[derive(Clone, Copy)]
pub struct FailureResponses {
    /// The service panicked.
    pub panicked: fn() -> Response<Body>,
    /// The request must not reach the service.
    pub bad_request: fn(BadRequest) -> Response<Body>,
    /// Too many requests are waiting.
    pub shed: fn() -> Response<Body>,
}

/// Why a request must not reach the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadRequest {
    /// A GET or HEAD with a body.
    Body,
    /// No `Host`, or several.
    Host,
}

/// Marks a request that found no place beside the other ones of its connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct OverConnectionLimit;

/// What answers the requests of connections, at any time; [`stack`] makes it.
pub trait HttpService:
    Service<
        Request<Incoming>,
        Response = Response<Body>,
        Error = Infallible,
        Future: Send + 'static,
    > + Clone
    + Send
    + 'static
{
}

impl<S> HttpService for S
where
    S: Service<Request<Incoming>, Response = Response<Body>, Error = Infallible>,
    S: Clone + Send + 'static,
    S::Future: Send + 'static,
{
}

/// Puts the layers around what answers a request's head.
pub fn stack<A, F>(
    answer: A,
    RequestLimit(places): RequestLimit,
    failures: FailureResponses,
    metrics: Arc<Metrics>,
) -> impl HttpService
where
    A: Fn(Parts) -> F + Send + Sync + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    let layers = Arc::new(Layers {
        answer,
        permits: places,
        failures,
        metrics,
    });
    service_fn(move |request: Request<Incoming>| Arc::clone(&layers).catch_panics(request))
}

/// What every request passes, shared by all of them.
struct Layers<A> {
    answer: A,
    permits: Arc<Semaphore>,
    failures: FailureResponses,
    metrics: Arc<Metrics>,
}

impl<A, F> Layers<A>
where
    A: Fn(Parts) -> F,
    F: Future<Output = Response<Body>>,
{
    /// Outermost, so that a panic anywhere below becomes an answer and ends nothing else.
    fn catch_panics(
        self: Arc<Self>,
        request: Request<Incoming>,
    ) -> impl Future<Output = Result<Response<Body>, Infallible>> {
        let layers = Arc::clone(&self);
        let answer = AssertUnwindSafe(self.admit(request)).catch_unwind();
        answer.map(move |answer| {
            Ok(answer.unwrap_or_else(|_payload| {
                layers.metrics.task_panicked();
                tracing::error!("a request panicked; this is a bug");
                (layers.failures.panicked)()
            }))
        })
    }

    /// Outside the limit, because refusing costs less than a place in it.
    #[expect(
        clippy::manual_async_fn,
        reason = "an async fn would have room for its arguments twice, in every connection"
    )]
    fn admit(self: Arc<Self>, request: Request<Incoming>) -> impl Future<Output = Response<Body>> {
        async move {
            if !names_one_host(&request) {
                let answer = (self.failures.bad_request)(BadRequest::Host);
                return closing(answer, request.version());
            }
            if !request.body().is_end_stream() {
                // Boxed, or every request would have room for what hardly any does.
                return Box::pin(self.admit_without_body(request)).await;
            }
            match self.permit(&request) {
                Some(_place) => (self.answer)(request.into_parts().0).await,
                None => (self.failures.shed)(),
            }
        }
    }

    async fn admit_without_body(&self, mut request: Request<Incoming>) -> Response<Body> {
        let version = request.version();
        // Whoever waits for a "100 Continue" sends no body after an answer.
        if !request.headers().contains_key(EXPECT) {
            drain(request.body_mut()).await;
        }
        let answer = if matches!(*request.method(), Method::GET | Method::HEAD) {
            (self.failures.bad_request)(BadRequest::Body)
        } else {
            match self.permit(&request) {
                // No request that gets this far has a body.
                Some(_place) => (self.answer)(request.into_parts().0).await,
                None => (self.failures.shed)(),
            }
        };
        // What is left of the body must not be taken for the next request.
        closing(answer, version)
    }

    /// Innermost, bounds what waits for upstream and disk: at the limit a request is refused at
    /// once instead of queueing where nobody counts it. Bodies that are leaving hold no place.
    fn permit(&self, request: &Request<Incoming>) -> Option<SemaphorePermit<'_>> {
        let is_crowded = request.extensions().get::<OverConnectionLimit>().is_some();
        self.permits.try_acquire().ok().filter(|_| !is_crowded)
    }
}

/// HTTP/1.1 demands exactly one; before it, none is fine.
fn names_one_host<B>(request: &Request<B>) -> bool {
    let hosts = request.headers().get_all(HOST).iter().count();
    hosts == 1 || (hosts == 0 && request.version() < Version::HTTP_11)
}

async fn drain(body: &mut Incoming) {
    let mut left = REFUSED_BODY_BYTES_MAX;
    let reading = async {
        while let Some(Ok(frame)) = body.frame().await {
            let read = frame.data_ref().map_or(0, bytes::Bytes::len);
            left = left.saturating_sub(read);
            if left == 0 {
                return;
            }
        }
    };
    // Late or not, the answer comes now.
    let _late = timeout(REFUSED_BODY_MAX, reading).await.is_err();
}

/// In HTTP/2 one bad request says nothing about where the next one begins.
fn closing(mut answer: Response<Body>, version: Version) -> Response<Body> {
    if version <= Version::HTTP_11 {
        let close = HeaderValue::from_static("close");
        answer.headers_mut().insert(CONNECTION, close);
    }
    answer
}

impl fmt::Debug for FailureResponses {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Failures").finish_non_exhaustive()
    }
}
