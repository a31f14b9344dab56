//! Tests from outside: a small service, raw sockets, short timeouts.

mod attacks;
mod deadlines;
mod endings;
mod heads;
mod multiplexed;
mod nodes;
mod secure;
mod sendfile;

use std::{collections::VecDeque, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Response, StatusCode, request::Parts};
use parking_lot::Mutex;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    sync::Semaphore,
    time::timeout,
};

use super::{
    BadRequest, ConnectionLimit, FailureResponses, ListenAddress, LiveSettings, LiveTls,
    RequestLimit, ServerContext, Settings, Stop, bind, stack,
};
use crate::{
    disk::{Disk, File, RealDisk},
    tasks::Tasks,
    telemetry::{Metrics, log::Remote},
    wire::{Body, BodyPart, FileProgress, SendfileQueue},
};

/// The deadline of all scenes; only a failing test reaches it.
const DEADLINE: Duration = Duration::from_secs(20);
/// A short timeout that a test waits for.
const SOON: Duration = Duration::from_millis(150);

pub(super) fn settings() -> Settings {
    Settings {
        connections_max: 100,
        requests_max: 100,
        header_bytes_max: 64 * 1024,
        header_max: Duration::from_secs(10),
        idle_max: Duration::from_mins(1),
        progress_max: Duration::from_secs(30),
        grace: Duration::ZERO,
        drain_max: Duration::from_secs(30),
    }
}

/// A server with one listener.
struct Scene {
    address: ListenAddress,
    stop: Stop,
    tasks: Tasks,
    metrics: Arc<Metrics>,
    state: Arc<TestServiceState>,
}

/// State of the test service.
struct TestServiceState {
    /// Ten digits.
    file: Arc<dyn File>,
    /// The sendfile queue of another connection.
    stray: Mutex<Option<SendfileQueue>>,
    /// How many of the digits `/growing` may read.
    progress: Mutex<Option<FileProgress>>,
    /// `/wait` answers once for each permit.
    gate: Semaphore,
    /// A permit for each `/wait` that has begun.
    waiting: Semaphore,
}

fn open(settings: Settings) -> Scene {
    open_behind(LiveTls::default(), settings)
}

fn open_behind(tls: LiveTls, settings: Settings) -> Scene {
    let address = ListenAddress::Tcp(SocketAddr::from(([127, 0, 0, 1], 0)));
    open_at(settings, &address, tls)
}

fn open_at(settings: Settings, address: &ListenAddress, tls: LiveTls) -> Scene {
    let metrics = Arc::new(Metrics::new().unwrap());
    let tasks = Tasks::new(Arc::clone(&metrics));
    let stop = Stop::new(settings.grace);
    let state = Arc::new(TestServiceState::new());
    let service_state = Arc::clone(&state);
    let answer = move |head| respond(Arc::clone(&service_state), head);
    let failures = FailureResponses {
        panicked: || plain(500, "panicked"),
        bad_request: |why| match why {
            BadRequest::Body => plain(400, "body"),
            BadRequest::Host => plain(400, "host"),
        },
        shed: || plain(503, "shed"),
    };
    let service = stack(
        answer,
        RequestLimit::new(settings.requests_max),
        failures,
        Arc::clone(&metrics),
    );
    let bound = bind(address).unwrap();
    let address = bound.address().clone();
    let shared = ServerContext {
        settings: LiveSettings::new(settings),
        connections: ConnectionLimit::new(settings.connections_max),
        stop: stop.clone(),
        tasks: tasks.clone(),
        metrics: Arc::clone(&metrics),
    };
    drop(tasks.spawn("listener", bound.serve(shared, tls, service)));
    Scene {
        address,
        stop,
        tasks,
        metrics,
        state,
    }
}

impl TestServiceState {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = RealDisk.create(&folder.path().join("digits")).unwrap();
        file.write_at(b"0123456789", 0).unwrap();
        Self {
            file,
            stray: Mutex::default(),
            progress: Mutex::new(Some(FileProgress::new())),
            gate: Semaphore::new(0),
            waiting: Semaphore::new(0),
        }
    }
}

