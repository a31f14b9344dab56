//! Serves an HTTP/2 connection; only TLS connections negotiate HTTP/2.

use std::{future::Future, pin::pin, sync::Arc};

use futures_util::TryFutureExt;
use http::{
    HeaderValue, Method, Request, Response, Uri,
    header::{CONTENT_LENGTH, HOST},
};
use http_body::Body;
use hyper::{body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::rt::TokioIo;

use super::{
    HttpService, ServerContext, Settings,
    activity::Activity,
    client_stream::ClientStream,
    frame_scanner::FrameScanner,
    http2_body::Http2Body,
    http2_streams::{Http2Streams, StreamExecutor},
    observed_stream::ObservedStream,
    response::ResponseTracker,
    stack::OverConnectionLimit,
    watchdog::{ConnectionEnd, run_with_watchdog},
};
use crate::telemetry::log::Remote;

/// Most concurrent requests on one connection; a client holds further ones back.
const STREAMS_MAX: u32 = 128;
/// Most requests that a client resets before they are accepted, and most protocol errors, before the
/// connection ends.
const PENDING_RESETS_MAX: usize = 20;
const PROTOCOL_ERRORS_MAX: usize = 100;
/// Request body bytes a client may send; bodies are refused.
const WINDOW_BYTES: u32 = 64 * 1024 - 1;
/// Most unsent bytes of one response, beside its current chunk.
const SEND_BYTES_MAX: usize = 64 * 1024;

/// Serves concurrent requests.
pub(super) async fn serve(
    stream: ClientStream,
    remote: Remote,
    shared: &ServerContext,
    activity: &Arc<Activity>,
    service: impl HttpService,
) -> ConnectionEnd {
    let io = TokioIo::new(ObservedStream::new(
        stream,
        FrameScanner::default(),
        Arc::clone(activity),
    ));
    let (tracker, limit) = (Arc::clone(activity), shared.connections.clone());
    let entry = service_fn(move |mut request: Request<Incoming>| {
        let mut tracker = ResponseTracker::new(Arc::clone(&tracker));
        if !tracker.take_permit(&limit) {
            request.extensions_mut().insert(OverConnectionLimit);
        }
        let is_head = request.method() == Method::HEAD;
        request.extensions_mut().insert(remote);
        copy_authority_to_host(&mut request);
        let response = service.clone().call(request);
        response.map_ok(move |response| {
            // Frames carry bytes only, so sendfile is out of the question.
            let response = response.map(|body| body.with_sendfile(None));
            if is_head {
                without_body(response).map(|()| Http2Body::new(None, tracker))
            } else {
                response.map(|body| Http2Body::new(Some(body), tracker))
            }
        })
    });
    let mut streams = Http2Streams::default();
    let http = http(&shared.settings.now(), streams.executor());
    let mut served = pin!(http.serve_connection(io, entry));
    run_with_watchdog(shared, activity, |context, drains| {
        if drains {
            served.as_mut().graceful_shutdown();
        }
        loop {
            // First the handlers, then the connection that sends their responses, and again if it
            // accepted requests.
            streams.poll(context);
            let ended = served.as_mut().poll(context);
            if ended.is_ready() || !streams.has_new() {
                return ended;
            }
        }
    })
    .await
}

fn http(settings: &Settings, executor: StreamExecutor) -> http2::Builder<StreamExecutor> {
    let mut http = http2::Builder::new(executor);
    let head_bytes_max = u32::try_from(settings.head_bytes_max()).unwrap_or(u32::MAX);
    http.max_concurrent_streams(STREAMS_MAX)
        .max_pending_accept_reset_streams(PENDING_RESETS_MAX)
        .max_local_error_reset_streams(PROTOCOL_ERRORS_MAX)
        .max_header_list_size(head_bytes_max)
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES)
        .adaptive_window(false)
        .max_send_buf_size(SEND_BYTES_MAX)
        // The watchdog ends silent connections.
        .keep_alive_interval(None);
    http
}

/// Copies `:authority` to `Host`, so that later code reads one header for both protocols. A `Host`
/// that differs makes two hosts, which the stack refuses.
fn copy_authority_to_host<B>(request: &mut Request<B>) {
    let Some(authority) = request.uri().authority() else {
        return;
    };
    let host = HeaderValue::from_str(authority.as_str());
    if let Some(path) = request.uri().path_and_query() {
        *request.uri_mut() = Uri::from(path.clone());
    }
    if let Ok(host) = host
        && !request
            .headers()
            .get_all(HOST)
            .iter()
            .any(|other| other == host)
    {
        request.headers_mut().append(HOST, host);
    }
}

/// Removes the body of a response to HEAD; hyper does so in HTTP/1 only.
fn without_body<B: Body>(response: Response<B>) -> Response<()> {
    let length = response.body().size_hint().exact();
    let mut response = response.map(drop);
    if let Some(length) = length {
        let headers = response.headers_mut();
        headers
            .entry(CONTENT_LENGTH)
            .or_insert_with(|| length.into());
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_authority_is_the_host() {
        let rows: [(&str, &[&str], &str, &[&str]); 5] = [
            ("https://a.example/v2/", &[], "/v2/", &["a.example"]),
            (
                "https://a.example:1/v2/?n=1",
                &["a.example:1"],
                "/v2/?n=1",
                &["a.example:1"],
            ),
            (
                "https://a.example/",
                &["b.example"],
                "/",
                &["b.example", "a.example"],
            ),
            ("/v2/", &["b.example"], "/v2/", &["b.example"]),
            ("/v2/", &[], "/v2/", &[]),
        ];
        for (uri, hosts, path, expected) in rows {
            let mut request = Request::builder().uri(uri);
            for host in hosts {
                request = request.header(HOST, *host);
            }
            let mut request = request.body(()).unwrap();
            copy_authority_to_host(&mut request);
            assert_eq!(request.uri(), path);
            let got: Vec<_> = request.headers().get_all(HOST).iter().collect();
            assert_eq!(got, expected, "{uri}");
        }
    }
}
