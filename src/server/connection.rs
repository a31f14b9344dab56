//! One connection, from its first byte to its last.

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

/// Meets a client, and serves the requests of its connection, which has its place as long. With
/// `tls`, nothing is said in plain.
pub(super) async fn run(
    (_place, stream, remote): (OwnedSemaphorePermit, ClientStream, Remote),
    tls: Option<Arc<ServerConfig>>,
    shared: ServerContext,
    service: impl HttpService,
) {
    let _open = ConnectionGuard::new(Arc::clone(&shared.metrics));
    let Some(met) = negotiate(stream, remote, tls, &shared).await else {
        return;
    };
    let pulse = Arc::new(Activity::default());
    let end = if met.protocol == HttpProtocol::Http2 {
        Box::pin(http2::serve(met.stream, remote, &shared, &pulse, service)).await
    } else {
        http1::serve(met.stream, remote, &shared, &pulse, service).await
    };
    let way = pulse.state().transport;
    if let Some(why) = refusal_reason(&end, way, met.protocol) {
        shared.metrics.connection_refused();
        tracing::debug!(%remote, why, "connection refused");
    }
    let stream = pulse.returned_stream.lock().take();
    if let (Some(stream), false) = (
        stream,
        way == TransportState::Closed || matches!(end, ConnectionEnd::Stopped),
    ) {
        lingering_close(stream).await;
    }
}

/// Why a connection counts as refused.
fn refusal_reason(
    end: &ConnectionEnd,
    way: TransportState,
    spoken: HttpProtocol,
) -> Option<&'static str> {
    match end {
        _ if way == TransportState::Malformed => {
            Some("a line of the head ended in a bare line feed")
        }
        ConnectionEnd::TimedOut(ConnectionPhase::Head) => Some("the head took too long"),
        ConnectionEnd::TimedOut(ConnectionPhase::Blocked) => {
            Some("the client took no byte for too long")
        }
        ConnectionEnd::Served(Err(error)) if error.is_parse() => {
            Some("the head is not HTTP, or too large")
        }
        // In HTTP/2 it is none of ours that fails a connection.
        ConnectionEnd::Served(Err(_))
            if spoken == HttpProtocol::Http2 && way != TransportState::Closed =>
        {
            Some("it broke HTTP/2's rules")
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
