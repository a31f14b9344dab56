//! The registry API: answers one request by a pull.
//!
//! Promises: every answer follows the distribution specification, errors are its JSON, and no header
//! of an upstream gets through. Called by `server`, through the stack that `app` wires. Never
//! touches a file or a socket.

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

    /// Answers one request, and logs it once its body has been sent.
    #[expect(
        clippy::manual_async_fn,
        reason = "an async fn would take the size of its arguments twice, in every connection"
    )]
    pub fn answer(self, parts: Parts) -> impl Future<Output = Response<Body>> + Send + 'static {
        async move {
            let began = Instant::now();
            let (request, answer) = match self.parse(&parts) {
                Ok((method, request)) => {
                    let answer = self.dispatch(&request, method, &parts).await;
                    (Some(request), answer)
                }
                Err(error) => (None, Err(error)),
            };
            let answer = answer.unwrap_or_else(|error| failure(&error));
            self.record(parts, request, answer, began)
        }
    }

    fn parse(&self, parts: &Parts) -> Result<(ReadMethod, ApiRequest), ApiError> {
        let method = ReadMethod::parse(&parts.method)?;
        let host = parts.headers.get(HOST);
        let host = host.and_then(|value| value.to_str().ok());
        Ok((
            method,
            ApiRequest::parse(&parts.uri, host, &self.0.ingress)?,
        ))
    }

    async fn dispatch(
        &self,
        request: &ApiRequest,
        method: ReadMethod,
        parts: &Parts,
    ) -> Result<Answer, ApiError> {
        let headers = &parts.headers;
        let via = headers.get_all(VIA).iter().map(HeaderValue::as_bytes);
        let puller = &self.0.puller.with_via(via)?;
        let mut answer = match request {
            ApiRequest::Ping => Ok(ping()),
            ApiRequest::Manifest(image, reference) => {
                manifest::answer(puller, image, reference, method, headers).await
            }
            ApiRequest::Blob(image, digest) => {
                blob::answer(puller, image, digest, method, headers).await
            }
            // Boxed so that the future of a hit stays small.
            ApiRequest::Tags(image, page) => {
                let path = parts.uri.path();
                Box::pin(listing::tags(puller, image, page, method, path)).await
            }
            ApiRequest::Referrers(image, digest, page) => {
                let path = parts.uri.path();
                Box::pin(listing::referrers(
                    puller, image, digest, page, method, path,
                ))
                .await
            }
        }?;
        let ns = request.image().and_then(|image| image.ns.as_ref());
        let ns = ns.and_then(|ns| HeaderValue::try_from(ns.as_str()).ok());
        answer
            .response
            .headers_mut()
            .extend(ns.map(|ns| (header::NAMESPACE, ns)));
        Ok(answer)
    }

    /// Counts the answer now, and logs it when its body has ended.
    fn record(
        &self,
        parts: Parts,
        request: Option<ApiRequest>,
        answer: Answer,
        began: Instant,
    ) -> Response<Body> {
        let kind = request.as_ref().map_or("other", ApiRequest::kind);
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
        let log = move |bytes, complete| {
            api.metrics.sent(kind, bytes);
            let image = request.as_ref().and_then(ApiRequest::image);
            let reference = request.as_ref().map(ApiRequest::reference);
            let upstream = match &origin {
                Some(Origin::Upstream { upstream, .. }) => Some(upstream.as_str()),
                Some(Origin::Local(_)) | None => None,
            };
            telemetry::log::request(&RequestLine {
                listener: &api.listener,
                remote,
                method: method.as_str(),
                registry: image.map_or("", |image| image.repository.registry.as_str()),
                repository: image.map_or("", |image| image.repository.name.as_str()),
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
        response.map(|body| body.on_end(log))
    }
}

/// `GET /v2/` identifies a registry, whatever the state of upstreams.
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

/// Logs why a pull failed, with all its causes, unless the client caused it.
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
