//! Q16 to Q24: redirects of registries to storage.

use std::collections::BTreeSet;

use bytes::Bytes;
use fake_registry::{Content, FakeRegistry, Fault, KIB, MIB, Match, random_bytes};

use futures_util::future::join_all;

use crate::mirror::{Mirror, PASSWORD, failure};

const REPOSITORY: &str = "library/nginx";

async fn private_hub() -> FakeRegistry {
    let hub = FakeRegistry::builder().basic("robot", PASSWORD);
    hub.start().await
}

/// A storage host that holds the blob at `/signed`, and that address.
async fn storage(blob: &Content) -> (FakeRegistry, String) {
    let cdn = FakeRegistry::start().await;
    cdn.place("/signed", blob);
    let url = format!("{}/signed?signature=canary", cdn.url());
    (cdn, url)
}

fn blob(hub: &FakeRegistry, size: usize) -> Content {
    hub.blob(REPOSITORY, random_bytes(size, 1))
}

async fn whole(mirror: &Mirror, blob: &Content, what: &str) {
    let reply = mirror.blob(REPOSITORY, blob).reply().await;
    assert_eq!(
        (reply.status, reply.header("location")),
        (200, None),
        "{what}"
    );
    assert!(reply.whole() == blob.bytes, "{what}");
}

#[tokio::test]
async fn q16_a_signed_address_elsewhere_is_asked_without_the_login() {
    let scenes = [301, 302, 303, 307, 308].map(|status| async move {
        let hub = private_hub().await;
        let blob = blob(&hub, 1000);
        let (cdn, url) = storage(&blob).await;
        hub.next(Match::blob(&blob), Fault::Redirect(status, url));
        let mirror = Mirror::logging_in(&hub, "").start().await;
        whole(&mirror, &blob, &status.to_string()).await;
        let asked = cdn.requests();
        assert_eq!(asked.len(), 1);
        assert_eq!(asked[0].header("authorization"), None);
        assert_eq!(asked[0].query.as_deref(), Some("signature=canary"));
    });
    join_all(scenes).await;
}

#[tokio::test]
async fn t07_a_redirect_to_another_host_goes_without_the_login() {
    let hub = private_hub().await;
    let layer = blob(&hub, 5 * MIB);
    let (cdn, signed) = storage(&layer).await;
    hub.next(Match::blob(&layer), Fault::RedirectTo(signed))
        .always();
    let mirror = Mirror::logging_in(&hub, "").start().await;
    // The first request is refused with a challenge, which is then known.
    mirror.manifest(REPOSITORY, "1").reply().await;
    // F09: an address that was given before the break is not used after it.
    cdn.next(Match::any(), Fault::CutAfter(2 * MIB));
    whole(&mirror, &layer, "").await;
    assert_eq!(cdn.count(Match::any()), 2);
    assert_eq!(hub.count(Match::blob(&layer)), 2);
    for request in cdn.requests() {
        assert_eq!(request.header("authorization"), None);
    }
    let logs_in = |one: &fake_registry::Recorded| one.header("authorization").is_some();
    assert!(hub.requests().iter().any(logs_in));
}

#[tokio::test]
async fn q17_a_relative_address_is_the_upstreams_own_and_never_relayed() {
    for location in [
        "/artifacts-downloads/x",
        "../../../../artifacts-downloads/x",
    ] {
        let hub = private_hub().await;
        let blob = blob(&hub, 1000);
        hub.place("/artifacts-downloads/x", &blob);
        let to = Fault::Redirect(302, location.into());
        hub.next(Match::blob(&blob), to);
        let mirror = Mirror::logging_in(&hub, "").start().await;
        whole(&mirror, &blob, location).await;
        let asked = hub.asked(Match::path("/artifacts-downloads/x"));
        let last = asked.last().unwrap();
        assert!(last.header("authorization").is_some(), "the same origin");
    }
}

