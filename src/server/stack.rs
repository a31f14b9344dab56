//! The layers around the handler of requests: panics, request checks, the limit.

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

/// Bytes and time for which a refused body is read, so that the client can finish sending and read
/// the response; then the connection ends.
const REFUSED_BODY_BYTES_MAX: usize = 64 * 1024;
const REFUSED_BODY_MAX: Duration = Duration::from_secs(1);

/// Responses to failures of the stack; `api` writes them and picks their status.
#[derive(Clone, Copy)]
pub struct FailureResponses {
    /// The handler panicked.
    pub panicked: fn() -> Response<Body>,
    /// The request must not reach the handler.
    pub bad_request: fn(BadRequest) -> Response<Body>,
    /// Too many requests are in progress.
    pub shed: fn() -> Response<Body>,
}

/// Why a request must not reach the handler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadRequest {
    /// A GET or HEAD with a body.
    Body,
    /// No `Host`, or several.
    Host,
}

/// Marks a request that got no permit beside the others of its connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct OverConnectionLimit;

/// Serves the requests of connections; [`stack`] makes it.
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

/// Wraps the layers around `handler`, which answers a request's head.
pub fn stack<H, F>(
    handler: H,
    RequestLimit(permits): RequestLimit,
    failures: FailureResponses,
    metrics: Arc<Metrics>,
) -> impl HttpService
where
    H: Fn(Parts) -> F + Send + Sync + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    let layers = Arc::new(Layers {
        handler,
        permits,
        failures,
        metrics,
    });
    service_fn(move |request: Request<Incoming>| Arc::clone(&layers).catch_panics(request))
}

/// Passed by every request, shared by all of them.
struct Layers<H> {
    handler: H,
    permits: Arc<Semaphore>,
    failures: FailureResponses,
    metrics: Arc<Metrics>,
}

impl<H, F> Layers<H>
where
    H: Fn(Parts) -> F,
    F: Future<Output = Response<Body>>,
{
    /// Turns a panic of any inner layer into a 500 and lets everything else go on.
    fn catch_panics(
        self: Arc<Self>,
        request: Request<Incoming>,
    ) -> impl Future<Output = Result<Response<Body>, Infallible>> {
        let layers = Arc::clone(&self);
        let response = AssertUnwindSafe(self.admit(request)).catch_unwind();
        response.map(move |response| {
            Ok(response.unwrap_or_else(|_payload| {
                layers.metrics.task_panicked();
                tracing::error!("a request panicked; this is a bug");
                (layers.failures.panicked)()
            }))
        })
    }

    /// Refuses bad requests before they take a permit, because refusing costs less than serving.
    #[expect(
        clippy::manual_async_fn,
        reason = "an async fn would take the size of its arguments twice, in every connection"
    )]
    fn admit(self: Arc<Self>, request: Request<Incoming>) -> impl Future<Output = Response<Body>> {
        async move {
            if !names_one_host(&request) {
                let response = (self.failures.bad_request)(BadRequest::Host);
                return closing(response, request.version());
            }
            if !request.body().is_end_stream() {
                // Boxed so that the future of a common request stays small.
                return Box::pin(self.admit_without_body(request)).await;
            }
            match self.permit(&request) {
                Some(_permit) => (self.handler)(request.into_parts().0).await,
                None => (self.failures.shed)(),
            }
        }
    }

    async fn admit_without_body(&self, mut request: Request<Incoming>) -> Response<Body> {
        let version = request.version();
        // A client that waits for "100 Continue" sends no body after a response.
        if !request.headers().contains_key(EXPECT) {
            drain(request.body_mut()).await;
        }
        let response = if matches!(*request.method(), Method::GET | Method::HEAD) {
            (self.failures.bad_request)(BadRequest::Body)
        } else {
            match self.permit(&request) {
                // The body was drained above.
                Some(_permit) => (self.handler)(request.into_parts().0).await,
                None => (self.failures.shed)(),
            }
        };
        // The rest of the body must not be parsed as the next request.
        closing(response, version)
    }

    /// Bounds the requests that wait for upstream and disk: at the limit a request is refused at
    /// once instead of queueing uncounted. Bodies being sent hold no permit.
    fn permit(&self, request: &Request<Incoming>) -> Option<SemaphorePermit<'_>> {
        let is_crowded = request.extensions().get::<OverConnectionLimit>().is_some();
        self.permits.try_acquire().ok().filter(|_| !is_crowded)
    }
}

/// HTTP/1.1 requires exactly one; HTTP/1.0 allows none.
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
    // The response follows either way.
    let _late = timeout(REFUSED_BODY_MAX, reading).await.is_err();
}

/// Closes an HTTP/1 connection after `response`. In HTTP/2 a bad request does not affect where the
/// next one begins.
fn closing(mut response: Response<Body>, version: Version) -> Response<Body> {
    if version <= Version::HTTP_11 {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(CONNECTION, close);
    }
    response
}

impl fmt::Debug for FailureResponses {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("FailureResponses")
            .finish_non_exhaustive()
    }
}
