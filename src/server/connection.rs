//! One connection, from its first byte to its last.

use std::{sync::Arc, time::Duration};

use rustls::ServerConfig;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::OwnedSemaphorePermit,
    time::timeout,
};

use super::{
    HttpService, ServerContext,
    activity::{Activity, ConnectionPhase, TransportState},
    client_stream::ClientStream,
    handshake::{HttpProtocol, negotiate},
    http1, http2,
    watchdog::ConnectionEnd,
};
use crate::telemetry::{Metrics, log::Remote};

/// After our last byte, what the client still sends is read for so long and so far: closing with
/// unread bytes resets the connection, and a reset may overtake the answer.
const LINGER_MAX: Duration = Duration::from_secs(1);
const LINGER_BYTES_MAX: usize = 64 * 1024;

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

/// Ends with FIN, so that a client which has taken a part asks for the rest instead of giving up.
pub(super) async fn lingering_close(mut stream: ClientStream) {
    let reading = async {
        if stream.shutdown().await.is_err() {
            return;
        }
        let mut unwanted = vec![0; 4096];
        let mut left = LINGER_BYTES_MAX;
        while let Ok(read @ 1..) = stream.read(&mut unwanted).await {
            left = left.saturating_sub(read);
            if left == 0 {
                return;
            }
        }
    };
    // Late or not, the connection is over.
    let _late = timeout(LINGER_MAX, reading).await.is_err();
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
