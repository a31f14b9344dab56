//! A connection that speaks HTTP/1.1.

use std::{future::Future, pin::pin, sync::Arc};

use futures_util::TryFutureExt;
use http::Request;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};

use super::{
    HttpService, ServerContext, Settings,
    activity::Activity,
    client_stream::ClientStream,
    head_scanner::HeadScanner,
    http1_body::Http1Body,
    observed_stream::ObservedStream,
    response::ResponseTracker,
    watchdog::{ConnectionEnd, run_with_watchdog},
};
use crate::telemetry::log::Remote;

/// Serves one request after the other.
pub(super) async fn serve(
    stream: ClientStream,
    remote: Remote,
    shared: &ServerContext,
    pulse: &Arc<Activity>,
    service: impl HttpService,
) -> ConnectionEnd {
    let io = ObservedStream::new(stream, HeadScanner::default(), Arc::clone(pulse));
    let lane = io.sendfile_queue();
    let io = TokioIo::new(io);
    let answering = Arc::clone(pulse);
    let entry = service_fn(move |mut request: Request<Incoming>| {
        let answering = ResponseTracker::new(Arc::clone(&answering));
        request.extensions_mut().insert(remote);
        let lane = lane.clone();
        // No async block: it would have room for the answer's future twice.
        let answer = service.clone().call(request);
        answer
            .map_ok(|answer| answer.map(|body| Http1Body::new(body.with_sendfile(lane), answering)))
    });
    let mut served = pin!(http(&shared.settings.now()).serve_connection(io, entry));
    run_with_watchdog(shared, pulse, |context, drains| {
        if drains {
            served.as_mut().graceful_shutdown();
        }
        served.as_mut().poll(context)
    })
    .await
}

/// The HTTP library's settings. Its own deadline would count an idle connection's silence as part
/// of the next head; `deadline` keeps the two apart.
fn http(settings: &Settings) -> http1::Builder {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(None)
        .max_header_size(settings.head_bytes_max())
        // Bounds what a client can send ahead; a buffer alone would overshoot a head's limit.
        .max_buf_size(settings.head_bytes_max());
    http
}
