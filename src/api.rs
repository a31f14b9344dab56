//! HTTP to pulls and back: answers one registry request.
//!
//! Promises: every answer is one of the specification's, errors are its JSON, and no header of an
//! upstream gets through. Called by `server`, through the stack that `app` wires. Never touches a
//! file or a socket.

mod answer;
mod blob;
mod error;
mod header;
mod listing;
mod manifest;
mod request;

use std::{error::Error as _, sync::Arc};

use http::{
    HeaderValue, Response,
    header::{HOST, USER_AGENT, VIA},
    request::Parts,
};
use tokio::time::Instant;

pub use error::{ApiError, ContentKind};
pub use request::{ApiRequest, ReadMethod};

use answer::Answer;

use crate::{
    oci::Origin,
    pull::Puller,
    route::Ingress,
    telemetry::{
        self, Metrics,
        log::{Remote, RequestLine},
    },
    wire::Body,
};

/// Answers the requests of one listener. Clones share everything.
#[derive(Clone, Debug)]
pub struct Api(Arc<ApiState>);

#[derive(Debug)]
struct ApiState {
    puller: Puller,
    ingress: Ingress,
    listener: String,
    metrics: Arc<Metrics>,
}

impl Api {
    /// The API of one listener; `listener` is its address, for the log.
    pub fn new(puller: Puller, ingress: Ingress, listener: String, metrics: Arc<Metrics>) -> Self {
        Self(Arc::new(ApiState {
            puller,
            ingress,
            listener,
            metrics,
        }))
    }

    /// Answers one request, and tells of it once its body has left.
    #[expect(
        clippy::manual_async_fn,
        reason = "an async fn would have room for its arguments twice, in every connection"
    )]
    pub fn answer(self, parts: Parts) -> impl Future<Output = Response<Body>> + Send + 'static {
        async move {
            let began = Instant::now();
            let (route, answer) = match self.parse(&parts) {
                Ok((want, route)) => {
                    let answer = self.dispatch(&route, want, &parts).await;
                    (Some(route), answer)
                }
                Err(error) => (None, Err(error)),
            };
            let answer = answer.unwrap_or_else(|error| failure(&error));
            self.record(parts, route, answer, began)
        }
    }

    fn parse(&self, parts: &Parts) -> Result<(ReadMethod, ApiRequest), ApiError> {
        let want = ReadMethod::parse(&parts.method)?;
        let host = parts.headers.get(HOST);
        let host = host.and_then(|value| value.to_str().ok());
        Ok((want, ApiRequest::parse(&parts.uri, host, &self.0.ingress)?))
    }

    async fn dispatch(
        &self,
        route: &ApiRequest,
        want: ReadMethod,
        parts: &Parts,
    ) -> Result<Answer, ApiError> {
        let headers = &parts.headers;
        let via = headers.get_all(VIA).iter().map(HeaderValue::as_bytes);
        let puller = &self.0.puller.with_via(via)?;
        let mut answer = match route {
            ApiRequest::Ping => Ok(ping()),
            ApiRequest::Manifest(named, reference) => {
                manifest::answer(puller, named, reference, want, headers).await
            }
            ApiRequest::Blob(named, digest) => {
                blob::answer(puller, named, digest, want, headers).await
            }
            // Boxed, for hits should not have room for them.
            ApiRequest::Tags(named, page) => {
                let path = parts.uri.path();
                Box::pin(listing::tags(puller, named, page, want, path)).await
            }
            ApiRequest::Referrers(named, digest, page) => {
                let path = parts.uri.path();
                Box::pin(listing::referrers(puller, named, digest, page, want, path)).await
            }
        }?;
        let ns = route.image().and_then(|named| named.ns.as_ref());
        let ns = ns.and_then(|ns| HeaderValue::try_from(ns.as_str()).ok());
        answer
            .response
            .headers_mut()
            .extend(ns.map(|ns| (header::NAMESPACE, ns)));
        Ok(answer)
    }

    /// Counts the answer now and logs it when its body has ended.
    fn record(
        &self,
        parts: Parts,
        route: Option<ApiRequest>,
        answer: Answer,
        began: Instant,
    ) -> Response<Body> {
        let kind = route.as_ref().map_or("other", ApiRequest::kind);
        let Answer {
            response,
            outcome,
            origin,
        } = answer;
        let status = response.status().as_u16();
        let first_byte = began.elapsed();
        self.0.metrics.answered(telemetry::AnsweredRequest {
            kind,
            outcome,
            status,
            first_byte,
        });
        let api = Arc::clone(&self.0);
        if !telemetry::log::is_logged(outcome) {
            return response.map(|body| body.on_end(move |bytes, _| api.metrics.sent(kind, bytes)));
        }
        let Parts {
            method,
            mut headers,
            extensions,
            ..
        } = parts;
        let remote = extensions.get::<Remote>().copied();
        let user_agent = headers.remove(USER_AGENT);
        let watch = move |bytes, complete| {
            api.metrics.sent(kind, bytes);
            let named = route.as_ref().and_then(ApiRequest::image);
            let reference = route.as_ref().map(ApiRequest::reference);
            let upstream = match &origin {
                Some(Origin::Upstream { upstream, .. }) => Some(upstream.as_str()),
                Some(Origin::Local(_)) | None => None,
            };
            telemetry::log::request(&RequestLine {
                listener: &api.listener,
                remote,
                method: method.as_str(),
                registry: named.map_or("", |named| named.repository.registry.as_str()),
                repository: named.map_or("", |named| named.repository.name.as_str()),
                reference: &reference.unwrap_or_default(),
                kind,
                outcome,
                status,
                upstream,
                bytes,
                duration: began.elapsed(),
                complete,
                user_agent: user_agent
                    .as_ref()
                    .and_then(|value| value.to_str().ok())
                    .unwrap_or_default(),
            });
        };
        response.map(|body| body.on_end(watch))
    }
}

/// `GET /v2/` says that this is a registry, whatever upstreams do.
fn ping() -> Answer {
    let mut response = Response::new(Body::bytes(bytes::Bytes::from_static(b"{}")));
    let headers = response.headers_mut();
    headers.insert(
        header::DISTRIBUTION_VERSION.0,
        header::DISTRIBUTION_VERSION.1,
    );
    let json = HeaderValue::from_static("application/json");
    headers.insert(http::header::CONTENT_TYPE, json);
    Answer {
        response,
        outcome: "hit",
        origin: None,
    }
}

fn failure(error: &ApiError) -> Answer {
    log_failure(error);
    let outcome = error.outcome();
    Answer {
        response: error.response(),
        outcome,
        origin: None,
    }
}

/// Logs why a pull failed, with all its causes, where that is not the client's doing.
fn log_failure(error: &ApiError) {
    let ApiError::Pull(pull, _) = error else {
        return;
    };
    if !matches!(error.outcome(), "upstream" | "self") {
        return;
    }
    let mut causes = Vec::new();
    let mut cause = pull.source();
    while let Some(one) = cause {
        causes.push(one.to_string());
        cause = one.source();
    }
    tracing::warn!(error = %pull, cause = causes.join(": "), "a pull failed");
}
