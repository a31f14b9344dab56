//! Framing of requests: methods, bodies, hosts and upgrades. Ids that begin with B are rows of
//! `docs/FAILURES.md`, with R of `docs/REQUIREMENTS.md`.
#![expect(clippy::too_many_lines, reason = "tables")]

use fake_registry::{
    FakeRegistry, KIB,
    bare::{Ask, Reply},
    random_bytes,
};
use tokio::{io::AsyncWriteExt as _, net::TcpStream};

use crate::{
    mirror::{Mirror, failure},
    requests::{stage, verdict},
    rows::{Rows, raw},
};

const SEED: u64 = 32;

#[tokio::test]
async fn b028_to_b031_a_mirror_only_reads() {
    let (hub, image, mirror) = stage().await;
    let mut rows = Rows::default();
    let digest = &image.manifest.digest;
    let table = [
        ("B028", "POST", "/v2/x/blobs/uploads/".to_owned()),
        ("B029", "PUT", "/v2/library/nginx/manifests/1.25".to_owned()),
        (
            "B029",
            "PATCH",
            "/v2/library/nginx/blobs/uploads/1".to_owned(),
        ),
        (
            "B029",
            "DELETE",
            format!("/v2/library/nginx/manifests/{digest}"),
        ),
        (
            "B030",
            "POST",
            format!("/v2/x/blobs/uploads/?mount={digest}&from=private"),
        ),
        ("B031", "TRACE", "/v2/".to_owned()),
        ("B031", "CONNECT", "evil.example:443".to_owned()),
        ("B031", "BREW", "/v2/".to_owned()),
        ("B031", "OPTIONS", "*".to_owned()),
    ];
    for (id, method, target) in table {
        let row = format!("{id}: {method} {target}");
        // Without `Connection: close` from the client, the server still closes the connection.
        let request = format!("{method} {target} HTTP/1.1\r\nHost: m\r\n\r\n");
        let reply = raw(&mirror, request).await;
        rows.same(&row, verdict(&reply), (405, "UNSUPPORTED".to_owned()));
        rows.same(&row, reply.header("allow"), Some("get, head"));
        let reply = Ask::new(mirror.address(), method, &target)
            .with("Content-Length", "0")
            .reply()
            .await;
        rows.same(&format!("{row} with an empty body"), reply.status, 405);
    }
    // R091: a body is read, so that the client can finish sending and read the answer.
    let body = "x".repeat(60 * KIB);
    for framing in [
        format!("Content-Length: {}\r\n\r\n{body}", body.len()),
        format!(
            "Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
            body.len()
        ),
    ] {
        let request = format!("PUT /v2/a/manifests/1 HTTP/1.1\r\nHost: m\r\n{framing}");
        let reply = raw(&mirror, request).await;
        rows.same("R091", verdict(&reply), (405, "UNSUPPORTED".to_owned()));
        rows.same(
            "R091",
            (reply.header("connection"), reply.error),
            (Some("close"), None),
        );
    }
    rows.same("upstream was contacted", hub.requests().len(), 0);
}

