//! One connection, from its first byte to its last.

use std::{
    convert::Infallible,
    error::Error,
    future::{Future, poll_fn},
    pin::pin,
    sync::Arc,
    task::Poll,
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};
use tower::{Service, ServiceExt};

use super::{
    Settings, Shared,
    answer::{Answering, Watched},
    deadline::{Phase, Pulse, Way},
    line::Line,
    stream::Stream,
    watch::{End, Watch},
};
use crate::telemetry::{Metrics, log::Remote};

/// The least that the HTTP library accepts as the limit of a head.
const HEADER_BYTES_MIN: usize = 8 * 1024;
/// After our last byte, what the client still sends is read for so long and so far: closing with
/// unread bytes resets the connection, and a reset may overtake the answer.
const LINGER_MAX: Duration = Duration::from_secs(1);
const LINGER_BYTES_MAX: usize = 64 * 1024;

/// Serves the requests of one connection.
pub(super) async fn run<S, B>(stream: Stream, remote: Remote, shared: Shared, service: S)
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
    S: Clone + Send + 'static,
    S::Future: Send,
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>> + Send + Unpin,
{
    let _open = Open::new(Arc::clone(&shared.metrics));
    let pulse = Arc::new(Pulse::default());
    let io = TokioIo::new(Line::new(stream, Arc::clone(&pulse)));
    let answering = Arc::clone(&pulse);
    let entry = service_fn(move |mut request: Request<Incoming>| {
        let answering = Answering::new(Arc::clone(&answering));
        request.extensions_mut().insert(remote);
        let answer = service.clone().oneshot(request);
        async move {
            let answer = answer.await?;
            Ok::<_, Infallible>(answer.map(|body| Watched::new(body, answering)))
        }
    });
    let end = {
        let mut served = pin!(http(&shared.settings).serve_connection(io, entry));
        let mut watch = Watch::new(&shared, Arc::clone(&pulse));
        poll_fn(|context| {
            if watch.drain_begins(context) {
                served.as_mut().graceful_shutdown();
            }
            if let Poll::Ready(result) = served.as_mut().poll(context) {
                return Poll::Ready(End::Done(result));
            }
            watch.poll_late(context)
        })
        .await
    };
    finish(&end, &pulse, &shared.metrics).await;
}

/// The HTTP library's settings. Its own deadline would count an idle connection's silence as part
/// of the next head; `deadline` keeps the two apart.
fn http(settings: &Settings) -> http1::Builder {
    let header_bytes_max = settings.header_bytes_max.max(HEADER_BYTES_MIN);
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(None)
        .max_header_size(header_bytes_max)
        // Bounds what a client can send ahead; a buffer alone would overshoot a head's limit.
        .max_buf_size(header_bytes_max);
    http
}

async fn finish(end: &End, pulse: &Pulse, metrics: &Metrics) {
    let way = pulse.beat().way;
    let why = match end {
        _ if way == Way::Refused => Some("a line of the head ended in a bare line feed"),
        End::Late(Phase::Head) => Some("the head took too long"),
        End::Late(Phase::Blocked) => Some("the client took no byte for too long"),
        End::Done(Err(error)) if error.is_parse() => Some("the head is not HTTP, or too large"),
        End::Done(_) | End::Late(_) | End::Drained | End::Over => None,
    };
    if let Some(why) = why {
        metrics.connection_refused();
        tracing::debug!(why, "connection refused");
    }
    let stream = pulse.returned.lock().take();
    if let (Some(stream), false) = (stream, way == Way::Ended || matches!(end, End::Over)) {
        linger(stream).await;
    }
}

/// Ends with FIN, so that a client which has taken a part asks for the rest instead of giving up.
async fn linger(mut stream: Stream) {
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
