//! Each fault as a client meets it.

use std::io::ErrorKind;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use bytes::Bytes;
use fake_registry::{
    Content, FakeRegistry, Fault, Gate, KIB, Link, MIB, Match, Pause, random_bytes,
};
use http::Response;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

use crate::client::{Reply, body_so_far, get, head};

const SEED: u64 = 23;
/// More than socket buffers hold.
const LARGE: usize = 12 * MIB;

async fn hub_with_blob(len: usize) -> (FakeRegistry, Content, String) {
    let hub = FakeRegistry::start().await;
    let blob = hub.blob("a", random_bytes(len, SEED));
    let target = format!("/v2/a/blobs/{}", blob.digest);
    (hub, blob, target)
}

#[tokio::test]
async fn bodies_are_cut_where_they_should_be() {
    let (hub, blob, target) = hub_with_blob(LARGE).await;
    for at in [0, 1, 64 * KIB, MIB + 1, LARGE - 1] {
        hub.next(Match::blob(&blob), Fault::CutAfter(at));
        assert_eq!(
            head(&hub, &target).reply().await.status,
            200,
            "a HEAD does not meet it"
        );
        let reply = get(&hub, &target).reply().await;
        assert_eq!(
            (reply.status, reply.error, reply.body.len()),
            (200, None, at)
        );
        assert_eq!(reply.header("content-length"), Some(&*LARGE.to_string()));
        assert_eq!(reply.body, blob.bytes[..at]);
    }
    assert_eq!(get(&hub, &target).reply().await.whole(), blob.bytes);
}

#[tokio::test]
async fn bodies_are_reset() {
    let (hub, blob, target) = hub_with_blob(LARGE).await;
    for at in [0, 10, MIB + 1] {
        hub.next(Match::blob(&blob), Fault::ResetAfter(at));
        let reply = get(&hub, &target).reply().await;
        assert_eq!(reply.error, Some(ErrorKind::ConnectionReset));
        assert!(reply.body.len() <= at);
    }
}

#[tokio::test]
async fn connections_end_without_an_answer() {
    let (hub, blob, target) = hub_with_blob(10).await;
    for (fault, error) in [
        (Fault::HangUp, None),
        (Fault::Reset, Some(ErrorKind::ConnectionReset)),
    ] {
        hub.next(Match::blob(&blob), fault);
        let reply = get(&hub, &target).reply().await;
        assert_eq!((reply.status, reply.error), (0, error));
        assert_eq!(hub.requests().last().unwrap().status, None);
    }
    hub.next(
        Match::any(),
        Fault::Raw("HTTP/1.1 200 OK\r\nx: \u{1}\r\n\r\nhi".into()),
    );
    let reply = get(&hub, &target).reply().await;
    assert_eq!(
        (reply.header("x"), reply.body.as_slice()),
        (Some("\u{1}"), &b"hi"[..])
    );
}

#[tokio::test]
async fn lengths_lie() {
    let (hub, blob, target) = hub_with_blob(100 * KIB).await;
    hub.next(Match::blob(&blob), Fault::ShortLength);
    let reply = get(&hub, &target).reply().await;
    assert_eq!(reply.header("content-length"), Some("102401"));
    assert_eq!((reply.body, reply.error), (blob.bytes.to_vec(), None));

    hub.next(Match::blob(&blob), Fault::ExtraBytes(3));
    let reply = get(&hub, &target).reply().await;
    assert_eq!(reply.header("content-length"), Some("102400"));
    assert_eq!(reply.body, [&blob.bytes, &b"+++"[..]].concat());

    hub.next(Match::blob(&blob), Fault::NoLength);
    let reply = get(&hub, &target).reply().await;
    assert_eq!(reply.header("content-length"), None);
    assert_eq!(reply.header("transfer-encoding"), Some("chunked"));
    assert!(reply.body.ends_with(b"\r\n0\r\n\r\n"));

    hub.next(Match::blob(&blob), Fault::HugeBody);
    let mut socket = get(&hub, &target).open().await;
    body_so_far(&mut socket, 5 * MIB).await;
}