#[tokio::test]
async fn b032_to_b036_b038_framing() {
    let (hub, _image, mirror) = stage().await;
    let mut rows = Rows::default();
    let host = "Host: m\r\n";
    // A request that the mirror refuses gets JSON; one that hyper cannot parse gets a bare 400.
    let ours = [
        (
            "B032",
            format!("GET /v2/ HTTP/1.1\r\n{host}Content-Length: 5\r\n\r\nhello"),
        ),
        (
            "B032",
            format!("HEAD /v2/ HTTP/1.1\r\n{host}Content-Length: 5\r\n\r\nhello"),
        ),
        (
            "B032",
            format!(
                "GET /v2/ HTTP/1.1\r\n{host}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
            ),
        ),
        (
            "B032, R015",
            format!(
                "GET /v2/a/manifests/sha256:totallywrong HTTP/1.1\r\n{host}Content-Length: 5\r\n\r\nhello"
            ),
        ),
        (
            "B032, waiting",
            format!("GET /v2/ HTTP/1.1\r\n{host}Content-Length: 5\r\nExpect: 100-continue\r\n\r\n"),
        ),
        ("B036", "GET /v2/ HTTP/1.1\r\n\r\n".to_owned()),
        ("B036", format!("GET /v2/ HTTP/1.1\r\n{host}{host}\r\n")),
    ];
    for (id, request) in ours {
        let row = format!("{id}: {request:?}");
        let reply = raw(&mirror, &request).await;
        let close = (reply.status, reply.header("connection"), reply.error);
        rows.same(&row, close, (400, Some("close"), None));
        if request.starts_with("GET") {
            rows.same(&row, failure(&reply).1, "UNSUPPORTED".to_owned());
        }
    }
    let both = "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n";
    let library = [
        ("B033", format!("GET /v2/ HTTP/1.1\r\n{host}{both}")),
        (
            "B034",
            format!("GET /v2/ HTTP/1.0\r\n{host}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        ),
        (
            "B035",
            format!(
                "GET /v2/ HTTP/1.1\r\n{host}Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!"
            ),
        ),
        (
            "B035",
            format!("GET /v2/ HTTP/1.1\r\n{host}Content-Length: +5\r\n\r\nhello"),
        ),
        (
            "B035",
            format!("GET /v2/ HTTP/1.1\r\n{host}Content-Length: 5, 5\r\n\r\nhello"),
        ),
        (
            "B038",
            format!("GET /v2/ HTTP/1.1\r\n{host}X: a\r\n b\r\n\r\n"),
        ),
        ("B038", format!("GET /v2/ HTTP/1.1\r\n{host}X : a\r\n\r\n")),
        (
            "B038",
            format!("GET /v2/ HTTP/1.1\r\n{host}X: a\0b\r\n\r\n"),
        ),
        ("B038", format!("GET /v2/ HTTP/1.1\r\n{host}: a\r\n\r\n")),
        ("B038", "GET  /v2/ HTTP/1.1\r\nHost: m\r\n\r\n".to_owned()),
        ("B038", "GET /v2/ HTTP/3.1\r\nHost: m\r\n\r\n".to_owned()),
        ("B038", "\u{16}\u{3}\u{1}\u{2}\u{0}".to_owned()),
    ];
    for (id, request) in library {
        // A second request on the same connection must never be answered.
        let reply = raw(&mirror, format!("{request}GET /v2/ HTTP/1.1\r\n{host}\r\n")).await;
        let answers = String::from_utf8_lossy(&reply.body)
            .matches("HTTP/1.1")
            .count();
        rows.same(
            &format!("{id}: {request:?}"),
            (reply.status, answers, reply.error),
            (400, 0, None),
        );
    }
    // The library drops the length, and the answer is the one that every POST gets; it closes.
    let reply = raw(
        &mirror,
        format!("POST /v2/ HTTP/1.1\r\n{host}{both}GET /v2/ HTTP/1.1\r\n{host}\r\n"),
    )
    .await;
    let answers = String::from_utf8_lossy(&reply.body)
        .matches("HTTP/1.1")
        .count();
    rows.same(
        "B033: POST",
        (reply.status, answers, reply.error),
        (405, 0, None),
    );
    for request in [
        "GET /v2/ HTTP/1.1\nHost: m\n\n",
        "GET /v2/ HTTP/1.1\r\nHost: m\nX: y\r\n\r\n",
    ] {
        let reply = raw(&mirror, request).await;
        rows.same(
            "B038: a bare LF closes",
            (reply.status, reply.error),
            (0, None),
        );
    }
    rows.same("upstream was contacted", hub.requests().len(), 0);
}

#[tokio::test]
async fn b032_a_refused_body_is_drained_up_to_64_kib() {
    let (_hub, _image, mirror) = stage().await;
    let mut socket = TcpStream::connect(mirror.address()).await.unwrap();
    let size = 64 * KIB - 1;
    let head = format!("GET /v2/ HTTP/1.1\r\nHost: m\r\nContent-Length: {size}\r\n\r\n");
    socket.write_all(head.as_bytes()).await.unwrap();
    socket.write_all(&vec![b'x'; size]).await.unwrap();
    let reply = Reply::read(socket).await;
    assert_eq!((failure(&reply).0, reply.error), (400, None));
}

#[tokio::test]
async fn b037_a_foreign_authority_is_not_served() {
    let hub = FakeRegistry::start().await;
    hub.image("library/nginx", "1.25", &[random_bytes(10, SEED)]);
    let mirror = Mirror::of(&hub)
        .config("[server]\nnames = [\"mirror.corp\"]\n[hosts]\n\"hub.corp\" = \"docker.io\"")
        .start()
        .await;
    let mut rows = Rows::default();
    let path = "/v2/library/nginx/manifests/1.25";
    for (authority, path, want) in [
        ("evil.example", path, 404),
        (
            "evil.example:5000",
            "/v2/library/nginx/manifests/1.25?ns=docker.io",
            404,
        ),
        ("evil.example", "/v2/", 404),
        ("mirror.corp", path, 200),
        ("mirror.corp:5000", path, 200),
        ("hub.corp", path, 200),
        ("hub.corp", "/v2/", 200),
    ] {
        let row = format!("B037: http://{authority}{path}");
        let host = authority;
        let request = format!(
            "GET http://{authority}{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
        );
        let reply = raw(&mirror, request).await;
        rows.same(&row, reply.status, want);
        if want == 404 {
            rows.same(&row, verdict(&reply).1, "NAME_UNKNOWN".to_owned());
        }
    }
    // R107: by whatever name the mirror itself was reached.
    for host in [
        "evil.example",
        "10.1.2.3:80",
        "[::1]:5000",
        "",
        "not a host",
    ] {
        let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        rows.same(
            &format!("R107: {host:?}"),
            raw(&mirror, request).await.status,
            200,
        );
    }
}

#[tokio::test]
async fn b042_b043_b052_what_is_offered_and_not_taken() {
    let (_hub, image, mirror) = stage().await;
    let mut rows = Rows::default();
    for (id, name, value) in [
        ("B042", "Upgrade", "h2c"),
        ("B042", "Upgrade", "websocket"),
        ("B043", "Expect", "100-continue"),
        ("B052, R075", "Accept-Encoding", "zstd, gzip, deflate"),
        ("R109", "X-Custom", "a"),
        (
            "B064, the mirror asks for none",
            "Authorization",
            "Basic eDp5",
        ),
    ] {
        for target in [
            format!("/v2/library/nginx/blobs/{}", image.layers[0].digest),
            "/v2/library/nginx/manifests/1.25".to_owned(),
        ] {
            let reply = mirror.get(&target).with(name, value).reply().await;
            let got = (
                reply.status,
                reply.header("content-encoding"),
                reply.header("upgrade"),
            );
            rows.same(&format!("{id}: {name}: {value}"), got, (200, None, None));
            rows.same(
                &format!("{id}: intact"),
                reply.whole().len(),
                reply.body.len(),
            );
        }
    }
}
