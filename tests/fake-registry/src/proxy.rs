//! A forward proxy: `CONNECT` for https, whole URLs for http.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::base64::base64;

/// A proxy that records what it was asked.
#[derive(Debug)]
pub struct FakeProxy {
    address: SocketAddr,
    state: Arc<State>,
    _tasks: JoinSet<()>,
}

/// One request to a proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proxied {
    /// `CONNECT`, `GET`, …
    pub method: String,
    /// `HOST:PORT` to CONNECT, a whole URL otherwise.
    pub target: String,
    /// The head as it came.
    pub head: String,
    /// The proxy's own answer: 200 for a tunnel and for what was passed on, 407, 502.
    pub status: u16,
}

#[derive(Debug)]
struct State {
    /// `Basic …`, if it requires credentials.
    login: Option<String>,
    /// Names that only the proxy can resolve.
    names: Mutex<BTreeMap<String, SocketAddr>>,
    asked: Mutex<Vec<Proxied>>,
}

impl FakeProxy {
    /// A proxy without authentication on a free port of 127.0.0.1.
    pub async fn start() -> Self {
        Self::begin(None).await
    }

    /// A proxy that requires this password.
    pub async fn with_login(user: &str, password: &str) -> Self {
        let pair = base64(format!("{user}:{password}").as_bytes());
        Self::begin(Some(format!("Basic {pair}"))).await
    }

    /// Leads `HOST:PORT` there; addresses on loopback are found without.
    pub fn lead(&self, authority: &str, address: SocketAddr) {
        let mut names = self.state.names.lock();
        names.insert(authority.to_owned(), address);
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What it was asked so far, in order.
    pub fn asked(&self) -> Vec<Proxied> {
        self.state.asked.lock().clone()
    }

    async fn begin(login: Option<String>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .expect("a port to listen on");
        let address = listener
            .local_addr()
            .expect("a bound socket has an address");
        let state = Arc::new(State {
            login,
            names: Mutex::default(),
            asked: Mutex::default(),
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(listen(listener, Arc::clone(&state)));
        Self {
            address,
            state,
            _tasks: tasks,
        }
    }
}

impl State {
    fn admits(&self, head: &str) -> bool {
        let brought = header(head, "proxy-authorization");
        self.login
            .as_deref()
            .is_none_or(|login| brought == Some(login))
    }

    async fn connect(&self, authority: &str) -> Option<TcpStream> {
        let named = self.names.lock().get(authority).copied();
        let address: SocketAddr = named.or_else(|| authority.parse().ok())?;
        if !address.ip().is_loopback() {
            return None;
        }
        TcpStream::connect(address).await.ok()
    }
}

async fn listen(listener: TcpListener, state: Arc<State>) {
    let mut connections = JoinSet::new();
    while let Ok((socket, _)) = listener.accept().await {
        connections.spawn(serve(socket, Arc::clone(&state)));
    }
}

async fn serve(mut client: TcpStream, state: Arc<State>) {
    let Some((head, mut rest)) = read_head(&mut client).await else {
        return;
    };
    let asked = Question::parse(&head);
    let server = if state.admits(&head) {
        state.connect(&asked.authority).await.ok_or(502)
    } else {
        Err(407)
    };
    state.asked.lock().push(Proxied {
        method: asked.method.clone(),
        target: asked.target.clone(),
        status: server.as_ref().err().copied().unwrap_or(200),
        head: head.clone(),
    });
    let greeting = match &server {
        Err(407) => REFUSAL,
        Err(_) => UNREACHABLE,
        Ok(_) if asked.is_tunnel() => TUNNEL,
        Ok(_) => "",
    };
    let greeted = client.write_all(greeting.as_bytes()).await;
    let (Ok(()), Ok(mut server)) = (greeted, server) else {
        return;
    };
    if !asked.is_tunnel() {
        rest = [asked.passed_on(&head).as_bytes(), &rest].concat();
    }
    if server.write_all(&rest).await.is_ok() {
        // An error is one side that left.
        copy_bidirectional(&mut client, &mut server).await.ok();
    }
}

/// A request's first line.
struct Question {
    method: String,
    target: String,
    /// `HOST:PORT`.
    authority: String,
    path: String,
}

impl Question {
    fn parse(head: &str) -> Self {
        let mut words = head.split(' ');
        let method = words.next().unwrap_or_default().to_owned();
        let target = words.next().unwrap_or_default().to_owned();
        let url = target.strip_prefix("http://");
        let (host, path) = url.map_or((target.as_str(), ""), |rest| {
            rest.split_at(rest.find('/').unwrap_or(rest.len()))
        });
        let port = if host.contains(':') { "" } else { ":80" };
        Self {
            authority: format!("{host}{port}"),
            path: path.to_owned(),
            method,
            target,
        }
    }

    fn is_tunnel(&self) -> bool {
        self.method == "CONNECT"
    }

    /// The head for the server: a path, no words for the proxy, one request a connection.
    fn passed_on(&self, head: &str) -> String {
        let path = if self.path.is_empty() {
            "/"
        } else {
            &self.path
        };
        let lines = head.lines().skip(1).filter(|line| {
            let name = line.split(':').next().unwrap_or_default().to_lowercase();
            !name.is_empty() && !name.starts_with("proxy-") && name != "connection"
        });
        let lines: String = lines.flat_map(|line| [line, "\r\n"]).collect();
        format!(
            "{} {path} HTTP/1.1\r\n{lines}connection: close\r\n\r\n",
            self.method
        )
    }
}

/// The head, and what came behind it.
async fn read_head(client: &mut TcpStream) -> Option<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    loop {
        if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let rest = bytes.split_off(at + 4);
            return Some((String::from_utf8_lossy(&bytes).into_owned(), rest));
        }
        let read = client.read_buf(&mut bytes).await;
        if !matches!(read, Ok(1..)) || bytes.len() > HEAD_BYTES_MAX {
            return None;
        }
    }
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| {
        let (key, value) = line.split_once(": ")?;
        key.eq_ignore_ascii_case(name).then_some(value)
    })
}

const TUNNEL: &str = "HTTP/1.1 200 Connection established\r\n\r\n";
const REFUSAL: &str = "HTTP/1.1 407 Proxy Authentication Required\r\n\
    proxy-authenticate: Basic realm=\"fake proxy\"\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
const UNREACHABLE: &str =
    "HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
const HEAD_BYTES_MAX: usize = 64 * 1024;
