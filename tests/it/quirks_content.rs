//! Q25 to Q38: how registries describe content. Q26, Q27, Q30, Q35, Q36 and Q38 are in `failures`,
//! `blobs`, `tags`, `listing` and `resume`.

use bytes::Bytes;
use fake_registry::{FakeRegistry, Fault, MIB, Match, random_bytes};

use futures_util::future::join_all;

use crate::{
    mirror::{Mirror, failure},
    nginx::{REPOSITORY, image, started, tag},
};

/// An error in words of its own.
fn error(status: u16, kind: &str, body: &'static str) -> Fault {
    let answer = http::Response::builder()
        .status(status)
        .header("content-type", kind);
    Fault::Answer(answer.body(Bytes::from_static(body.as_bytes())).unwrap())
}

#[tokio::test]
async fn q25_a_digest_that_upstream_does_not_say_is_said_by_us() {
    for which in [
        Match::manifests(),
        Match::manifests().get(),
        Match::manifests().head(),
    ] {
        let hub = FakeRegistry::start().await;
        let image = image(&hub);
        hub.next(which, Fault::NoDigestHeader).always();
        let mirror = started(&hub).await;
        let head = mirror.head("/v2/library/nginx/manifests/1?ns=docker.io");
        for reply in [head.reply().await, tag(&mirror).await] {
            assert_eq!(reply.status, 200);
            let digest = reply.header("docker-content-digest");
            assert_eq!(digest, Some(image.manifest.digest.as_str()));
        }
    }
}

#[tokio::test]
async fn q28_every_client_gets_a_manifest_that_is_hidden_from_those_who_do_not_accept_it() {
    let hub = FakeRegistry::start().await;
    let image = image(&hub);
    let mirror = started(&hub).await;
    for accept in [
        "application/vnd.docker.distribution.manifest.v2+json",
        "*/*",
        "application/vnd.oci.image.manifest.v1+json",
    ] {
        let reply = mirror.manifest(REPOSITORY, "1").with("Accept", accept);
        assert_eq!(
            reply.reply().await.whole(),
            image.manifest.bytes,
            "{accept}"
        );
    }
    assert_eq!(
        tag(&mirror).await.whole(),
        image.manifest.bytes,
        "no Accept"
    );
    for asked in hub.asked(Match::manifests()) {
        let lines = asked.headers.get_all("accept").iter();
        let accept: Vec<_> = lines.map(|line| line.to_str().unwrap()).collect();
        let accept = accept.join(",");
        for kind in [
            "application/vnd.oci.image.index.v1+json",
            "application/vnd.oci.image.manifest.v1+json",
            "application/vnd.docker.distribution.manifest.list.v2+json",
            "application/vnd.docker.distribution.manifest.v2+json",
        ] {
            assert!(accept.contains(kind), "{accept}");
        }
    }
}

#[tokio::test]
async fn q29_nothing_encoded_is_asked_for_or_taken_for_content() {
    let hub = FakeRegistry::start().await;
    let image = image(&hub);
    hub.next(Match::manifests().get(), Fault::Gzip);
    hub.next(Match::blobs().get(), Fault::Gzip);
    let mirror = started(&hub).await;
    mirror.pulls(REPOSITORY, "1", &image, "").await;
    for asked in hub.requests() {
        let encoding = asked.header("accept-encoding");
        assert!(matches!(encoding, None | Some("identity")), "{encoding:?}");
    }
}

#[tokio::test]
async fn q31_a_blob_whose_head_is_401_is_had_by_get() {
    for refusal in [
        Fault::Unauthorized(None),
        Fault::Unauthorized(Some("Basic realm=\"x\"".into())),
    ] {
        let hub = FakeRegistry::start().await;
        let image = image(&hub);
        let layer = &image.layers[0];
        hub.next(Match::blobs().head(), refusal).always();
        let mirror = started(&hub).await;
        let target = format!("/v2/{REPOSITORY}/blobs/{}?ns=docker.io", layer.digest);
        let head = mirror.head(&target).reply().await;
        let length = head.header("content-length");
        assert_eq!((head.status, length), (200, Some("1000")));
        mirror.pulls(REPOSITORY, "1", &image, "").await;
    }
}

