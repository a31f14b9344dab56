//! Limits of heads, connections and requests, and the life of connections. Ids that begin with B are
//! rows of `docs/FAILURES.md`, with R of `docs/REQUIREMENTS.md`.

use std::fmt::Write as _;

use fake_registry::{
    FakeRegistry, Fault, Gate, KIB, Match,
    bare::{Ask, Reply},
    random_bytes,
};
use roadstead::internals::server::ListenAddress;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::{
    mirror::{Mirror, failure},
    requests::{stage, verdict},
    rows::{Rows, raw},
};

const SEED: u64 = 39;

#[tokio::test]
async fn b039_to_b041_sizes_and_patience() {
    let hub = FakeRegistry::start().await;
    let mirror = Mirror::of(&hub)
        .config("[timeouts]\nheader = \"50ms\"")
        .start()
        .await;
    let mut rows = Rows::default();
    let longest = format!("/v2/{}", "a".repeat(8 * KIB - 4));
    rows.same(
        "B039: 8 KiB",
        mirror.get(&longest).reply().await.status,
        404,
    );
    let longer = mirror.get(&format!("{longest}a")).reply().await;
    rows.same(
        "B039: 8 KiB + 1",
        verdict(&longer),
        (414, "NAME_INVALID".to_owned()),
    );
    let query = mirror
        .get(&format!("/v2/?x={}", "a".repeat(8 * KIB)))
        .reply()
        .await;
    rows.same("B039: a query", query.status, 414);
    let huge = raw(
        &mirror,
        format!("GET /{} HTTP/1.1\r\nHost: m\r\n\r\n", "a".repeat(70 * KIB)),
    )
    .await;
    rows.same(
        "B039: longer than a whole head may be",
        (huge.status, huge.error),
        (431, None),
    );

    let with = |size: usize| mirror.get("/v2/").with("X", &"a".repeat(size)).reply();
    rows.same("B040: 60 KiB", with(60 * KIB).await.status, 200);
    rows.same("B040: 70 KiB", with(70 * KIB).await.status, 431);
    let fields = |count: usize| {
        let fields = (0..count).fold(mirror.get("/v2/"), |ask, _| ask.with("X", "a"));
        async { fields.reply().await.status }
    };
    rows.same("B040: 90 fields", fields(90).await, 200);
    rows.same("B040: 101 fields", fields(101).await, 431);

    let slow = raw(&mirror, "GET /v2/ HTTP/1.1\r\nHost: ").await;
    rows.same("B041", (slow.status, slow.error), (0, None));
}

#[tokio::test]
async fn b070_at_the_limit_of_connections_a_client_waits() {
    let hub = FakeRegistry::start().await;
    let mirror = Mirror::of(&hub)
        .config("[limits]\nconnections_max = 16")
        .start()
        .await;
    let mut open = Vec::new();
    for _ in 0..16 {
        let mut socket = TcpStream::connect(mirror.address()).await.unwrap();
        socket
            .write_all(b"GET /v2/ HTTP/1.1\r\nHost: m\r\n\r\n")
            .await
            .unwrap();
        // Answered, so it has a permit, which it keeps.
        assert_ne!(socket.read(&mut [0; 1024]).await.unwrap(), 0);
        open.push(socket);
    }
    let waiting = mirror.get("/v2/").open().await;
    let probe = mirror.metrics().await;
    assert!(
        probe.contains("roadstead_connections 17"),
        "16 and this one: {probe}"
    );
    assert_eq!(
        waiting.try_read(&mut [0; 16]).map_err(|error| error.kind()),
        Err(std::io::ErrorKind::WouldBlock)
    );
    drop(open.pop());
    assert_eq!(Reply::read(waiting).await.status, 200);
}

