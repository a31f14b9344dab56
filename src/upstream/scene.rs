//! The stage for this room's tests: a server that says word for word what its script says, and
//! remembers what it was asked.

use std::{collections::BTreeMap, net::SocketAddr, path::Path, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, UnixListener},
    time::Instant,
};

use super::{EndpointAddress, RequestContext, Settings, Upstream, UpstreamDefaults};
use crate::{
    oci::{Digest, Instance, Via},
    telemetry::Metrics,
};

pub(super) const NAME: &str = "library/x";
/// What its questions say of where they have been.
pub(super) const VIA: &str = "1.1 roadstead-00000000000000ff";

/// A server on loopback.
#[derive(Clone)]
pub(super) struct Scene {
    pub(super) address: SocketAddr,
    script: Arc<Mutex<Script>>,
}

#[derive(Default)]
struct Script {
    /// Answers by `METHOD PATH?QUERY`, given in order; the last one stays.
    answers: BTreeMap<String, Vec<Vec<u8>>>,
    /// All requests, heads and bodies.
    asked: Vec<String>,
}

impl Scene {
    pub(super) async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let scene = Self {
            address: listener.local_addr().unwrap(),
            script: Arc::default(),
        };
        let play = scene.clone();
        spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                spawn(play.clone().serve(stream));
            }
        });
        scene
    }

    /// The same server on a socket, too.
    pub(super) fn listen(&self, path: &Path) {
        let listener = UnixListener::bind(path).unwrap();
        let play = self.clone();
        spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                spawn(play.clone().serve(stream));
            }
        });
    }

    /// What is answered: status line and header lines, then the body. A body gets its length
    /// unless the head says something else; an empty head hangs up, `hang` says nothing.
    pub(super) fn on(&self, request: &str, head: &str, body: &[u8]) -> &Self {
        let length = match head {
            "" | "hang" => String::new(),
            head if head.contains("length") || head.contains("chunked") => "\r\n\r\n".into(),
            _ => format!("\r\ncontent-length: {}\r\n\r\n", body.len()),
        };
        let head = head.replace('\n', "\r\n");
        let answer = [head.as_bytes(), length.as_bytes(), body].concat();
        let mut script = self.script.lock();
        script
            .answers
            .entry(request.into())
            .or_default()
            .push(answer);
        drop(script);
        self
    }

    pub(super) fn asked(&self) -> Vec<String> {
        self.script.lock().asked.clone()
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(super) fn endpoint(&self) -> EndpointAddress {
        EndpointAddress::Url(self.url(""))
    }

    async fn serve<S: AsyncRead + AsyncWrite + Unpin>(self, mut stream: S) {
        let mut head = Vec::new();
        while let Ok(byte) = stream.read_u8().await {
            head.push(byte);
            if !head.ends_with(b"\r\n\r\n") {
                continue;
            }
            let mut text = String::from_utf8(std::mem::take(&mut head)).unwrap();
            let length = text.split_once("content-length: ");
            if let Some((_, rest)) = length {
                let length = rest.split("\r\n").next().unwrap().parse().unwrap();
                let mut body = vec![0; length];
                stream.read_exact(&mut body).await.unwrap();
                text += std::str::from_utf8(&body).unwrap();
            }
            let line = text.split(" HTTP/").next().unwrap().to_owned();
            let missing = b"HTTP/1.1 404 N\r\ncontent-length: 0\r\n\r\n".to_vec();
            let answer = {
                let mut script = self.script.lock();
                script.asked.push(text);
                match script.answers.get_mut(&line) {
                    Some(answers) if answers.len() > 1 => answers.remove(0),
                    Some(answers) => answers[0].clone(),
                    None => missing,
                }
            };
            match answer.as_slice() {
                b"" => return,
                b"hang" => std::future::pending().await,
                answer => stream.write_all(answer).await.unwrap(),
            }
            if answer.windows(5).any(|word| word == b"close") {
                return;
            }
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a test's server is not ours to wait for"
)]
fn spawn(work: impl Future<Output = ()> + Send + 'static) {
    drop(tokio::spawn(work));
}

/// An upstream with these endpoints; `change` has the last word on its settings.
pub(super) fn upstream(
    endpoints: Vec<EndpointAddress>,
    change: impl FnOnce(&mut Settings),
) -> Upstream {
    let mut settings = UpstreamDefaults::default().for_host(&"test".parse().unwrap());
    settings.endpoints = endpoints;
    change(&mut settings);
    Upstream::new(settings, Arc::new(Metrics::new().unwrap())).unwrap()
}

/// Asks about [`NAME`] with ten seconds of patience.
pub(super) async fn with<T>(question: impl AsyncFnOnce(RequestContext<'_>) -> T) -> T {
    within(Duration::from_secs(10), question).await
}

pub(super) async fn within<T>(
    time: Duration,
    question: impl AsyncFnOnce(RequestContext<'_>) -> T,
) -> T {
    let (name, registry) = (NAME.parse().unwrap(), "docker.io".parse().unwrap());
    let deadline = Instant::now() + time;
    question(RequestContext {
        name: &name,
        registry: &registry,
        via: &Via::own(Instance::new(0xff)),
        deadline,
    })
    .await
}

pub(super) fn digest(bytes: &[u8]) -> Digest {
    Digest::of(crate::oci::Algorithm::Sha256, bytes)
}
