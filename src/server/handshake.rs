//! The TLS handshake, before any HTTP.

use std::{io, sync::Arc, time::Duration};

use rustls::{InvalidMessage, ServerConfig};
use tokio::{select, time::sleep};
use tokio_rustls::TlsAcceptor;

use super::{
    ServerContext,
    client_stream::{ClientStream, lingering_close},
};
use crate::telemetry::log::Remote;

/// Longest time for a handshake, however long the configured time for a head is.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);

/// A connection after its handshake.
pub(super) struct NegotiatedStream {
    pub(super) stream: ClientStream,
    pub(super) protocol: HttpProtocol,
}

/// The protocol agreed on by ALPN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HttpProtocol {
    Http1,
    Http2,
}

/// Performs the handshake, or none without `tls`; `None` if it failed.
pub(super) async fn negotiate(
    stream: ClientStream,
    remote: Remote,
    tls: Option<Arc<ServerConfig>>,
    shared: &ServerContext,
) -> Option<NegotiatedStream> {
    match tls {
        None => Some(NegotiatedStream {
            stream,
            protocol: HttpProtocol::Http1,
        }),
        Some(tls) => Box::pin(tls_handshake(stream, remote, tls, shared)).await,
    }
}

/// Bounds the time of a handshake; the client learns the cause from a TLS alert only.
async fn tls_handshake(
    stream: ClientStream,
    remote: Remote,
    tls: Arc<ServerConfig>,
    shared: &ServerContext,
) -> Option<NegotiatedStream> {
    let timeout = shared.settings.now().header_max.min(HANDSHAKE_MAX);
    let accepting = TlsAcceptor::from(tls).accept(stream).into_fallible();
    let accepted = select! {
        accepted = accepting => accepted,
        () = sleep(timeout) => {
            count_refused(shared, remote, "the TLS handshake took too long");
            return None;
        }
        // No request has arrived, so none is cut off.
        () = shared.stop.draining() => return None,
    };
    match accepted {
        Ok(tls) => Some(NegotiatedStream {
            protocol: match tls.get_ref().1.alpn_protocol() {
                Some(b"h2") => HttpProtocol::Http2,
                _ => HttpProtocol::Http1,
            },
            stream: ClientStream::Tls(Box::new(tls)),
        }),
        Err((error, stream)) => {
            // Any other error means that the client left.
            if error.kind() == io::ErrorKind::InvalidData {
                count_refused(shared, remote, &handshake_error(&error));
                lingering_close(stream).await;
            }
            None
        }
    }
}

/// The text of rustls, but for its unclear error for plain HTTP.
fn handshake_error(error: &io::Error) -> String {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
    match inner {
        Some(rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType)) => {
            "the client does not speak TLS; perhaps it was given an http:// address".to_owned()
        }
        _ => error.to_string(),
    }
}

fn count_refused(shared: &ServerContext, remote: Remote, why: &str) {
    shared.metrics.connection_refused();
    tracing::debug!(%remote, why, "connection refused");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_gets_an_error_in_plain_words() {
        let error = |error: rustls::Error| io::Error::new(io::ErrorKind::InvalidData, error);
        let plain = InvalidMessage::InvalidContentType.into();
        assert!(handshake_error(&error(plain)).starts_with("the client does not speak TLS"));
        let nameless = rustls::Error::NoCertificatesPresented;
        assert_eq!(
            handshake_error(&error(nameless)),
            "peer sent no certificates"
        );
    }
}
