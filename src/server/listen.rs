//! Listeners: binding, and the loop that accepts.

use std::{io, net::SocketAddr, pin::pin, sync::Arc};

use tokio::{
    net::{TcpListener, TcpSocket, UnixListener},
    select,
    sync::OwnedSemaphorePermit,
    time::{Duration, sleep},
};

use super::{
    HttpService, ListenAddress, LiveTls, ServerContext,
    client_stream::ClientStream,
    connection,
    limits::ConnectionLimit,
    socket_file::{self, SocketFile},
};
use crate::telemetry::log::Remote;

/// Connections that the kernel keeps for us while we do not accept; it takes less if it must.
const BACKLOG_MAX: u32 = 4096;
/// First and longest pause after an error of accepting, such as no file descriptor left.
const PAUSE_MIN: Duration = Duration::from_millis(10);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// A listener that has its address, but does not accept yet.
#[derive(Debug)]
pub struct BoundListener {
    address: ListenAddress,
    listener: ListenerSocket,
}

#[derive(Debug)]
enum ListenerSocket {
    Tcp(TcpListener),
    Unix(UnixListener, SocketFile),
}

/// Takes an address; must be called within a runtime.
///
/// # Errors
/// If the address is taken or not ours to take.
pub fn bind(address: &ListenAddress) -> io::Result<BoundListener> {
    let (address, listener) = match address {
        ListenAddress::Tcp(address) => {
            let listener = listen(*address)?;
            (
                ListenAddress::Tcp(listener.local_addr()?),
                ListenerSocket::Tcp(listener),
            )
        }
        ListenAddress::Unix(path) => {
            let (listener, file) = socket_file::listen(path)?;
            (
                ListenAddress::Unix(path.clone()),
                ListenerSocket::Unix(listener, file),
            )
        }
    };
    Ok(BoundListener { address, listener })
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    // A restart must not wait for old connections to be forgotten.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG_MAX)
}

impl BoundListener {
    /// Where it listens, with the port that the system chose.
    pub fn address(&self) -> &ListenAddress {
        &self.address
    }

    /// Accepts until the stop's grace is over. Connections then still run in `shared.tasks`, which
    /// the caller waits for. `door` says how each new one is met.
    pub async fn serve(self, shared: ServerContext, door: LiveTls, service: impl HttpService) {
        let mut draining = pin!(shared.stop.draining());
        let tasks = shared.tasks.clone();
        let mut pause = PAUSE_MIN;
        loop {
            let accepted = select! {
                biased;
                () = &mut draining => return,
                accepted = self.accept(&shared.connections) => accepted,
            };
            match accepted {
                Ok(accepted) => {
                    pause = PAUSE_MIN;
                    let (shared, service) = (shared.clone(), service.clone());
                    let run = connection::run(accepted, door.current(), shared, service);
                    drop(tasks.spawn("connection", run));
                }
                Err(error) if is_client_gone(&error) => {}
                Err(error) => {
                    tracing::warn!(listener = %self.address, %error, "cannot accept; will try again");
                    select! {
                        () = &mut draining => return,
                        () = sleep(pause) => pause = (pause * 2).min(PAUSE_MAX),
                    }
                }
            }
        }
    }

    /// Then waits for a place: at the limit, all clients but one a listener queue in the kernel. The
    /// other way round each idle listener would hold a place that nobody uses.
    async fn accept(
        &self,
        places: &ConnectionLimit,
    ) -> io::Result<(OwnedSemaphorePermit, ClientStream, Remote)> {
        let (stream, remote) = match &self.listener {
            ListenerSocket::Tcp(listener) => {
                let (stream, remote) = listener.accept().await?;
                // An answer's end must not wait for the client's acknowledgement of its start.
                stream.set_nodelay(true)?;
                (ClientStream::Tcp(stream), Remote::Tcp(remote))
            }
            ListenerSocket::Unix(listener, _file) => {
                let (stream, _nameless) = listener.accept().await?;
                (ClientStream::Unix(stream), Remote::Unix)
            }
        };
        let place = Arc::clone(&places.permits).acquire_owned().await;
        let place = place.map_err(|_never_closed| io::ErrorKind::Interrupted)?;
        Ok((place, stream, remote))
    }
}

/// Whether an error belongs to a client that was gone before it was accepted, not to us.
fn is_client_gone(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
            | io::ErrorKind::InvalidInput
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_trouble_makes_us_pause() {
        let own = |kind: io::ErrorKind| !is_client_gone(&kind.into());
        assert!(!own(io::ErrorKind::ConnectionAborted));
        assert!(own(io::ErrorKind::OutOfMemory));
        let no_descriptor = io::Error::from_raw_os_error(24);
        assert!(!is_client_gone(&no_descriptor));
    }
}