async fn respond(state: Arc<TestServiceState>, head: Parts) -> Response<Body> {
    let file_part = |length| BodyPart::File {
        file: Arc::clone(&state.file),
        offset: 0,
        length,
    };
    match head.uri.path() {
        "/panic" => panic!("as asked"),
        "/remote" => {
            let remote = head.extensions.get::<Remote>().unwrap();
            Response::new(Body::bytes(Bytes::from(remote.to_string())))
        }
        "/file" => Response::new(Body::from_parts([file_part(10)].into())),
        "/large" => Response::new(sendfile::large()),
        "/strayed" => {
            let queue = state.stray.lock().clone();
            Response::new(sendfile::large().with_sendfile(queue))
        }
        "/huge" => {
            let chunk = Bytes::from(vec![0; 256 * 1024]);
            let parts: VecDeque<_> = std::iter::repeat_n(BodyPart::Bytes(chunk), 400).collect();
            Response::new(Body::from_parts(parts))
        }
        "/broken" => Response::new(Body::from_parts([file_part(20)].into())),
        "/huge-broken" => {
            let chunk = BodyPart::Bytes(Bytes::from(vec![b'-'; 256 * 1024]));
            let mut parts: VecDeque<_> = std::iter::repeat_n(chunk, 100).collect();
            parts.push_back(file_part(20));
            Response::new(Body::from_parts(parts))
        }
        "/growing" => {
            let file = Arc::clone(&state.file);
            let growing = BodyPart::Growing {
                file: state.progress.lock().as_ref().unwrap().reader(file),
                offset: 0,
                end: Some(10),
            };
            Response::new(Body::from_parts([growing].into()))
        }
        "/wait" => {
            state.waiting.add_permits(1);
            state.gate.acquire().await.unwrap().forget();
            plain(200, "waited")
        }
        _ => plain(200, "hello"),
    }
}

fn plain(status: u16, text: &'static str) -> Response<Body> {
    let mut answer = Response::new(Body::bytes(Bytes::from_static(text.as_bytes())));
    *answer.status_mut() = StatusCode::from_u16(status).unwrap();
    answer
}

impl Scene {
    async fn connect(&self) -> Client {
        let ListenAddress::Tcp(address) = self.address else {
            panic!("not a TCP scene");
        };
        Client(TcpStream::connect(address).await.unwrap())
    }

    /// Sends `bytes` and reads until the server ends the connection.
    async fn exchange(&self, bytes: impl AsRef<[u8]>) -> String {
        let mut client = self.connect().await;
        client.send(bytes).await;
        client.rest().await
    }

    /// The value of a metric without labels.
    fn metric(&self, name: &str) -> u64 {
        let text = self.metrics.render();
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap().trim().parse().unwrap()
    }

    fn refused(&self) -> u64 {
        self.metric("roadstead_connections_refused_total ")
    }

    /// Stops, and waits until every task has ended.
    async fn close(self) {
        self.stop.begin();
        assert!(self.tasks.wait(DEADLINE).await, "a task is left over");
        assert_eq!(self.metric("roadstead_connections "), 0);
    }
}

struct Client<S = TcpStream>(S);

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.write_all(bytes.as_ref()).await.unwrap();
    }

    /// Reads until the bytes read end with `end`.
    async fn until(&mut self, end: &str) -> String {
        let mut got = Vec::new();
        let reading = async {
            while !got.ends_with(end.as_bytes()) {
                got.push(self.0.read_u8().await.unwrap());
            }
        };
        let timely = timeout(DEADLINE, reading).await.is_ok();
        let got = String::from_utf8_lossy(&got).into_owned();
        assert!(timely, "{got:?} without {end:?}");
        got
    }

    /// Reads to the end, which must be orderly, and closes.
    async fn rest(mut self) -> String {
        let mut got = Vec::new();
        timeout(DEADLINE, self.0.read_to_end(&mut got))
            .await
            .expect("the connection stays open")
            .expect("the connection was reset");
        String::from_utf8_lossy(&got).into_owned()
    }
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: mirror\r\n\r\n")
}

fn get_last(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: mirror\r\nConnection: close\r\n\r\n")
}
