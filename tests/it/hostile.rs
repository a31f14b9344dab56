//! Hostile names in requests, which must not lead to a connection.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use fake_registry::bare::Reply;
use tokio::{
    io::AsyncWriteExt as _,
    net::{TcpListener, TcpStream},
};

use crate::mirror::Mirror;

/// A listener that counts who comes.
struct Canary {
    port: u16,
    seen: Arc<AtomicUsize>,
}

impl Canary {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&seen);
        drop(tokio::spawn(async move {
            while listener.accept().await.is_ok() {
                count.fetch_add(1, Ordering::SeqCst);
            }
        }));
        Self { port, seen }
    }

    fn seen(&self) -> usize {
        self.seen.load(Ordering::SeqCst)
    }
}

/// This machine, its neighbours and the metadata services, spelt in every way that some parser
/// takes for them.
fn spellings(port: u16) -> Vec<String> {
    let with_port = [
        "127.0.0.1",
        "127.1",
        "127.0.1",
        "2130706433",
        "0x7f000001",
        "0x7f.0.0.1",
        "0177.0.0.1",
        "017700000001",
        "127.0.0.1.",
        "0",
        "0.0.0.0",
        "127.9.9.9",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[0:0:0:0:0:0:0:1]",
        "[::127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "[::1%25lo]",
        "[fe80::1%25lo]",
        "localhost",
        "localhost.",
        "LOCALHOST",
        "x.localhost",
        "user@127.0.0.1",
        "quay.io@127.0.0.1",
        "quay.io%40127.0.0.1",
        "127.0.0.1%23.quay.io",
        "127.0.0.1%2f.quay.io",
        "127.0.0.1%5c.quay.io",
        "127.0.0.1%3f.quay.io",
        "%E2%93%9Bocalhost",
        "%EF%BC%9127.0.0.1",
        "%E2%91%A0%E2%91%A1%E2%91%A6.0.0.1",
        "127%E3%80%820.0.1",
        "127.0.0.1%00.quay.io",
        "quay.io%0d%0aHost:%20127.0.0.1",
    ];
    let plain = [
        "169.254.169.254",
        "169.254.169.254.",
        "2852039166",
        "0xa9fea9fe",
        "[fd00:ec2::254]",
        "[::ffff:169.254.169.254]",
        "100.100.100.200",
        "10.0.0.1",
        "192.168.0.1",
        "172.16.0.1",
        "[fd12::1]",
        "127.0.0.1:0",
        "127.0.0.1:65536",
        "127.0.0.1:-1",
        "127.0.0.1:80:80",
        "127.0.0.1:0x50",
        "http://127.0.0.1",
        "//127.0.0.1",
        "%2e",
        "..%2f",
    ];
    let with_port = with_port.iter().map(|host| format!("{host}:{port}"));
    with_port.chain(plain.map(str::to_owned)).collect()
}

/// A mirror with one route of its own and one for whatever clients name.
async fn mirror() -> Mirror {
    Mirror::with(
        "[[route]]\nfrom = \"quay.io/known\"\nto = [\"source\"]\n\
         [[route]]\nfrom = \"*\"\nto = [\"source\"]\n",
    )
    .start()
    .await
}

/// Whether the mirror refused it itself, without contacting an upstream.
fn is_refused(reply: &Reply) -> bool {
    (400..500).contains(&reply.status) || reply.status == 502
}

/// Sends these lines as they are.
async fn raw(mirror: &Mirror, head: &str) -> Reply {
    let mut socket = TcpStream::connect(mirror.address()).await.unwrap();
    let text = format!("{head}\r\nConnection: close\r\n\r\n");
    socket.write_all(text.as_bytes()).await.unwrap();
    Reply::read(socket).await
}

async fn assert_no_contact(mirror: &Mirror, canary: &Canary) {
    assert_eq!(canary.seen(), 0);
    let metrics = mirror.metrics().await;
    let asked = metrics
        .lines()
        .filter(|line| line.starts_with("roadstead_upstream_requests_total"));
    assert_eq!(asked.collect::<Vec<_>>(), Vec::<&str>::new());
}

#[tokio::test]
async fn t05_no_spelling_of_ns_reaches_what_is_near() {
    let (mirror, canary) = (mirror().await, Canary::start().await);
    let digest = format!("sha256:{}", "0".repeat(64));
    let all = spellings(canary.port);
    assert!(all.len() >= 40);
    for spelling in all {
        for path in [
            format!("/v2/a/b/manifests/1?ns={spelling}"),
            format!("/v2/a/b/blobs/{digest}?ns={spelling}"),
            format!("/v2/a/b/tags/list?ns={spelling}"),
            format!("/v2/{spelling}/a/b/manifests/{digest}?ns={spelling}"),
        ] {
            let reply = mirror.get(&path).reply().await;
            assert!(is_refused(&reply), "{path}: {reply:?}");
        }
    }
    assert_no_contact(&mirror, &canary).await;
}

#[tokio::test]
async fn t05_neither_does_a_path_a_host_or_an_absolute_target() {
    let (mirror, canary) = (mirror().await, Canary::start().await);
    for spelling in spellings(canary.port) {
        // Only what looks like a registry; another first element is a folder of the default one.
        let is_registry = spelling.contains(['.', ':']) && !spelling.starts_with("//");
        if is_registry && !spelling.contains('%') {
            let path = format!("/v2/{spelling}/a/b/manifests/1");
            let reply = mirror.get(&path).reply().await;
            assert!(is_refused(&reply), "{path}: {reply:?}");
        }
        // `ns` takes precedence over the host, and this one has no route.
        let target = "/v2/a/b/manifests/1?ns=127.0.0.1";
        for head in [
            format!("GET {target} HTTP/1.1\r\nHost: {spelling}"),
            format!("GET http://{spelling}{target} HTTP/1.1\r\nHost: {spelling}"),
            format!("CONNECT {spelling} HTTP/1.1\r\nHost: {spelling}"),
        ] {
            let reply = raw(&mirror, &head).await;
            // Bytes that are not a head end the connection without a response.
            assert!(is_refused(&reply) || reply.status == 0, "{head}: {reply:?}");
        }
    }
    for target in [
        format!(
            "/v2/a/b/manifests/1?ns=quay.io&ns=127.0.0.1:{}",
            canary.port
        ),
        format!(
            "/v2/a/b/manifests/1?ns=127.0.0.1:{}&ns=quay.io",
            canary.port
        ),
        format!("/v2/a/b/manifests/1?ns=127.0.0.1:{}#quay.io", canary.port),
        "/v2/a/b/manifests/1?ns=".to_owned() + &"1".repeat(300),
    ] {
        let reply = raw(&mirror, &format!("GET {target} HTTP/1.1\r\nHost: x")).await;
        assert!(
            is_refused(&reply) || reply.status == 0,
            "{target}: {reply:?}"
        );
    }
    assert_no_contact(&mirror, &canary).await;
}