#[tokio::test]
async fn b070_too_many_requests_at_work_are_shed() {
    let hub = FakeRegistry::start().await;
    hub.image("library/nginx", "1.25", &[random_bytes(10, SEED)]);
    let gate = Gate::new();
    hub.next(Match::manifests(), Fault::HoldHead(gate.clone()));
    let mirror = Mirror::of(&hub)
        .config("[limits]\nrequests_max = 1\n[[listener]]\nlisten = \"127.0.0.1:0\"")
        .start()
        .await;
    let working = mirror.manifest("library/nginx", "1.25").open().await;
    hub.until(Match::manifests(), 1).await;
    for listener in mirror.addresses() {
        let ListenAddress::Tcp(address) = listener else {
            panic!("a TCP listener was configured")
        };
        let shed = Ask::new(address, "GET", "/v2/").reply().await;
        assert_eq!(failure(&shed), (503, "TOOMANYREQUESTS".to_owned()));
        assert_eq!(shed.header("retry-after"), Some("1"));
    }
    // The admin listener has a limit of its own.
    assert_eq!(mirror.probe("/readyz").reply().await.status, 200);
    gate.open();
    assert_eq!(Reply::read(working).await.status, 200);
    assert_eq!(mirror.get("/v2/").reply().await.status, 200);
}

#[tokio::test]
async fn r103_connections_live_on_unless_told_otherwise() {
    let (_hub, image, mirror) = stage().await;
    let blob = format!("/v2/library/nginx/blobs/{}", image.layers[0].digest);
    let mut socket = TcpStream::connect(mirror.address()).await.unwrap();
    // Failures, HEADs, 304s and bodies in one row: a wrong length would shift all that follows.
    let requests = [
        ("GET", "/v2/", "", 200),
        ("HEAD", "/v2/", "", 200),
        ("GET", "/nowhere", "", 404),
        ("HEAD", "/nowhere", "", 404),
        ("GET", blob.as_str(), "", 200),
        ("HEAD", blob.as_str(), "", 200),
        ("GET", blob.as_str(), "Range: bytes=2000-\r\n", 416),
        ("GET", blob.as_str(), "Range: bytes=1-2\r\n", 206),
        ("GET", blob.as_str(), "If-None-Match: *\r\n", 304),
        ("HEAD", "/v2/library/nginx/manifests/1.25", "", 200),
        ("GET", "/v2/library/nginx/manifests/1.25", "", 200),
        ("GET", "/v2/library/nginx/tags/list?n=0", "", 200),
        ("HEAD", "/v2/library/nginx/tags/list", "", 200),
        ("GET", "/v2/", "Connection: close\r\n", 200),
    ];
    let mut sent = String::new();
    for (method, target, header, _) in requests {
        write!(
            sent,
            "{method} {target} HTTP/1.1\r\nHost: m\r\n{header}\r\n"
        )
        .unwrap();
    }
    socket.write_all(sent.as_bytes()).await.unwrap();
    let mut answers = Vec::new();
    socket.read_to_end(&mut answers).await.unwrap();
    let mut rest = answers.as_slice();
    for (method, target, header, status) in requests {
        let row = format!("{method} {target} {header}");
        let end = rest.windows(4).position(|four| four == b"\r\n\r\n");
        let (head, body) = rest.split_at(end.unwrap_or_else(|| panic!("{row}: no answer")) + 4);
        let head = std::str::from_utf8(head).unwrap().to_lowercase();
        assert!(
            head.starts_with(&format!("http/1.1 {status}")),
            "{row}: {head}"
        );
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "));
        let length = match (method, status) {
            ("HEAD", _) | (_, 304) => 0,
            _ => length.unwrap().parse().unwrap(),
        };
        rest = &body[length..];
    }
    assert_eq!(rest, b"");
}

#[tokio::test]
async fn r103_a_thousand_short_connections_leak_nothing() {
    let (_hub, _image, mirror) = stage().await;
    for _ in 0..1000 {
        assert_eq!(mirror.get("/v2/").reply().await.status, 200);
    }
    let mut open = mirror.metrics().await;
    // The last ones may still be ending.
    while !open.contains("roadstead_connections 1\n") {
        tokio::task::yield_now().await;
        open = mirror.metrics().await;
    }
}
