//! Serves an HTTP/1.1 connection.

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

/// Serves one request after another.
pub(super) async fn serve(
    stream: ClientStream,
    remote: Remote,
    shared: &ServerContext,
    activity: &Arc<Activity>,
    service: impl HttpService,
) -> ConnectionEnd {
    let io = ObservedStream::new(stream, HeadScanner::default(), Arc::clone(activity));
    let sendfile_queue = io.sendfile_queue();
    let io = TokioIo::new(io);
    let tracker = Arc::clone(activity);
    let entry = service_fn(move |mut request: Request<Incoming>| {
        let tracker = ResponseTracker::new(Arc::clone(&tracker));
        request.extensions_mut().insert(remote);
        let sendfile_queue = sendfile_queue.clone();
        // Not an async block, which would take the size of the response's future twice.
        let response = service.clone().call(request);
        response.map_ok(|response| {
            response.map(|body| Http1Body::new(body.with_sendfile(sendfile_queue), tracker))
        })
    });
    let mut served = pin!(http(&shared.settings.now()).serve_connection(io, entry));
    run_with_watchdog(shared, activity, |context, drains| {
        if drains {
            served.as_mut().graceful_shutdown();
        }
        served.as_mut().poll(context)
    })
    .await
}

/// hyper's settings. Its own timeout would count an idle connection's silence as part of the next
/// head; [`super::activity`] keeps the two apart.
fn http(settings: &Settings) -> http1::Builder {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(None)
        .max_header_size(settings.head_bytes_max())
        // Bounds what a client can send ahead; the default buffer would exceed a head's limit.
        .max_buf_size(settings.head_bytes_max());
    http
}