#[tokio::test]
async fn q32_a_status_counts_and_not_the_code_in_the_body() {
    let body = r#"{"errors":[{"code":"UNKNOWN","message":"Not Found"}]}"#;
    for (status, want) in [
        (404, (404, "MANIFEST_UNKNOWN")),
        (500, (503, "UNAVAILABLE")),
    ] {
        let hub = FakeRegistry::start().await;
        let says = error(status, "application/json", body);
        hub.next(Match::any(), says).always();
        let mirror = started(&hub).await;
        let (status, code) = failure(&tag(&mirror).await);
        assert_eq!((status, code.as_str()), want);
    }
}

#[tokio::test]
async fn q33_errors_in_no_shape_at_all_are_errors_in_ours() {
    let page = "<html>nginx</html>";
    let old = r#"{"details":"You have reached your pull rate limit."}"#;
    let scenes = [
        (error(404, "text/html", page), (404, "MANIFEST_UNKNOWN")),
        (
            error(404, "text/plain", "404 page"),
            (404, "MANIFEST_UNKNOWN"),
        ),
        (
            error(404, "application/json", ""),
            (404, "MANIFEST_UNKNOWN"),
        ),
        (error(503, "text/html", page), (503, "UNAVAILABLE")),
        (error(403, "text/html", page), (403, "DENIED")),
        (error(429, "application/json", old), (503, "UNAVAILABLE")),
    ]
    .map(|(says, want)| async move {
        let hub = FakeRegistry::start().await;
        let text = format!("{says:?}");
        hub.next(Match::any(), says).always();
        let mirror = Mirror::of(&hub).config("[timeouts]\nmanifest = \"300ms\"");
        let mirror = mirror.start().await;
        let reply = tag(&mirror).await;
        let (status, code) = failure(&reply);
        assert_eq!((status, code.as_str()), want, "{text}");
        let body = String::from_utf8_lossy(&reply.body);
        assert!(
            !body.contains("nginx") && !body.contains("reached"),
            "{body}"
        );
    });
    join_all(scenes).await;
}

#[tokio::test]
async fn q34_a_page_for_every_path_is_no_registry() {
    let hub = FakeRegistry::start().await;
    let image = image(&hub);
    hub.next(Match::any(), Fault::Html).always();
    let mirror = started(&hub).await;
    let digest = &image.manifest.digest;
    for target in [
        format!("/v2/{REPOSITORY}/manifests/1"),
        format!("/v2/{REPOSITORY}/manifests/{digest}"),
        format!("/v2/{REPOSITORY}/blobs/{}", image.config.digest),
        format!("/v2/{REPOSITORY}/tags/list"),
        format!("/v2/{REPOSITORY}/referrers/{digest}"),
    ] {
        let reply = mirror.get(&format!("{target}?ns=docker.io")).reply().await;
        assert_eq!(failure(&reply), (502, "UNAVAILABLE".into()), "{target}");
    }
}

#[tokio::test]
async fn q37_an_upstream_is_asked_for_single_ranges_only() {
    let hub = FakeRegistry::start().await;
    let layer = hub.blob(REPOSITORY, random_bytes(6 * MIB, 1));
    hub.next(Match::blob(&layer), Fault::CutAfter(MIB));
    let mirror = started(&hub).await;
    let asked = mirror.blob(REPOSITORY, &layer);
    let reply = asked.with("Range", "bytes=0-9,2000000-2000009").reply();
    let reply = reply.await;
    assert_eq!(reply.status, 206);
    assert!(
        reply
            .header("content-type")
            .unwrap()
            .starts_with("multipart/byteranges")
    );
    for part in [&layer.bytes[..10], &layer.bytes[2_000_000..2_000_010]] {
        assert!(reply.body.windows(10).any(|ten| ten == part));
    }
    mirror.keeps(1).await;
    let served = hub.served(&layer);
    assert_eq!(served.ranges(), [None, Some("bytes=1048576-")]);
}
