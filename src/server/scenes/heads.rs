//! Good and bad requests in HTTP/1.1.

use super::*;

fn answers(text: &str) -> usize {
    text.matches("HTTP/1.").count()
}

#[tokio::test]
async fn connections_are_kept_until_a_client_asks_to_close() {
    let scene = open(settings());
    let mut client = scene.connect().await;
    for _ in 0..3 {
        client.send(get("/")).await;
        let got = client.until("hello").await;
        assert!(got.starts_with("HTTP/1.1 200 OK\r\n"), "{got}");
    }
    client.send(get_last("/")).await;
    assert!(client.rest().await.ends_with("hello"));
    let old = scene.exchange("GET / HTTP/1.0\r\n\r\n").await;
    assert!(old.ends_with("hello"), "{old}");
    let head = get_last("/").replace("GET", "HEAD");
    let head = scene.exchange(head).await;
    assert!(
        head.contains("content-length: 5\r\n") && head.ends_with("\r\n\r\n"),
        "{head}"
    );
    scene.close().await;
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let scene = open(settings());
    let got = scene
        .exchange(get("/") + &get("/remote") + &get_last("/"))
        .await;
    assert_eq!(answers(&got), 3, "{got}");
    let first = got.find("hello").unwrap();
    assert!(first < got.find("127.0.0.1:").unwrap(), "{got}");
    assert_eq!(scene.refused(), 0);
    scene.close().await;
}

/// What is sent after `Host`, and the response's body, which is empty if hyper refused the head.
const BAD_FRAMING: [(&str, &str); 11] = [
    ("Content-Length: 5\r\n\r\n12345", "body"),
    (
        "Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n",
        "body",
    ),
    (
        "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "body",
    ),
    (
        "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
        "body",
    ),
    ("Transfer-Encoding: gzip\r\n\r\n", ""),
    ("Content-Length: 5\r\nContent-Length: 6\r\n\r\n123456", ""),
    ("Content-Length: +5\r\n\r\n12345", ""),
    ("Content-Length: 5, 5\r\n\r\n12345", ""),
    ("X: a\r\n b\r\n\r\n", ""),
    ("X : a\r\n\r\n", ""),
    ("X: a\0b\r\n\r\n", ""),
];

/// One response, and none for the request after it.
async fn refused_once(scene: &Scene, request: &str, status: &str, body: &str) {
    let got = scene.exchange(request.to_owned() + &get("/")).await;
    let start = format!("HTTP/1.1 {status} ");
    assert!(got.starts_with(&start), "{request:.80?}: {got}");
    assert_eq!(answers(&got), 1, "{request:.80?}: {got}");
    assert!(
        got.ends_with(&format!("\r\n\r\n{body}")),
        "{request:.80?}: {got}"
    );
    let head = got.to_lowercase();
    assert!(
        head.contains("connection: close\r\n"),
        "{request:.80?}: {got}"
    );
}

#[tokio::test]
async fn bad_framing_is_answered_once_and_the_connection_ends() {
    let scene = open(settings());
    for (rest, body) in BAD_FRAMING {
        let request = format!("GET / HTTP/1.1\r\nHost: a\r\n{rest}");
        refused_once(&scene, &request, "400", body).await;
    }
    let by_parser = BAD_FRAMING.iter().filter(|(_, body)| body.is_empty());
    let by_parser = u64::try_from(by_parser.count()).unwrap();
    assert_eq!(scene.refused(), by_parser);
    let old = "GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    refused_once(&scene, old, "400", "").await;
    let big = "b".repeat(60_000);
    let big = format!("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 60000\r\n\r\n{big}");
    refused_once(&scene, &big, "400", "body").await;
    scene.close().await;
}

#[tokio::test]
async fn exactly_one_host_is_demanded() {
    let scene = open(settings());
    let none = "GET / HTTP/1.1\r\n\r\n";
    refused_once(&scene, none, "400", "host").await;
    let two = "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n";
    refused_once(&scene, two, "400", "host").await;
    scene.close().await;
}

