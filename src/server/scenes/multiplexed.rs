//! HTTP/2: the rules, timeouts and endings of HTTP/1.1, with concurrent requests.

use h2::{
    Ping, PingPong,
    client::{ResponseFuture, SendRequest},
};
use http::{HeaderMap, Method, Request, header::CONNECTION};
use tokio::task::JoinHandle;

use super::{
    nodes::{Authority, HTTP2},
    *,
};

/// One connection, driven by a task of its own.
pub(super) struct Mux {
    requests: SendRequest<Bytes>,
    pings: PingPong,
    driven: JoinHandle<Option<Result<(), h2::Error>>>,
    /// Ends its tasks when it is dropped.
    tasks: Tasks,
}

/// A whole response.
#[derive(Debug)]
pub(super) struct Got {
    status: u16,
    headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

pub(super) fn open_mux(settings: Settings) -> (Scene, Authority) {
    let authority = Authority::new();
    let tls = LiveTls::new(Some(&authority.tls(None)));
    (open_behind(tls, settings), authority)
}

fn request(method: &Method, path: &str) -> Request<()> {
    let uri = format!("https://mirror{path}");
    Request::builder().method(method).uri(uri).body(()).unwrap()
}

impl Mux {
    pub(super) async fn open(scene: &Scene, authority: &Authority) -> Self {
        let stream = scene
            .connect_tls(&authority.node(HTTP2, None))
            .await
            .unwrap();
        // Wide enough that one stalled response does not block others.
        let mut client = h2::client::Builder::new();
        client.initial_connection_window_size(1024 * 1024);
        let (requests, mut connection) = client.handshake(stream).await.unwrap();
        let pings = connection.ping_pong().unwrap();
        let tasks = Tasks::new(Arc::new(Metrics::new().unwrap()));
        let driven = tasks.spawn("client", connection);
        Self {
            requests,
            pings,
            driven,
            tasks,
        }
    }

    fn send(&mut self, request: Request<()>) -> ResponseFuture {
        self.requests.send_request(request, true).unwrap().0
    }

    fn begin(&mut self, path: &str) -> ResponseFuture {
        self.send(request(&Method::GET, path))
    }

    pub(super) async fn get(&mut self, path: &str) -> Result<Got, h2::Error> {
        let sent = self
            .requests
            .send_request(request(&Method::GET, path), true);
        whole(sent?.0).await
    }

    /// The status of a request with a header of so many bytes.
    pub(super) async fn get_with(&mut self, header_bytes: usize) -> u16 {
        let mut request = request(&Method::GET, "/");
        let value = "x".repeat(header_bytes).parse().unwrap();
        request.headers_mut().insert("x", value);
        whole(self.send(request)).await.unwrap().status
    }