#[tokio::test]
async fn a_flipped_byte_is_wrong_wherever_it_is_read() {
    let (hub, blob, target) = hub_with_blob(100 * KIB).await;
    let fault = hub
        .next(Match::blob(&blob), Fault::FlipByte(70_000))
        .always();
    let reply = get(&hub, &target).reply().await;
    assert_eq!(reply.whole()[70_000], !blob.bytes[70_000]);
    assert_eq!(reply.whole()[..70_000], blob.bytes[..70_000]);
    assert_eq!(reply.whole()[70_001..], blob.bytes[70_001..]);
    let part = get(&hub, &target)
        .with("Range", "bytes=70000-")
        .reply()
        .await;
    assert_eq!(part.whole()[0], !blob.bytes[70_000]);
    let part = get(&hub, &target)
        .with("Range", "bytes=0-69999")
        .reply()
        .await;
    assert_eq!(part.whole(), &blob.bytes[..70_000]);
    assert_eq!(fault.met(), 2);
    fault.stop();
    assert_eq!(get(&hub, &target).reply().await.whole(), blob.bytes);
}

#[tokio::test]
async fn answers_are_held_until_the_gate_opens() {
    let (hub, blob, target) = hub_with_blob(100 * KIB).await;
    let gate = Gate::new();
    hub.next(Match::blob(&blob), Fault::HoldHead(gate.clone()));
    hub.next(Match::blob(&blob), Fault::HoldBody(gate.clone()));
    hub.next(Match::blob(&blob), Fault::HoldAfter(1000, gate.clone()));

    let first = get(&hub, &target).open().await;
    hub.until(Match::blob(&blob), 1).await;
    let mut second = get(&hub, &target).open().await;
    assert_eq!(body_so_far(&mut second, 0).await, b"");
    let mut third = get(&hub, &target).open().await;
    let begun = body_so_far(&mut third, 1000).await;
    assert_eq!(begun, &blob.bytes[..1000]);

    let statuses: Vec<_> = hub
        .requests()
        .iter()
        .map(|request| request.status)
        .collect();
    assert_eq!(statuses, [None, Some(200), Some(200)]);
    gate.open();
    assert_eq!(Reply::read(first).await.whole(), blob.bytes);
    let mut rest = Vec::new();
    third.read_to_end(&mut rest).await.unwrap();
    assert_eq!([begun, rest].concat(), blob.bytes);
}

#[tokio::test]
async fn a_trickle_passes_step_by_step() {
    let (hub, blob, target) = hub_with_blob(10).await;
    let gate = Gate::new();
    hub.next(
        Match::blob(&blob),
        Fault::Trickle(4, Pause::At(gate.clone())),
    );
    let mut socket = get(&hub, &target).open().await;
    assert_eq!(body_so_far(&mut socket, 4).await.len(), 4);
    let mut step = [0; 10];
    gate.pass(1);
    assert_eq!(socket.read(&mut step).await.unwrap(), 4);
    gate.open();
    assert_eq!(socket.read(&mut step).await.unwrap(), 2);

    hub.next(
        Match::blob(&blob),
        Fault::Trickle(4, Pause::For(Duration::from_millis(1))),
    );
    assert_eq!(get(&hub, &target).reply().await.whole(), blob.bytes);
    hub.next(Match::blob(&blob), Fault::Delay(Duration::from_millis(1)));
    assert_eq!(get(&hub, &target).reply().await.whole(), blob.bytes);
}

#[tokio::test]
async fn a_stall_lasts_until_the_registry_is_gone() {
    let (hub, blob, target) = hub_with_blob(10).await;
    hub.next(Match::blob(&blob), Fault::Stall);
    hub.next(Match::blob(&blob), Fault::StallAfter(3));
    let mut none = get(&hub, &target).open().await;
    assert_eq!(body_so_far(&mut none, 0).await, b"");
    let mut some = get(&hub, &target).open().await;
    assert_eq!(body_so_far(&mut some, 3).await, &blob.bytes[..3]);
    assert_eq!(
        some.try_read(&mut [0; 10]).unwrap_err().kind(),
        ErrorKind::WouldBlock
    );
    drop(hub);
    assert_eq!(none.read(&mut [0; 10]).await.unwrap(), 0);
    assert_eq!(some.read(&mut [0; 10]).await.unwrap(), 0);
}

