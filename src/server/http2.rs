//! A connection that speaks HTTP/2, which only TLS connections do.

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

/// Most requests at once on one connection; a client waits with further ones.
const STREAMS_MAX: u32 = 128;
/// Most requests that a client gives up before we have looked at them, and most that break a rule,
/// before the connection ends.
const PENDING_RESETS_MAX: usize = 20;
const PROTOCOL_ERRORS_MAX: usize = 100;
/// What a client may send of bodies, which nobody wants.
const WINDOW_BYTES: u32 = 64 * 1024 - 1;
/// What waits of one answer for the connection to take it, beside the piece at hand.
const SEND_BYTES_MAX: usize = 64 * 1024;

/// Serves many requests at once.
pub(super) async fn serve(
    stream: ClientStream,
    remote: Remote,
    shared: &ServerContext,
    pulse: &Arc<Activity>,
    service: impl HttpService,
) -> ConnectionEnd {
    let io = TokioIo::new(ObservedStream::new(
        stream,
        FrameScanner::default(),
        Arc::clone(pulse),
    ));
    let (answering, places) = (Arc::clone(pulse), shared.connections.clone());
    let entry = service_fn(move |mut request: Request<Incoming>| {
        let mut answering = ResponseTracker::new(Arc::clone(&answering));
        if !answering.take_permit(&places) {
            request.extensions_mut().insert(OverConnectionLimit);
        }
        let is_head = request.method() == Method::HEAD;
        request.extensions_mut().insert(remote);
        copy_authority_to_host(&mut request);
        let answer = service.clone().call(request);
        answer.map_ok(move |answer| {
            // Frames carry bytes only.
            let answer = answer.map(|body| body.with_sendfile(None));
            if is_head {
                without_body(answer).map(|()| Http2Body::new(None, answering))
            } else {
                answer.map(|body| Http2Body::new(Some(body), answering))
            }
        })
    });
    let mut streams = Http2Streams::default();
    let http = http(&shared.settings.now(), streams.executor());
    let mut served = pin!(http.serve_connection(io, entry));
    run_with_watchdog(shared, pulse, |context, drains| {
        if drains {
            served.as_mut().graceful_shutdown();
        }
        loop {
            // First what answers, then what sends the answers, and once more if that let requests in.
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
        // `deadline` ends silent connections.
        .keep_alive_interval(None);
    http
}

/// Says which host is meant where HTTP/1 says it, so that nobody behind has to know both. With a
/// `Host` that says something else there are two hosts then, and the stack refuses that.
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
            .any(|said| said == host)
    {
        request.headers_mut().append(HOST, host);
    }
}

/// The library leaves a body away from the answer to a HEAD in HTTP/1 only.
fn without_body<B: Body>(answer: Response<B>) -> Response<()> {
    let length = answer.body().size_hint().exact();
    let mut answer = answer.map(drop);
    if let Some(length) = length {
        let headers = answer.headers_mut();
        headers
            .entry(CONTENT_LENGTH)
            .or_insert_with(|| length.into());
    }
    answer
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
        for (uri, hosts, path, named) in rows {
            let mut request = Request::builder().uri(uri);
            for host in hosts {
                request = request.header(HOST, *host);
            }
            let mut request = request.body(()).unwrap();
            copy_authority_to_host(&mut request);
            assert_eq!(request.uri(), path);
            let said: Vec<_> = request.headers().get_all(HOST).iter().collect();
            assert_eq!(said, named, "{uri}");
        }
    }
}
