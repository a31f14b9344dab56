//! Canaries and the proxy.

use std::net::Ipv4Addr;

use fake_registry::bare::{Ask, Reply};
use fake_registry::certificates::{Authority, connect};
use fake_registry::{Canary, FakeProxy, FakeRegistry};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

#[tokio::test]
async fn a_canary_counts_and_keeps_what_it_hears() {
    let canary = Canary::on(Ipv4Addr::LOCALHOST).await;
    assert_eq!(canary.connections(), 0);
    let mut socket = TcpStream::connect(canary.address()).await.unwrap();
    let text = b"GET /token HTTP/1.1\r\nAuthorization: Basic dXNlcjpwYXNzd29yZA==\r\n\r\n";
    socket.write_all(text).await.unwrap();
    let mut answer = [0; 15];
    socket.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer, *b"HTTP/1.1 200 OK");
    assert_eq!(canary.connections(), 1);
    assert_eq!(canary.heard()[0].as_bytes(), text);
    assert!(canary.knows("user", "password"));
    assert!(!canary.knows("user", "other"));
}

async fn through(proxy: &FakeProxy, text: &str) -> Reply {
    let mut socket = TcpStream::connect(proxy.address()).await.unwrap();
    socket.write_all(text.as_bytes()).await.unwrap();
    Reply::read(socket).await
}

#[tokio::test]
async fn a_proxy_passes_plain_requests_on() {
    let hub = FakeRegistry::start().await;
    let proxy = FakeProxy::start().await;
    proxy.lead("registry.example:80", hub.address());
    for (host, status) in [
        (hub.host(), 200),
        ("registry.example", 200),
        ("unknown", 502),
    ] {
        let text = format!("GET http://{host}/v2/ HTTP/1.1\r\nHost: {host}\r\n\r\n");
        assert_eq!(through(&proxy, &text).await.status, status, "{host}");
    }
    assert_eq!(hub.requests().len(), 2);
    assert_eq!(hub.requests()[0].path, "/v2/");
    let asked = proxy.asked();
    assert_eq!(asked[1].target, "http://registry.example/v2/");
    let statuses: Vec<_> = asked.iter().map(|one| one.status).collect();
    assert_eq!(statuses, [200, 200, 502]);
}

#[tokio::test]
async fn a_proxy_tunnels_and_may_want_a_login() {
    let ours = Authority::new("ours");
    let pair = ours.server(&["127.0.0.1"]);
    let hub = FakeRegistry::builder().tls(&pair).start().await;
    let proxy = FakeProxy::with_login("user", "password").await;
    proxy.lead("registry.example:443", hub.address());
    let connect_to = "CONNECT registry.example:443 HTTP/1.1\r\n";
    assert_eq!(
        through(&proxy, &format!("{connect_to}\r\n")).await.status,
        407
    );

    // Through the tunnel the registry itself answers, with its own certificate.
    let mut socket = TcpStream::connect(proxy.address()).await.unwrap();
    let login = "Proxy-Authorization: Basic dXNlcjpwYXNzd29yZA==\r\n\r\n";
    let text = format!("{connect_to}{login}");
    socket.write_all(text.as_bytes()).await.unwrap();
    let mut greeting = [0; 39];
    socket.read_exact(&mut greeting).await.unwrap();
    assert!(greeting.starts_with(b"HTTP/1.1 200 "));
    // A TLS record of a kind that no handshake begins with: the server ends with an alert.
    socket.write_all(b"\x17\x03\x03\x00\x01x").await.unwrap();
    let mut alert = Vec::new();
    socket.read_to_end(&mut alert).await.unwrap();
    assert_eq!(alert.first(), Some(&0x15));
    let asked = proxy.asked();
    assert_eq!((asked[0].status, asked[1].status), (407, 200));
    assert!(asked[1].head.contains("Proxy-Authorization"));

    let direct = connect(hub.address(), "127.0.0.1", &ours.pem, None);
    let ask = Ask::new(hub.address(), "GET", "/v2/");
    assert_eq!(
        ask.reply_over(direct.await.unwrap()).await.unwrap().status,
        200
    );
}
