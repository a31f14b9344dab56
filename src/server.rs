//! The HTTP server: listeners, connections, deadlines, draining.
//!
//! Promises: a client that drips, stalls or floods costs a bounded amount and is cut off; a stop
//! lets running responses finish. Called by `app`. Knows nothing of OCI, and picks no status: the
//! responses to its own failures are passed in. The one exception is hyper's own response to a head
//! that it cannot parse: 400, 414 or 431.

mod connection;
mod drain;
mod handshake;
mod http1;
mod http2;
mod listen;
mod socket_file;
mod stack;
mod tls;

mod activity;
mod client_stream;
mod context;
mod frame_scanner;
mod head_scanner;
mod http1_body;
mod http2_body;
mod http2_streams;
mod limits;
mod live_settings;
mod observed_stream;
mod response;
#[cfg(test)]
mod scenes;
mod watchdog;

use std::{fmt, net::SocketAddr, path::PathBuf, time::Duration};

pub use context::ServerContext;
pub use drain::{Hangups, Signals, Stop};
pub use limits::{ConnectionLimit, RequestLimit};
pub use listen::{BoundListener, bind};
pub use live_settings::LiveSettings;
pub use stack::{BadRequest, FailureResponses, HttpService, stack};
pub use tls::{ListenerTls, LiveTls};

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenAddress {
    /// `HOST:PORT`; port 0 lets the system choose.
    Tcp(SocketAddr),
    /// `unix:PATH`; created with mode 0600 and removed at the end.
    Unix(PathBuf),
}

/// The configured limits and timeouts of serving.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Most connections at once over all listeners; further ones wait in the kernel's queue. In
    /// HTTP/2 each concurrent response after the first counts as one more, and is shed if half of
    /// all are taken.
    pub connections_max: usize,
    /// Most requests at once over all listeners of the mirror that wait for their response's head;
    /// further ones are shed.
    pub requests_max: usize,
    /// Most bytes of one request's head; at least 8 KiB are allowed.
    pub header_bytes_max: usize,
    /// Longest time from a head's first byte to its last.
    pub header_max: Duration,
    /// Longest silence between two requests on one connection, and before the first.
    pub idle_max: Duration,
    /// Longest time a client may take no byte of a response.
    pub progress_max: Duration,
    /// How long after a stop new connections are still accepted, so that load balancers can leave
    /// first. One second suits probes; zero suits interactive use.
    pub grace: Duration,
    /// Longest time running responses get after a stop's grace.
    pub drain_max: Duration,
}

impl Settings {
    /// [`Settings::header_bytes_max`], but no less than hyper accepts.
    fn head_bytes_max(&self) -> usize {
        self.header_bytes_max.max(8 * 1024)
    }
}

impl ListenAddress {
    /// Whether binding both fails, or only the one bound last would be reached.
    pub fn collides_with(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Unix(own), Self::Unix(other)) => own == other,
            (Self::Tcp(own), Self::Tcp(other)) => {
                let everywhere = own.ip().is_unspecified() || other.ip().is_unspecified();
                own.port() == other.port()
                    && own.port() != 0
                    && (everywhere || own.ip() == other.ip())
            }
            _ => false,
        }
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(formatter),
            Self::Unix(path) => write!(formatter, "unix:{}", path.display()),
        }
    }
}
