//! Listeners: binding, and the accept loop.

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

/// Connections that the kernel queues until they are accepted; its own limit may be lower.
const BACKLOG_MAX: u32 = 4096;
/// First and longest pause after a failed accept, such as for lack of file descriptors.
const PAUSE_MIN: Duration = Duration::from_millis(10);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// A listener that is bound to its address and does not accept yet.
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

/// Binds an address; must be called within a runtime.
///
/// # Errors
/// If the address is in use or may not be bound.
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
    // A restart must not wait for old connections to leave TIME_WAIT.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG_MAX)
}

impl BoundListener {
    /// The bound address, with the port that the system chose.
    pub fn address(&self) -> &ListenAddress {
        &self.address
    }

    /// Accepts until the stop's grace is over. Connections then still run in `shared.tasks`, which
    /// the caller waits for. `tls` is read for each new one.
    pub async fn serve(self, shared: ServerContext, tls: LiveTls, service: impl HttpService) {
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
                    let run = connection::run(accepted, tls.current(), shared, service);
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

    /// Accepts first, then waits for a permit: at the limit, all clients but one a listener queue in
    /// the kernel. Otherwise each idle listener would hold an unused permit.
    async fn accept(
        &self,
        limit: &ConnectionLimit,
    ) -> io::Result<(OwnedSemaphorePermit, ClientStream, Remote)> {
        let (stream, remote) = match &self.listener {
            ListenerSocket::Tcp(listener) => {
                let (stream, remote) = listener.accept().await?;
                // A response's end must not wait for the client's acknowledgement of its start.
                stream.set_nodelay(true)?;
                (ClientStream::Tcp(stream), Remote::Tcp(remote))
            }
            ListenerSocket::Unix(listener, _file) => {
                let (stream, _unnamed) = listener.accept().await?;
                (ClientStream::Unix(stream), Remote::Unix)
            }
        };
        let permit = Arc::clone(&limit.permits).acquire_owned().await;
        let permit = permit.map_err(|_never_closed| io::ErrorKind::Interrupted)?;
        Ok((permit, stream, remote))
    }
}

/// Whether accepting failed only because the client had left before.
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
    fn only_local_errors_cause_a_pause() {
        let own = |kind: io::ErrorKind| !is_client_gone(&kind.into());
        assert!(!own(io::ErrorKind::ConnectionAborted));
        assert!(own(io::ErrorKind::OutOfMemory));
        let no_descriptor = io::Error::from_raw_os_error(24);
        assert!(!is_client_gone(&no_descriptor));
    }
}
