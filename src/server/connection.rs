//! One connection, from its first byte to its last.

use std::{sync::Arc, time::Duration};

use rustls::ServerConfig;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::OwnedSemaphorePermit,
    time::timeout,
};

use super::{
    Answers, Shared,
    activity::{Phase, Pulse, Way},
    client_stream::Stream,
    handshake::{Spoken, meet},
    http1, http2,
    watchdog::End,
};
use crate::telemetry::{Metrics, log::Remote};

/// After our last byte, what the client still sends is read for so long and so far: closing with
/// unread bytes resets the connection, and a reset may overtake the answer.
const LINGER_MAX: Duration = Duration::from_secs(1);
const LINGER_BYTES_MAX: usize = 64 * 1024;

/// Meets a client, and serves the requests of its connection, which has its place as long. With
/// `tls`, nothing is said in plain.
pub(super) async fn run(
    (_place, stream, remote): (OwnedSemaphorePermit, Stream, Remote),
    tls: Option<Arc<ServerConfig>>,
    shared: Shared,
    service: impl Answers,
) {
    let _open = Open::new(Arc::clone(&shared.metrics));
    let Some(met) = meet(stream, remote, tls, &shared).await else {
        return;
    };
    let pulse = Arc::new(Pulse::default());
    let end = if met.spoken == Spoken::Http2 {
        Box::pin(http2::serve(met.stream, remote, &shared, &pulse, service)).await
    } else {
        http1::serve(met.stream, remote, &shared, &pulse, service).await
    };
    let way = pulse.beat().way;
    if let Some(why) = reason(&end, way, met.spoken) {
        shared.metrics.connection_refused();
        tracing::debug!(%remote, why, "connection refused");
    }
    let stream = pulse.returned.lock().take();
    if let (Some(stream), false) = (stream, way == Way::Ended || matches!(end, End::Over)) {
        linger(stream).await;
    }
}

/// Why a connection counts as refused.
fn reason(end: &End, way: Way, spoken: Spoken) -> Option<&'static str> {
    match end {
        _ if way == Way::Refused => Some("a line of the head ended in a bare line feed"),
        End::Late(Phase::Head) => Some("the head took too long"),
        End::Late(Phase::Blocked) => Some("the client took no byte for too long"),
        End::Done(Err(error)) if error.is_parse() => Some("the head is not HTTP, or too large"),
        // In HTTP/2 it is none of ours that fails a connection.
        End::Done(Err(_)) if spoken == Spoken::Http2 && way != Way::Ended => {
            Some("it broke HTTP/2's rules")
        }
        End::Done(_) | End::Late(_) | End::Drained | End::Over => None,
    }
}

/// Ends with FIN, so that a client which has taken a part asks for the rest instead of giving up.
pub(super) async fn linger(mut stream: Stream) {
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
struct Open(Arc<Metrics>);

impl Open {
    fn new(metrics: Arc<Metrics>) -> Self {
        metrics.connected();
        Self(metrics)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.disconnected();
    }
}