#[tokio::test]
async fn failures_have_their_status_and_headers() {
    let (hub, _, target) = hub_with_blob(10).await;
    let given = Response::builder()
        .status(404)
        .header("content-type", "text/plain");
    let given = given
        .header("x", "1")
        .header("x", "2")
        .body(Bytes::from("nope"))
        .unwrap();
    for (fault, status, header, value) in [
        (Fault::Status(503), 503, "retry-after", None),
        (
            Fault::Throttle("soon".into()),
            429,
            "retry-after",
            Some("soon"),
        ),
        (Fault::Unauthorized(None), 401, "www-authenticate", None),
        (
            Fault::Unauthorized(Some("negotiate".into())),
            401,
            "www-authenticate",
            Some("negotiate"),
        ),
        (
            Fault::RedirectTo("/there".into()),
            307,
            "location",
            Some("/there"),
        ),
        (
            Fault::Redirect(302, "http://x/y?z".into()),
            302,
            "location",
            Some("http://x/y?z"),
        ),
        (Fault::Gzip, 200, "content-encoding", Some("gzip")),
        (
            Fault::ContentType("text/plain".into()),
            200,
            "content-type",
            Some("text/plain"),
        ),
        (
            Fault::Header("Set-Cookie".into(), "a=b".into()),
            200,
            "set-cookie",
            Some("a=b"),
        ),
        (Fault::NoDigestHeader, 200, "docker-content-digest", None),
        (
            Fault::Answer(given),
            404,
            "content-type",
            Some("text/plain"),
        ),
    ] {
        hub.next(Match::any(), fault.clone());
        let reply = get(&hub, &target).reply().await;
        assert_eq!(
            (reply.status, reply.header(header)),
            (status, value),
            "{fault:?}"
        );
        reply.whole();
    }
}

#[tokio::test]
async fn some_failures_are_not_seen_everywhere() {
    let (hub, _, target) = hub_with_blob(10).await;
    for status in [204, 206, 304] {
        hub.next(Match::any(), Fault::Status(status));
        assert_eq!(get(&hub, &target).reply().await.status, status, "unasked");
    }
    hub.next(Match::any(), Fault::Html);
    let reply = get(&hub, &target).reply().await;
    assert!(reply.status == 200 && reply.whole().starts_with(b"<!doctype html>"));
    hub.next(Match::any(), Fault::WrongDigestHeader);
    let reply = get(&hub, &target).reply().await;
    assert!(!target.ends_with(reply.header("docker-content-digest").unwrap()));
    hub.next(Match::any(), Fault::RefuseHead);
    assert_eq!(get(&hub, &target).reply().await.status, 200);
    assert_eq!(head(&hub, &target).reply().await.status, 405);
}

#[tokio::test]
async fn ranges_go_wrong() {
    let (hub, blob, target) = hub_with_blob(100).await;
    hub.next(Match::blob(&blob), Fault::IgnoreRange);
    hub.next(Match::blob(&blob), Fault::WrongContentRange);
    assert_eq!(get(&hub, &target).reply().await.status, 200);
    let reply = get(&hub, &target).with("Range", "bytes=10-").reply().await;
    assert_eq!((reply.status, reply.whole()), (200, &blob.bytes[..]));
    assert_eq!(reply.header("content-range"), None);
    let reply = get(&hub, &target)
        .with("Range", "bytes=10-19")
        .reply()
        .await;
    assert_eq!((reply.status, reply.whole()), (206, &blob.bytes[10..20]));
    assert_eq!(reply.header("content-range"), Some("bytes 11-20/101"));
}

#[tokio::test]
async fn redirects_lead_to_placed_content() {
    let (hub, blob, target) = hub_with_blob(100).await;
    let storage = FakeRegistry::start().await;
    storage.place("/signed", &blob);
    hub.next(
        Match::blob(&blob),
        Fault::RedirectTo(format!("{}/signed", storage.url())),
    );
    let location = get(&hub, &target)
        .reply()
        .await
        .header("location")
        .unwrap()
        .to_owned();
    assert_eq!(location, format!("{}/signed", storage.url()));
    let reply = get(&storage, "/signed?x=1")
        .with("Range", "bytes=1-2")
        .reply()
        .await;
    assert_eq!((reply.status, reply.whole()), (206, &blob.bytes[1..3]));
    assert_eq!(storage.count(Match::path("/signed").ranged()), 1);
    assert_eq!(storage.requests()[0].header("authorization"), None);
}

