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
use tokio::{sync::Semaphore, time::timeout};
use tower::{Service, ServiceExt, service_fn};

use crate::{telemetry::Metrics, wire::Body};

/// A refused body is read so far and so long, that the client may finish sending and read our
/// answer; then the connection ends.
const REFUSED_BODY_BYTES_MAX: usize = 64 * 1024;
const REFUSED_BODY_MAX: Duration = Duration::from_secs(1);

/// The answers to what goes wrong here; another room writes them and picks their status.
#[derive(Clone, Copy)]
pub struct Failures {
    /// The service panicked.
    pub panicked: fn() -> Response<Body>,
    /// The request must not reach the service.
    pub bad_request: fn(BadRequest) -> Response<Body>,
    /// Too many requests are waiting.
    pub shed: fn() -> Response<Body>,
}

/// The places for requests at work, which listeners with clones of it share.
#[derive(Clone, Debug)]
pub struct RequestLimit(Arc<Semaphore>);

impl RequestLimit {
    /// So many places.
    pub fn new(requests_max: usize) -> Self {
        let places = requests_max.min(Semaphore::MAX_PERMITS);
        Self(Arc::new(Semaphore::new(places)))
    }
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
pub(super) struct Crowded;

/// What answers the requests of connections; [`stack`] makes it.
pub trait Answers:
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

impl<S> Answers for S
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
    failures: Failures,
    metrics: Arc<Metrics>,
) -> impl Answers
where
    A: Fn(Parts) -> F + Clone + Send + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    // No request that gets this far has a body.
    let service =
        service_fn(move |request: Request<Incoming>| answer(request.into_parts().0).map(Ok));
    // Innermost, bounds what waits for upstream and disk: at the limit a request is refused at once
    // instead of queueing where nobody counts it. Bodies that are leaving hold no place.
    let shedding =
        service_fn(move |request| shed(service.clone(), request, failures, Arc::clone(&places)));
    // Outside the limit, because refusing costs less than a place in it.
    let admitting = service_fn(move |request| admit(shedding.clone(), request, failures));
    // Outermost, so that a panic anywhere below becomes an answer and ends nothing else.
    service_fn(move |request| fence(admitting.clone(), request, failures, Arc::clone(&metrics)))
}

async fn fence<S>(
    service: S,
    request: Request<Incoming>,
    failures: Failures,
    metrics: Arc<Metrics>,
) -> Result<Response<Body>, Infallible>
where
    S: Service<Request<Incoming>, Response = Response<Body>, Error = Infallible>,
{
    let work = async move { service.oneshot(request).await };
    AssertUnwindSafe(work)
        .catch_unwind()
        .await
        .unwrap_or_else(|_payload| {
            metrics.task_panicked();
            tracing::error!("a request panicked; this is a bug");
            Ok((failures.panicked)())
        })
}

async fn admit<S>(
    service: S,
    mut request: Request<Incoming>,
    failures: Failures,
) -> Result<Response<Body>, Infallible>
where
    S: Service<Request<Incoming>, Response = Response<Body>, Error = Infallible>,
{
    let version = request.version();
    if !names_one_host(&request) {
        let answer = (failures.bad_request)(BadRequest::Host);
        return Ok(closing(answer, version));
    }
    if request.body().is_end_stream() {
        return service.oneshot(request).await;
    }
    // Whoever waits for a "100 Continue" sends no body after an answer.
    if !request.headers().contains_key(EXPECT) {
        drain(request.body_mut()).await;
    }
    let answer = if matches!(*request.method(), Method::GET | Method::HEAD) {
        (failures.bad_request)(BadRequest::Body)
    } else {
        service.oneshot(request).await?
    };
    // What is left of the body must not be taken for the next request.
    Ok(closing(answer, version))
}

async fn shed<S>(
    service: S,
    request: Request<Incoming>,
    failures: Failures,
    places: Arc<Semaphore>,
) -> Result<Response<Body>, Infallible>
where
    S: Service<Request<Incoming>, Response = Response<Body>, Error = Infallible>,
{
    match places.try_acquire() {
        Ok(_place) if request.extensions().get::<Crowded>().is_none() => {
            service.oneshot(request).await
        }
        _ => Ok((failures.shed)()),
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

impl fmt::Debug for Failures {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Failures").finish_non_exhaustive()
    }
}
