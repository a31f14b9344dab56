//! Serves one connection, from its first byte to its last.

use std::sync::Arc;

use rustls::ServerConfig;
use tokio::sync::OwnedSemaphorePermit;

use super::{
    HttpService, ServerContext,
    activity::{Activity, ConnectionPhase, TransportState},
    client_stream::{ClientStream, lingering_close},
    handshake::{HttpProtocol, negotiate},
    http1, http2,
    watchdog::ConnectionEnd,
};
use crate::telemetry::{Metrics, log::Remote};

/// Performs the handshake and serves the requests of a connection, which holds its permit until the
/// end. With `tls`, no byte is served in plain text.
pub(super) async fn run(
    (_permit, stream, remote): (OwnedSemaphorePermit, ClientStream, Remote),
    tls: Option<Arc<ServerConfig>>,
    shared: ServerContext,
    service: impl HttpService,
) {
    let _open = ConnectionGuard::new(Arc::clone(&shared.metrics));
    let Some(negotiated) = negotiate(stream, remote, tls, &shared).await else {
        return;
    };
    let activity = Arc::new(Activity::default());
    let end = if negotiated.protocol == HttpProtocol::Http2 {
        Box::pin(http2::serve(
            negotiated.stream,
            remote,
            &shared,
            &activity,
            service,
        ))
        .await
    } else {
        http1::serve(negotiated.stream, remote, &shared, &activity, service).await
    };
    let transport = activity.state().transport;
    if let Some(why) = refusal_reason(&end, transport, negotiated.protocol) {
        shared.metrics.connection_refused();
        tracing::debug!(%remote, why, "connection refused");
    }
    let stream = activity.returned_stream.lock().take();
    if let (Some(stream), false) = (
        stream,
        transport == TransportState::Closed || matches!(end, ConnectionEnd::Stopped),
    ) {
        lingering_close(stream).await;
    }
}

/// Why a connection counts as refused; `None` for an ordinary end.
fn refusal_reason(
    end: &ConnectionEnd,
    transport: TransportState,
    protocol: HttpProtocol,
) -> Option<&'static str> {
    match end {
        _ if transport == TransportState::Malformed => {
            Some("a line of the head ended in a bare line feed")
        }
        ConnectionEnd::TimedOut(ConnectionPhase::Head) => Some("the head took too long"),
        ConnectionEnd::TimedOut(ConnectionPhase::Blocked) => {
            Some("the client took no byte for too long")
        }
        ConnectionEnd::Served(Err(error)) if error.is_parse() => {
            Some("the head is not HTTP, or too large")
        }
        // Our own handlers never fail an HTTP/2 connection, so the client caused this.
        ConnectionEnd::Served(Err(_))
            if protocol == HttpProtocol::Http2 && transport != TransportState::Closed =>
        {
            Some("the client violated the HTTP/2 protocol")
        }
        ConnectionEnd::Served(_)
        | ConnectionEnd::TimedOut(_)
        | ConnectionEnd::Drained
        | ConnectionEnd::Stopped => None,
    }
}

/// Counts a connection while it lives.
struct ConnectionGuard(Arc<Metrics>);

impl ConnectionGuard {
    fn new(metrics: Arc<Metrics>) -> Self {
        metrics.connected();
        Self(metrics)
    }
}

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        self.0.disconnected();
    }
}