#[tokio::test]
async fn q18_a_redirect_is_never_believed_twice_whatever_it_says() {
    let hub = FakeRegistry::start().await;
    let blob = blob(&hub, 2 * MIB);
    let (cdn, url) = storage(&blob).await;
    let redirect = http::Response::builder()
        .status(302)
        .header("location", url)
        .header("cache-control", "public, max-age=31536000");
    let redirect = Fault::Answer(redirect.body(Bytes::new()).unwrap());
    hub.next(Match::blob(&blob), redirect).always();
    cdn.next(Match::any().get(), Fault::CutAfter(MIB));
    let mirror = Mirror::of(&hub).start().await;
    let target = format!("/v2/{REPOSITORY}/blobs/{}?ns=docker.io", blob.digest);
    assert_eq!(mirror.head(&target).reply().await.status, 200);
    whole(&mirror, &blob, "").await;
    assert_eq!(hub.count(Match::blobs()), cdn.count(Match::any()));
    assert_eq!(hub.count(Match::blobs().get()), 2);
}

#[tokio::test]
async fn q19_an_address_that_expired_in_the_middle_is_asked_for_again() {
    let hub = FakeRegistry::start().await;
    let blob = blob(&hub, 2 * MIB);
    let cdn = FakeRegistry::start().await;
    for (path, times) in [("/first", 2), ("/second", 1)] {
        cdn.place(path, &blob);
        let to = Fault::RedirectTo(format!("{}{path}", cdn.url()));
        hub.next(Match::blob(&blob), to).times(times);
    }
    cdn.next(Match::path("/first"), Fault::CutAfter(MIB));
    cdn.next(Match::path("/first"), Fault::Status(403));
    let mirror = Mirror::of(&hub).start().await;
    whole(&mirror, &blob, "").await;
    let asked = cdn.requests();
    let second = asked.last().unwrap();
    assert_eq!(second.path, "/second");
    assert_eq!(second.range.as_deref(), Some("bytes=1048576-"));
    assert_eq!(asked.len(), 3);
}

#[tokio::test]
async fn q20_a_signed_address_that_refuses_head_tells_its_size_by_get() {
    let hub = FakeRegistry::start().await;
    let blob = blob(&hub, MIB);
    let (cdn, url) = storage(&blob).await;
    let to = Fault::RedirectTo(url);
    hub.next(Match::blob(&blob), to).always();
    cdn.next(Match::any().head(), Fault::Status(403)).always();
    let mirror = Mirror::of(&hub).start().await;
    let target = format!("/v2/{REPOSITORY}/blobs/{}?ns=docker.io", blob.digest);
    let head = mirror.head(&target).reply().await;
    let length = head.header("content-length");
    assert_eq!((head.status, length), (200, Some("1048576")));
    assert!(cdn.bytes_sent() <= 128 * KIB);
    whole(&mirror, &blob, "").await;
}

#[tokio::test]
async fn q21_manifests_are_redirected_to_another_path_of_another_host() {
    let (front, back) = (FakeRegistry::start().await, FakeRegistry::start().await);
    let image = back.image("images/nginx", "1", &[random_bytes(1000, 1)]);
    let rewritten = |reference: &str| {
        let url = format!("{}/v2/images/nginx/manifests/{reference}", back.url());
        Fault::RedirectTo(url)
    };
    let digest = &image.manifest.digest;
    for reference in ["1", digest.as_str()] {
        let which = Match::manifest(REPOSITORY, reference);
        front.next(which, rewritten(reference)).always().optional();
    }
    let (_storage, url) = storage(&image.layers[0]).await;
    let to = Fault::RedirectTo(url);
    front.next(Match::blob(&image.layers[0]), to);
    front.next(Match::tags(REPOSITORY), Fault::Status(404));
    let mirror = Mirror::of(&front).start().await;
    mirror.pulls(REPOSITORY, "1", &image, "").await;
    let reply = mirror.manifest(REPOSITORY, digest).reply().await;
    assert_eq!(reply.whole(), image.manifest.bytes);
    let list = format!("/v2/{REPOSITORY}/tags/list?ns=docker.io");
    assert_eq!(mirror.get(&list).reply().await.status, 404);
    assert!(back.requests().iter().all(|one| one.query.is_none()));
}

#[tokio::test]
async fn q22_each_of_two_cdns_gets_its_own_signature_only() {
    let hub = FakeRegistry::start().await;
    let blob = blob(&hub, 2 * MIB);
    let (one, other) = (FakeRegistry::start().await, FakeRegistry::start().await);
    for (cdn, signature) in [(&one, "one"), (&other, "other")] {
        cdn.place("/data", &blob);
        let url = format!("{}/data?signature={signature}", cdn.url());
        hub.next(Match::blob(&blob), Fault::RedirectTo(url));
    }
    one.next(Match::any(), Fault::CutAfter(MIB));
    let mirror = Mirror::of(&hub).start().await;
    whole(&mirror, &blob, "").await;
    for (cdn, signature) in [(&one, "signature=one"), (&other, "signature=other")] {
        let asked: BTreeSet<_> = cdn.requests().into_iter().map(|one| one.query).collect();
        assert_eq!(asked, BTreeSet::from([Some(signature.to_owned())]));
    }
}