#[tokio::test]
async fn heads_that_are_too_large_get_431() {
    let scene = open(settings());
    let long = format!(
        "GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n",
        "x".repeat(65 * 1024)
    );
    refused_once(&scene, &long, "431", "").await;
    let fields = "X: y\r\n".repeat(120);
    let many = format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
    refused_once(&scene, &many, "431", "").await;
    let enough = format!(
        "GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n",
        "x".repeat(60 * 1024)
    );
    let got = scene.exchange(enough + &get_last("/")).await;
    assert_eq!(answers(&got), 2, "{got}");
    scene.close().await;
}

#[tokio::test]
async fn other_protocols_end_at_once() {
    let scene = open(settings());
    // Go's TLS clients recognise a plain HTTP response, and report it to their users.
    refused_once(&scene, "\u{16}\u{3}\u{1}\u{2}\0\u{1}\0", "400", "").await;
    let http2 = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    assert_eq!(scene.exchange(http2).await, "");
    assert_eq!(scene.refused(), 2);
    scene.close().await;
}

#[tokio::test]
async fn lines_that_end_in_a_bare_line_feed_are_refused_by_closing() {
    let rows = [
        "GET / HTTP/1.1\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n\n",
        "\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    ];
    let scene = open(settings());
    for (count, request) in (1..).zip(rows) {
        assert_eq!(scene.exchange(request).await, "", "{request:?}");
        assert_eq!(scene.refused(), count);
    }
    scene.close().await;
}

#[tokio::test]
async fn upgrades_and_expectations_are_ignored() {
    let scene = open(settings());
    let mut client = scene.connect().await;
    for header in [
        "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n",
        "Connection: Upgrade\r\nUpgrade: websocket\r\n",
        "Expect: 100-continue\r\n",
    ] {
        let request = format!("GET / HTTP/1.1\r\nHost: a\r\n{header}\r\n");
        client.send(request).await;
        let got = client.until("hello").await;
        assert!(got.starts_with("HTTP/1.1 200 OK\r\n"), "{header}: {got}");
    }
    drop(client);
    scene.close().await;
}

#[tokio::test]
async fn a_body_with_another_method_is_drained_and_the_connection_ends() {
    let scene = open(settings());
    let put = "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n";
    let got = scene.exchange(format!("{put}\r\n12345") + &get("/")).await;
    assert!(got.ends_with("hello") && answers(&got) == 1, "{got}");
    assert!(got.contains("connection: close\r\n"), "{got}");
    // A refused body gets no "100 Continue".
    let got = scene
        .exchange(format!("{put}Expect: 100-continue\r\n\r\n"))
        .await;
    assert!(got.starts_with("HTTP/1.1 200 OK\r\n"), "{got}");
    scene.close().await;
}

#[tokio::test]
async fn a_panic_is_answered_and_the_connection_lives_on() {
    let scene = open(settings());
    let mut client = scene.connect().await;
    client.send(get("/panic")).await;
    let got = client.until("panicked").await;
    assert!(got.starts_with("HTTP/1.1 500 "), "{got}");
    assert_eq!(scene.metric("roadstead_panics_total "), 1);
    client.send(get("/")).await;
    client.until("hello").await;
    drop(client);
    scene.close().await;
}

#[tokio::test]
async fn too_many_requests_at_once_are_shed() {
    let scene = open(Settings {
        requests_max: 1,
        ..settings()
    });
    let mut first = scene.connect().await;
    first.send(get("/wait")).await;
    scene.state.waiting.acquire().await.unwrap().forget();
    let got = scene.exchange(get_last("/")).await;
    assert!(
        got.starts_with("HTTP/1.1 503 ") && got.ends_with("shed"),
        "{got}"
    );
    scene.state.gate.add_permits(1);
    first.until("waited").await;
    drop(first);
    let got = scene.exchange(get_last("/")).await;
    assert!(got.ends_with("hello"), "{got}");
    scene.close().await;
}