    /// Waits until the server has ended the connection.
    async fn ended(self) -> Result<(), h2::Error> {
        let ended = timeout(DEADLINE, self.driven).await;
        drop((self.requests, self.pings, self.tasks));
        ended.expect("the connection stays open").unwrap().unwrap()
    }
}

async fn whole(answer: ResponseFuture) -> Result<Got, h2::Error> {
    let (head, mut body) = timeout(DEADLINE, answer).await.unwrap()?.into_parts();
    let mut got = Vec::new();
    while let Some(bytes) = timeout(DEADLINE, body.data()).await.unwrap() {
        let bytes = bytes?;
        body.flow_control().release_capacity(bytes.len())?;
        got.extend_from_slice(&bytes);
    }
    Ok(Got {
        status: head.status.as_u16(),
        headers: head.headers,
        body: got,
    })
}

#[tokio::test]
async fn all_kinds_of_bodies_arrive() {
    let (scene, authority) = open_mux(settings());
    let mut mux = Mux::open(&scene, &authority).await;
    let got = mux.get("/file").await.unwrap();
    assert_eq!((got.status, got.body.as_slice()), (200, &b"0123456789"[..]));
    assert_eq!(got.headers["content-length"], "10");
    let huge = mux.get("/huge").await.unwrap();
    assert_eq!(huge.body.len(), 400 * 256 * 1024);
    let growing = mux.begin("/growing");
    scene.state.progress.lock().as_ref().unwrap().advance(4);
    let mut growing = timeout(DEADLINE, growing)
        .await
        .unwrap()
        .unwrap()
        .into_body();
    assert_eq!(growing.data().await.unwrap().unwrap(), "0123");
    scene.state.progress.lock().as_ref().unwrap().finish(10);
    assert_eq!(growing.data().await.unwrap().unwrap(), "456789");
    assert!(growing.data().await.is_none());
    // A client can tell a broken body from a whole one.
    assert!(mux.get("/broken").await.unwrap_err().is_reset());
    let head = whole(mux.send(request(&Method::HEAD, "/"))).await.unwrap();
    assert_eq!(
        (head.body.len(), &head.headers["content-length"]),
        (0, &"5".parse().unwrap())
    );
    let remote = mux.get("/remote").await.unwrap();
    assert!(remote.body.starts_with(b"127.0.0.1:"));
    drop(mux);
    scene.close().await;
}

#[tokio::test]
async fn a_hundred_requests_at_once() {
    let (scene, authority) = open_mux(Settings {
        connections_max: 200,
        ..settings()
    });
    let mut mux = Mux::open(&scene, &authority).await;
    let waiting: Vec<_> = (0..100).map(|_| mux.begin("/wait")).collect();
    let all = scene.state.waiting.acquire_many(100);
    timeout(DEADLINE, all).await.unwrap().unwrap().forget();
    scene.state.gate.add_permits(100);
    for answer in waiting {
        assert_eq!(whole(answer).await.unwrap().body, b"waited");
    }
    assert_eq!(scene.metric("roadstead_connections "), 1);
    drop(mux);
    scene.close().await;
}

#[tokio::test]
async fn each_further_request_at_once_takes_the_place_of_a_connection() {
    let (scene, authority) = open_mux(Settings {
        connections_max: 4,
        ..settings()
    });
    let mut mux = Mux::open(&scene, &authority).await;
    let (one, two) = (mux.begin("/wait"), mux.begin("/wait"));
    let both = scene.state.waiting.acquire_many(2);
    timeout(DEADLINE, both).await.unwrap().unwrap().forget();
    assert_eq!(mux.get("/").await.unwrap().body, b"shed");
    let mut other = Mux::open(&scene, &authority).await;
    assert_eq!(other.get("/").await.unwrap().body, b"hello");
    drop(other);
    scene.state.gate.add_permits(2);
    for answer in [one, two] {
        assert_eq!(whole(answer).await.unwrap().body, b"waited");
    }
    assert_eq!(mux.get("/").await.unwrap().body, b"hello");
    drop(mux);
    scene.close().await;
}

#[tokio::test]
async fn bad_requests_are_answered_and_the_connection_lives_on() {
    let (scene, authority) = open_mux(settings());
    let mut mux = Mux::open(&scene, &authority).await;
    let mut two_hosts = request(&Method::GET, "/");
    let other = "other".parse().unwrap();
    two_hosts.headers_mut().insert("host", other);
    let mut one_host = request(&Method::GET, "/");
    let same = "mirror".parse().unwrap();
    one_host.headers_mut().insert("host", same);
    for (request, status, body) in [
        (two_hosts, 400, "host"),
        (one_host, 200, "hello"),
        (request(&Method::GET, "/panic"), 500, "panicked"),
        (request(&Method::PUT, "/"), 200, "hello"),
    ] {
        let got = whole(mux.send(request)).await.unwrap();
        assert_eq!((got.status, got.body.as_slice()), (status, body.as_bytes()));
        assert!(!got.headers.contains_key(CONNECTION));
    }
    for (method, status, body) in [(Method::GET, 400, "body"), (Method::PUT, 200, "hello")] {
        let sent = mux.requests.send_request(request(&method, "/"), false);
        let (answer, mut sending) = sent.unwrap();
        sending
            .send_data(Bytes::from(vec![0; 30_000]), true)
            .unwrap();
        let got = whole(answer).await.unwrap();
        assert_eq!((got.status, got.body.as_slice()), (status, body.as_bytes()));
        assert!(!got.headers.contains_key(CONNECTION));
    }
    // A request whose body does not end gets its response all the same.
    let sent = mux.requests.send_request(request(&Method::GET, "/"), false);
    assert_eq!(whole(sent.unwrap().0).await.unwrap().body, b"body");
    assert_eq!(mux.get("/").await.unwrap().body, b"hello");
    assert_eq!(scene.refused(), 0);
    drop(mux);
    scene.close().await;
}

#[tokio::test]
async fn a_silent_connection_ends_quietly_whether_or_not_it_pings() {
    let (scene, authority) = open_mux(Settings {
        idle_max: SOON,
        ..settings()
    });
    let silent = Mux::open(&scene, &authority).await;
    drop(silent.ended().await);
    let mut used = Mux::open(&scene, &authority).await;
    assert_eq!(used.get("/").await.unwrap().body, b"hello");
    let pinging = async { while used.pings.ping(Ping::opaque()).await.is_ok() {} };
    timeout(DEADLINE, pinging).await.unwrap();
    assert_eq!(scene.refused(), 0);
    scene.close().await;
}

#[tokio::test]
async fn a_client_that_gives_no_window_is_cut() {
    let (scene, authority) = open_mux(Settings {
        progress_max: SOON,
        ..settings()
    });
    let mut mux = Mux::open(&scene, &authority).await;
    let mut stalled = Vec::new();
    for _ in 0..3 {
        stalled.push(
            timeout(DEADLINE, mux.begin("/huge"))
                .await
                .unwrap()
                .unwrap(),
        );
    }
    let pinging = async { while mux.pings.ping(Ping::opaque()).await.is_ok() {} };
    timeout(DEADLINE, pinging).await.unwrap();
    assert_eq!(scene.refused(), 1);
    scene.close().await;
}

#[tokio::test]
async fn waiting_for_us_is_never_the_clients_fault() {
    let (scene, authority) = open_mux(Settings {
        idle_max: SOON,
        progress_max: SOON,
        ..settings()
    });
    let mut mux = Mux::open(&scene, &authority).await;
    // One response waits for the client, the other for the handler.
    let stalled = timeout(DEADLINE, mux.begin("/huge"))
        .await
        .unwrap()
        .unwrap();
    let waiting = mux.begin("/wait");
    scene.state.waiting.acquire().await.unwrap().forget();
    let other = Mux::open(&scene, &authority).await;
    drop(other.ended().await);
    scene.state.gate.add_permits(1);
    assert_eq!(whole(waiting).await.unwrap().body, b"waited");
    // From now on the connection waits for the client only.
    drop(mux.ended().await);
    assert_eq!(scene.refused(), 1);
    drop(stalled);
    scene.close().await;
}

#[tokio::test]
async fn a_stop_lets_running_bodies_finish_and_takes_no_new_request() {
    let (scene, authority) = open_mux(settings());
    let idle = Mux::open(&scene, &authority).await;
    let mut mux = Mux::open(&scene, &authority).await;
    let growing = timeout(DEADLINE, mux.begin("/growing")).await;
    let mut growing = growing.unwrap().unwrap().into_body();
    scene.state.progress.lock().as_ref().unwrap().advance(4);
    assert_eq!(growing.data().await.unwrap().unwrap(), "0123");
    scene.stop.begin();
    idle.ended().await.unwrap();
    let refused = async { while mux.get("/").await.is_ok() {} };
    timeout(DEADLINE, refused).await.unwrap();
    scene.state.progress.lock().as_ref().unwrap().finish(10);
    assert_eq!(growing.data().await.unwrap().unwrap(), "456789");
    assert!(growing.data().await.is_none());
    mux.ended().await.unwrap();
    scene.close().await;
}

#[tokio::test]
async fn the_drain_and_the_end_cut_running_answers() {
    let (scene, authority) = open_mux(Settings {
        drain_max: SOON,
        ..settings()
    });
    let mut mux = Mux::open(&scene, &authority).await;
    let answer = mux.begin("/wait");
    scene.state.waiting.acquire().await.unwrap().forget();
    scene.stop.begin();
    assert!(whole(answer).await.is_err());
    scene.close().await;

    let (scene, authority) = open_mux(settings());
    let mut mux = Mux::open(&scene, &authority).await;
    let answer = mux.begin("/wait");
    scene.state.waiting.acquire().await.unwrap().forget();
    scene.stop.begin();
    scene.stop.end();
    assert!(whole(answer).await.is_err());
    scene.close().await;
}

#[tokio::test]
async fn a_client_that_gives_up_ends_its_answer_only() {
    let (scene, authority) = open_mux(Settings {
        requests_max: 1,
        ..settings()
    });
    let mut mux = Mux::open(&scene, &authority).await;
    let given_up = mux.begin("/wait");
    scene.state.waiting.acquire().await.unwrap().forget();
    assert_eq!(mux.get("/").await.unwrap().body, b"shed");
    drop(given_up);
    // Its permit is free again.
    assert_eq!(mux.get("/").await.unwrap().body, b"hello");
    let left = mux.begin("/wait");
    scene.state.waiting.acquire().await.unwrap().forget();
    drop((mux, left));
    scene.close().await;
}
