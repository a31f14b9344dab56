//! Responses to upstream failures: rows of `docs/FAILURES.md` without a file of their own. B075 to
//! B091, B098, B104, B108 and B111 are in `failures`, `blobs`, `resume` and `tags`, B092 to B094 in
//! `quirks_redirects`, B095 and B096 in `logins`, B100 and B101 in `quirks_load`.

use std::fmt::Write as _;

use bytes::Bytes;
use fake_registry::{FakeProxy, FakeRegistry, Fault, Link, Match, TokenHabit};

use futures_util::future::join_all;

use crate::{
    mirror::{ALWAYS_ASK, Mirror, PASSWORD, failure},
    nginx::{REPOSITORY, image, started, tag},
    site::route,
};

#[tokio::test]
async fn b097_a_403_is_403() {
    for with_login in [false, true] {
        let hub = FakeRegistry::start().await;
        let image = image(&hub);
        hub.next(Match::any(), Fault::Status(403)).always();
        let mirror = if with_login {
            Mirror::logging_in(&hub, "").start().await
        } else {
            started(&hub).await
        };
        assert_eq!(failure(&tag(&mirror).await), (403, "DENIED".into()));
        let reply = mirror.blob(REPOSITORY, &image.config).reply().await;
        assert_eq!(failure(&reply), (403, "DENIED".into()));
    }
}

#[tokio::test]
async fn b099_b102_a_kept_tag_outlives_a_429_and_every_5xx() {
    let scenes = [429, 500, 502, 503, 504].map(|status| async move {
        let hub = FakeRegistry::start().await;
        let image = image(&hub);
        let soon = "[timeouts]\nmanifest = \"700ms\"";
        let mirror = Mirror::of(&hub).config(ALWAYS_ASK).config(soon);
        let mirror = mirror.start().await;
        tag(&mirror).await;
        if status != 429 {
            let burst = hub.next(Match::any(), Fault::Status(status));
            assert_eq!(tag(&mirror).await.header("warning"), None, "tried again");
            assert_eq!(burst.met(), 1);
        }
        hub.next(Match::any(), Fault::Status(status)).always();
        let reply = tag(&mirror).await;
        assert_eq!(reply.whole(), image.manifest.bytes, "{status}");
        assert!(reply.header("warning").unwrap().starts_with("110 "));
        // The design's 503 carries UNAVAILABLE; TOOMANYREQUESTS is for what we shed ourselves.
        let reply = mirror.manifest(REPOSITORY, "2").reply().await;
        assert_eq!(failure(&reply), (503, "UNAVAILABLE".into()), "{status}");
        assert!(reply.header("retry-after").is_some());
    });
    join_all(scenes).await;
}