#[tokio::test]
async fn links_come_in_every_style() {
    let hub = FakeRegistry::builder().page_size(1).start().await;
    hub.image("a", "1", &[]);
    hub.image("a", "2", &[]);
    let next = "/v2/a/tags/list?n=1&last=1>; rel=\"next\"";
    for (link, said) in [
        (Link::Absolute, format!("<{}{next}", hub.url())),
        (
            Link::Foreign("http://evil.test".into()),
            format!("<http://evil.test{next}"),
        ),
        (Link::Relative, "<list?n=1&last=1>; rel=\"next\"".to_owned()),
        (
            Link::Endless,
            "</v2/a/tags/list?n=5>; rel=\"next\"".to_owned(),
        ),
    ] {
        hub.next(Match::tags("a"), Fault::Link(link));
        let reply = get(&hub, "/v2/a/tags/list?n=5").reply().await;
        assert_eq!(reply.header("link"), Some(&*said));
    }
}

#[tokio::test]
async fn a_registry_goes_down_and_comes_back() {
    let (hub, blob, target) = hub_with_blob(LARGE).await;
    let gate = Gate::new();
    hub.next(Match::blob(&blob), Fault::HoldAfter(10, gate));
    let mut flying = get(&hub, &target).open().await;
    body_so_far(&mut flying, 10).await;
    let mut idle = TcpStream::connect(hub.address()).await.unwrap();
    hub.down();
    assert_eq!(flying.read(&mut [0; 10]).await.unwrap(), 0);
    assert_eq!(idle.read(&mut [0; 10]).await.unwrap_or(0), 0);
    for _ in 0..3 {
        assert_eq!(get(&hub, &target).reply().await.status, 0);
    }
    assert_eq!(hub.count(Match::any()), 1);
    hub.up();
    assert_eq!(get(&hub, &target).reply().await.whole(), blob.bytes);
}

#[tokio::test]
async fn faults_happen_as_often_as_told_and_in_order() {
    let (hub, blob, target) = hub_with_blob(10).await;
    hub.next(Match::blob(&blob).get(), Fault::Status(500))
        .times(2);
    hub.next(Match::repository("a"), Fault::Status(502));
    hub.next(Match::manifest("a", "1"), Fault::Status(503))
        .optional();
    let mut statuses = Vec::new();
    for _ in 0..4 {
        statuses.push(get(&hub, &target).reply().await.status);
    }
    assert_eq!(statuses, [500, 500, 502, 200]);
}

#[tokio::test]
async fn a_fault_never_met_fails_the_test() {
    for script in [
        |hub: &FakeRegistry| hub.next(Match::any(), Fault::Stall),
        |hub: &FakeRegistry| hub.next(Match::any(), Fault::Stall).always(),
        |hub: &FakeRegistry| hub.next(Match::any(), Fault::Html).times(2),
    ] {
        let hub = FakeRegistry::start().await;
        script(&hub);
        assert_eq!(head(&hub, "/v2/").reply().await.status, 200);
        let dropped = catch_unwind(AssertUnwindSafe(|| drop(hub)));
        let said = *dropped.unwrap_err().downcast::<String>().unwrap();
        assert!(said.starts_with("faults never met:\n"), "{said}");
    }
}

#[tokio::test]
async fn a_panic_within_is_the_tests_panic() {
    let hub = FakeRegistry::builder()
        .on_answer(|_| panic!("from within"))
        .start()
        .await;
    assert_eq!(get(&hub, "/v2/").reply().await.status, 0);
    let dropped = catch_unwind(AssertUnwindSafe(|| drop(hub)));
    assert_eq!(
        *dropped.unwrap_err().downcast::<&str>().unwrap(),
        "from within"
    );
}
