//! The beginning of a TLS connection, before any HTTP.

use std::{io, sync::Arc, time::Duration};

use rustls::{InvalidMessage, ServerConfig};
use tokio::{select, time::sleep};
use tokio_rustls::TlsAcceptor;

use super::{
    ServerContext,
    client_stream::{ClientStream, lingering_close},
};
use crate::telemetry::log::Remote;

/// Longest time for a handshake, however patient the settings are with heads.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);

/// A connection whose client was met.
pub(super) struct NegotiatedStream {
    pub(super) stream: ClientStream,
    pub(super) protocol: HttpProtocol,
}

/// What client and server agreed to speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HttpProtocol {
    Http1,
    Http2,
}

/// Meets a client, in plain text without `tls`; nothing if it was not to be met.
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

/// Whoever fails must not keep us long, and learns why from an alert at most.
async fn tls_handshake(
    stream: ClientStream,
    remote: Remote,
    tls: Arc<ServerConfig>,
    shared: &ServerContext,
) -> Option<NegotiatedStream> {
    let patience = shared.settings.now().header_max.min(HANDSHAKE_MAX);
    let shaking = TlsAcceptor::from(tls).accept(stream).into_fallible();
    let shaken = select! {
        shaken = shaking => shaken,
        () = sleep(patience) => {
            count_refused(shared, remote, "the TLS handshake took too long");
            return None;
        }
        // No request has come, so none is cut.
        () = shared.stop.draining() => return None,
    };
    match shaken {
        Ok(tls) => Some(NegotiatedStream {
            protocol: match tls.get_ref().1.alpn_protocol() {
                Some(b"h2") => HttpProtocol::Http2,
                _ => HttpProtocol::Http1,
            },
            stream: ClientStream::Tls(Box::new(tls)),
        }),
        Err((error, stream)) => {
            // Everything else is a client that left.
            if error.kind() == io::ErrorKind::InvalidData {
                count_refused(shared, remote, &handshake_error(&error));
                lingering_close(stream).await;
            }
            None
        }
    }
}

/// The library's words, but for its riddle about who begins with `GET / HTTP/1.1`.
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
    fn whoever_does_not_speak_tls_is_told_of_in_plain_words() {
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