#[tokio::test]
async fn b103_without_a_connection_a_kept_tag_is_stale_and_the_rest_503() {
    // The design has one answer for all that may pass: unreachable is 503.
    let hub = FakeRegistry::start().await;
    let image = image(&hub);
    let mirror = started(&hub).await;
    tag(&mirror).await;
    let address = hub.address();
    drop(hub);
    while tokio::net::TcpStream::connect(address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    let reply = tag(&mirror).await;
    assert_eq!(reply.whole(), image.manifest.bytes);
    assert!(reply.header("warning").is_some());
    let reply = mirror.manifest(REPOSITORY, "2").reply().await;
    assert_eq!(failure(&reply), (503, "UNAVAILABLE".into()));
}

#[tokio::test]
async fn b103_t37_without_a_name_or_tls_nothing_is_said_in_plain_text() {
    let plain = FakeRegistry::start().await;
    // Who is asked for the name, so that no name server is.
    let proxy = FakeProxy::start().await;
    let urls = [
        format!(
            "url = \"https://registry.invalid\"\nproxy = \"{}\"",
            proxy.url()
        ),
        format!("url = \"https://{}\"", plain.host()),
    ];
    let scenes = urls.map(|url| async move {
        let routes = format!("[upstream.hub]\n{url}\n")
            + &route("docker.io", "\"hub\"", "library = \"keep\"");
        let mirror = Mirror::with(&routes).start().await;
        let unavailable = (503, "UNAVAILABLE".into());
        assert_eq!(failure(&tag(&mirror).await), unavailable, "{url}");
    });
    join_all(scenes).await;
    assert_eq!(plain.count(Match::any()), 0);
    let asked = proxy.asked();
    assert!(!asked.is_empty());
    assert!(asked.iter().all(|one| one.method == "CONNECT"));
}

#[tokio::test]
async fn b105_a_token_answer_without_a_token_is_502() {
    let page = |body: &[u8]| {
        let answer = http::Response::builder().header("content-type", "application/json");
        Fault::Answer(answer.body(Bytes::copy_from_slice(body)).unwrap())
    };
    let huge = format!("{{\"token\":\"{}\"}}", "x".repeat(1024 * 1024));
    let answers = [
        ("none", page(b"{}")),
        ("null", page(b"{\"token\":null}")),
        ("empty", page(b"{\"token\":\"\"}")),
        ("a line end", page(b"{\"token\":\"a\\r\\nx: y\"}")),
        ("a list", page(b"[]")),
        ("nothing", page(b"")),
        ("no JSON", Fault::Html),
        ("huge", page(huge.as_bytes())),
        ("endless", Fault::HugeBody),
    ];
    let scenes = answers.map(|(what, fault)| async move {
        let hub = FakeRegistry::builder().bearer("robot", PASSWORD);
        let hub = hub.start().await;
        image(&hub);
        hub.next(Match::token(), fault).always();
        let mirror = Mirror::logging_in(&hub, "").start().await;
        let (status, code) = failure(&tag(&mirror).await);
        assert_eq!((status, code.as_str()), (502, "UNAVAILABLE"), "{what}");
        assert!(hub.count(Match::token()) <= 3, "{what}");
    });
    join_all(scenes).await;
}

#[tokio::test]
async fn b105_a_lifetime_that_makes_no_sense_is_clamped() {
    let scenes =
        ["-1", "0", "1000000000000000000", "1e300", "\"300\"", "null"].map(|text| async move {
            let hub = FakeRegistry::builder()
                .bearer("robot", PASSWORD)
                .token_habit(TokenHabit::ExpiresIn(text.into()))
                .token_habit(TokenHabit::IssuedAt("2300-01-01T00:00:00Z".into()))
                .start()
                .await;
            let image = image(&hub);
            let mirror = Mirror::logging_in(&hub, "").start().await;
            for _again in 0..3 {
                mirror.pulls(REPOSITORY, "1", &image, text).await;
            }
            assert_eq!(hub.count(Match::token()), 1, "{text}");
        });
    join_all(scenes).await;
}

#[tokio::test]
async fn b106_b107_heads_that_make_no_sense_are_502() {
    let crowd = (0..10_000).fold(String::from("HTTP/1.1 200 OK\r\n"), |mut head, at| {
        write!(head, "x{at}: y\r\n").unwrap();
        head
    });
    let heads = [
        (
            "64 KiB",
            format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "a".repeat(70_000)),
        ),
        ("10,000", format!("{crowd}\r\n")),
        ("NUL", "HTTP/1.1 200 OK\r\nx: a\0b\r\n\r\n".to_owned()),
        ("a name", "HTTP/1.1 200 OK\r\nx y: b\r\n\r\n".to_owned()),
        ("204", "HTTP/1.1 204 N\r\n\r\n".to_owned()),
        (
            "205",
            "HTTP/1.1 205 N\r\ncontent-length: 0\r\n\r\n".to_owned(),
        ),
        ("304", "HTTP/1.1 304 N\r\n\r\n".to_owned()),
        ("no HTTP", "hello\r\n\r\n".to_owned()),
    ];
    let scenes = heads.map(|(what, raw)| async move {
        let hub = FakeRegistry::start().await;
        let image = image(&hub);
        let raw = Fault::Raw(Bytes::from(raw));
        hub.next(Match::any(), raw).always();
        let mirror = started(&hub).await;
        let config = mirror.blob(REPOSITORY, &image.config).reply().await;
        for reply in [tag(&mirror).await, config] {
            assert_eq!(failure(&reply), (502, "UNAVAILABLE".into()), "{what}");
        }
    });
    join_all(scenes).await;
}

#[tokio::test]
async fn b107_a_flood_of_1xx_is_no_answer() {
    let hub = FakeRegistry::start().await;
    let flood = "HTTP/1.1 100 Continue\r\n\r\n".repeat(10_000);
    let flood = Fault::Raw(Bytes::from(flood));
    hub.next(Match::any(), flood).always();
    let mirror = started(&hub).await;
    // Then the connection simply ends, which may pass.
    assert_eq!(failure(&tag(&mirror).await), (503, "UNAVAILABLE".into()));
}

#[tokio::test]
async fn b109_a_list_without_end_ends_and_foreign_links_lead_nowhere() {
    let foreign = FakeRegistry::start().await;
    for link in [Link::Endless, Link::Foreign(foreign.url())] {
        let hub = FakeRegistry::builder().page_size(2).start().await;
        let image = image(&hub);
        for tag in ["2", "3", "4", "5"] {
            hub.tag(REPOSITORY, tag, &image.manifest.digest);
        }
        hub.next(Match::tags(REPOSITORY), Fault::Link(link))
            .always();
        let mirror = started(&hub).await;
        let target = format!("/v2/{REPOSITORY}/tags/list?ns=docker.io");
        let reply = mirror.get(&target).reply().await;
        assert_eq!(reply.status, 200);
        // One page of ours is at most a few of theirs; we never go round by ourselves.
        assert!(hub.count(Match::tags(REPOSITORY)) <= 3);
        let next = reply.header("link").unwrap_or_default();
        assert!(!next.contains(foreign.host()), "{next}");
    }
    assert_eq!(foreign.count(Match::any()), 0);
}

#[tokio::test]
async fn b110_without_referrers_upstream_we_have_none_either() {
    // The design: 404 UNSUPPORTED, so that clients look for the fallback tag themselves.
    let hub = FakeRegistry::builder().no_referrers().start().await;
    let image = image(&hub);
    let digest = &image.manifest.digest;
    let fallback = digest.replace(':', "-");
    let index = hub.index(REPOSITORY, &fallback, &[]);
    let mirror = started(&hub).await;
    let target = format!("/v2/{REPOSITORY}/referrers/{digest}?ns=docker.io");
    let reply = mirror.get(&target).reply().await;
    assert_eq!(failure(&reply), (404, "UNSUPPORTED".into()));
    let reply = mirror.manifest(REPOSITORY, &fallback).reply().await;
    assert_eq!(reply.whole(), index.bytes);
}
