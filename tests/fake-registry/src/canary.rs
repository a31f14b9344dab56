//! A listener that must not be contacted.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::base64::base64;

/// Counts connections and records every byte; answers each request like a token service, so that a
/// client reveals everything that it would send.
#[derive(Debug)]
pub struct Canary {
    address: SocketAddr,
    heard: Arc<Mutex<Vec<Vec<u8>>>>,
    _tasks: JoinSet<()>,
}

impl Canary {
    /// On a free port of this loopback address; those beyond 127.0.0.1 are other hosts.
    pub async fn on(address: impl Into<IpAddr>) -> Self {
        let listener = TcpListener::bind((address.into(), 0))
            .await
            .expect("a loopback address");
        let address = listener
            .local_addr()
            .expect("a bound socket has an address");
        let heard = Arc::default();
        let mut tasks = JoinSet::new();
        tasks.spawn(listen(listener, Arc::clone(&heard)));
        Self {
            address,
            heard,
            _tasks: tasks,
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many connections there were.
    pub fn connections(&self) -> usize {
        self.heard.lock().len()
    }

    /// All bytes received so far, a text a connection.
    pub fn heard(&self) -> Vec<String> {
        let text = |bytes: &Vec<u8>| String::from_utf8_lossy(bytes).into_owned();
        self.heard.lock().iter().map(text).collect()
    }

    /// Whether this password was received, plainly or as this user's `Basic`.
    pub fn knows(&self, user: &str, password: &str) -> bool {
        let pair = base64(format!("{user}:{password}").as_bytes());
        let heard = self.heard();
        heard
            .iter()
            .any(|text| text.contains(password) || text.contains(&pair))
    }
}

async fn listen(listener: TcpListener, heard: Arc<Mutex<Vec<Vec<u8>>>>) {
    let mut connections = JoinSet::new();
    while let Ok((socket, _)) = listener.accept().await {
        let at = {
            let mut heard = heard.lock();
            heard.push(Vec::new());
            heard.len() - 1
        };
        connections.spawn(converse(socket, at, Arc::clone(&heard)));
    }
}

async fn converse(mut socket: TcpStream, at: usize, heard: Arc<Mutex<Vec<Vec<u8>>>>) {
    let mut chunk = Vec::with_capacity(4096);
    while matches!(socket.read_buf(&mut chunk).await, Ok(1..)) {
        let ends_request = {
            let mut heard = heard.lock();
            let said = heard.get_mut(at).expect("connections stay");
            assert!(said.len() < HEARD_BYTES_MAX, "too much said to a canary");
            said.append(&mut chunk);
            said.windows(4).any(|four| four == b"\r\n\r\n")
        };
        if ends_request && socket.write_all(ANSWER).await.is_err() {
            return;
        }
    }
}

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\
    content-length: 18\r\n\r\n{\"token\":\"canary\"}";
const HEARD_BYTES_MAX: usize = 16 * 1024 * 1024;