#[tokio::test]
async fn b092_q23_loops_and_long_chains_are_502_whatever_their_status() {
    for status in [301, 302, 303, 307, 308] {
        let hub = FakeRegistry::start().await;
        let (looping, chained) = (hub.blob(REPOSITORY, "a"), hub.blob(REPOSITORY, "b"));
        let to = |path: &str| Fault::Redirect(status, path.to_owned());
        hub.next(Match::blob(&looping), to("/loop"));
        hub.next(Match::path("/loop"), to("/loop")).always();
        hub.next(Match::blob(&chained), to("/1"));
        for hop in 1..=5 {
            let (path, next) = (format!("/{hop}"), format!("/{}", hop + 1));
            hub.next(Match::path(&path), to(&next));
        }
        hub.place("/6", &chained);
        let mirror = Mirror::of(&hub).start().await;
        for blob in [&looping, &chained] {
            let reply = mirror.blob(REPOSITORY, blob).reply().await;
            assert_eq!(failure(&reply), (502, "UNAVAILABLE".into()), "{status}");
        }
        assert_eq!(hub.count(Match::path("/loop")), 5);
        assert_eq!(hub.count(Match::path("/6")), 0);
    }
}

#[tokio::test]
async fn b093_q23_a_redirect_must_lead_to_a_plain_web_address() {
    let locations = [
        "file:///etc/passwd",
        "data:,x",
        "gopher://127.0.0.1/",
        "http://user:password@127.0.0.1/",
        "http://user@127.0.0.1/",
        "http://",
        "http://[::1",
    ];
    none_of_them(&locations).await;
    let hub = FakeRegistry::start().await;
    let blob = blob(&hub, 10);
    hub.next(Match::blob(&blob), Fault::Status(307));
    let mirror = Mirror::of(&hub).start().await;
    let reply = mirror.blob(REPOSITORY, &blob).reply().await;
    assert_eq!(failure(&reply), (502, "UNAVAILABLE".into()), "no Location");
}

/// None of these targets is asked; each comes to 502.
async fn none_of_them(locations: &[&str]) {
    let hub = FakeRegistry::start().await;
    let mirror = Mirror::of(&hub).start().await;
    for &location in locations {
        let blob = hub.blob(REPOSITORY, location.as_bytes().to_vec());
        let to = Fault::RedirectTo(location.into());
        hub.next(Match::blob(&blob), to);
        let reply = mirror.blob(REPOSITORY, &blob).reply().await;
        assert_eq!(failure(&reply), (502, "UNAVAILABLE".into()), "{location}");
    }
}

#[tokio::test]
async fn b094_q23_no_redirect_leads_to_metadata_or_link_local_addresses() {
    let hosts = [
        "169.254.169.254",
        "169.254.1.1",
        "[fe80::1]",
        "[::ffff:169.254.169.254]",
        "[::ffff:a9fe:a9fe]",
        "2852039166",
        "0xa9fea9fe",
        "0251.0376.0251.0376",
        "100.100.100.200",
        "168.63.129.16",
        "[fd00:ec2::254]",
        "0.0.0.0",
        "224.0.0.1",
    ];
    let locations = hosts.map(|host| format!("http://{host}/latest/meta-data"));
    none_of_them(&locations.each_ref().map(String::as_str)).await;
}

#[tokio::test]
async fn q24_data_may_come_from_a_host_of_another_name() {
    let hub = private_hub().await;
    let blob = blob(&hub, MIB);
    let (cdn, _) = storage(&blob).await;
    let url = format!("http://localhost:{}/signed", cdn.address().port());
    hub.next(Match::blob(&blob), Fault::RedirectTo(url));
    let mirror = Mirror::logging_in(&hub, "").start().await;
    whole(&mirror, &blob, "").await;
    let asked = &cdn.requests()[0];
    assert_eq!(asked.header("authorization"), None);
    assert!(asked.header("host").unwrap().starts_with("localhost:"));
}
