//! Probes and metrics for operators.
//!
//! Promises: it only reads, and answers at once from what it was given. Called by `app`, which
//! serves it on a listener of its own, never on the mirror's. Knows no other room.

use std::{fmt, sync::Arc};

use bytes::Bytes;
use http::{
    HeaderValue, Method, Response, StatusCode,
    header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE},
    request::Parts,
};

use crate::{telemetry::Metrics, wire::Body};

/// Whether this process takes requests. Never depends on an upstream: taking every mirror out of
/// service because a registry is down would cause the outage that a mirror is there to prevent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// Serving.
    Ready,
    /// Shutting down.
    Draining,
}

/// What the probes report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeStatus {
    /// Whether this process takes requests.
    pub readiness: Readiness,
    /// Why the configuration on disk is not the one in use, in one line; `None` if it is.
    pub reload_error: Option<Arc<str>>,
}

/// Answers on the admin listener.
#[derive(Clone)]
pub struct Admin {
    state: Arc<dyn Fn() -> ProbeStatus + Send + Sync>,
    metrics: Arc<Metrics>,
}

impl Admin {
    /// Calls `state` at each probe.
    pub fn new(
        state: impl Fn() -> ProbeStatus + Send + Sync + 'static,
        metrics: Arc<Metrics>,
    ) -> Self {
        let state = Arc::new(state);
        Self { state, metrics }
    }

    /// Answers one request.
    pub fn answer(&self, parts: &Parts) -> Response<Body> {
        let page = match parts.uri.path() {
            "/livez" => (StatusCode::OK, "alive\n".to_owned()),
            "/readyz" => readyz(&(self.state)()),
            "/metrics" => (StatusCode::OK, self.metrics.render()),
            _ => return text(StatusCode::NOT_FOUND, "not found\n".to_owned()),
        };
        if matches!(parts.method, Method::GET | Method::HEAD) {
            return text(page.0, page.1);
        }
        let mut answer = text(
            StatusCode::METHOD_NOT_ALLOWED,
            "only GET and HEAD\n".to_owned(),
        );
        let allowed = HeaderValue::from_static("GET, HEAD");
        answer.headers_mut().insert(ALLOW, allowed);
        answer
    }
}

impl fmt::Debug for Admin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Admin").finish_non_exhaustive()
    }
}

/// One word, so that an operator sees the reason; below it, why a reload failed. A refused
/// configuration does not affect readiness: the one before it is still served.
fn readyz(state: &ProbeStatus) -> (StatusCode, String) {
    let (status, word) = match state.readiness {
        Readiness::Ready => (StatusCode::OK, "ready"),
        Readiness::Draining => (StatusCode::SERVICE_UNAVAILABLE, "draining"),
    };
    let refused = state.reload_error.as_ref();
    let refused = refused.map(|why| format!("the configuration was not reloaded: {why}\n"));
    (status, format!("{word}\n{}", refused.unwrap_or_default()))
}

/// Prometheus' text format is plain text with a version, which other readers ignore.
fn text(status: StatusCode, text: String) -> Response<Body> {
    let mut answer = Response::new(Body::bytes(Bytes::from(text)));
    *answer.status_mut() = status;
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    answer.headers_mut().insert(CONTENT_TYPE, kind);
    let fresh = HeaderValue::from_static("no-store");
    answer.headers_mut().insert(CACHE_CONTROL, fresh);
    answer
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    async fn ask(readiness: Readiness, method: &str, path: &str) -> (u16, String) {
        let state = ProbeStatus {
            readiness,
            reload_error: None,
        };
        answered(state, method, path).await
    }

    async fn answered(state: ProbeStatus, method: &str, path: &str) -> (u16, String) {
        let admin = Admin::new(move || state.clone(), Arc::new(Metrics::new().unwrap()));
        let request = http::Request::builder()
            .method(method)
            .uri(path)
            .body(())
            .unwrap();
        let answer = admin.answer(&request.into_parts().0);
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn each_path_and_method_has_its_answer() {
        use Readiness::{Draining, Ready};
        let rows = [
            (Ready, "GET", "/livez", 200, "alive\n"),
            (Draining, "GET", "/livez", 200, "alive\n"),
            (Ready, "GET", "/readyz", 200, "ready\n"),
            (Ready, "HEAD", "/readyz?verbose", 200, "ready\n"),
            (Draining, "GET", "/readyz", 503, "draining\n"),
            (Ready, "POST", "/readyz", 405, "only GET and HEAD\n"),
            (Ready, "DELETE", "/metrics", 405, "only GET and HEAD\n"),
            (Ready, "GET", "/", 404, "not found\n"),
            (Ready, "GET", "/v2/", 404, "not found\n"),
            (Ready, "GET", "/metrics/", 404, "not found\n"),
        ];
        for (readiness, method, path, status, body) in rows {
            let got = ask(readiness, method, path).await;
            assert_eq!(got, (status, body.to_owned()), "{method} {path}");
        }
        let state = ProbeStatus {
            readiness: Ready,
            reload_error: Some("f:1: why".into()),
        };
        let body = "ready\nthe configuration was not reloaded: f:1: why\n";
        let answer = answered(state, "GET", "/readyz").await;
        assert_eq!(answer, (200, body.to_owned()));
        let (status, body) = ask(Ready, "GET", "/metrics").await;
        assert_eq!(status, 200);
        assert!(body.contains("roadstead_build_info{version="), "{body}");
    }
}
