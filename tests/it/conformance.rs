//! What the two conformance programs ask of a registry that they may only read.

use fake_registry::{Content, FakeRegistry, random_bytes};
use serde_json::json;

use crate::{
    listing::tags,
    mirror::{Mirror, failure},
    rows::{Rows, raw},
};

const NAME: &str = "library/nginx";
const SEED: u64 = 111;

/// `01_pull_test.go` of the conformance suite 1.1.1, with content that is there.
#[tokio::test]
async fn conformance_1_1_1_pull() {
    let hub = FakeRegistry::start().await;
    let image = hub.image(NAME, "tagtest0", &[random_bytes(100, SEED)]);
    let mirror = Mirror::of(&hub).start().await;
    let hello = Content::new("", "hello world").digest;
    let (manifest, blob) = (&image.manifest.digest, &image.layers[0].digest);
    let mut rows = Rows::default();
    let of = |rest: &str| format!("/v2/{NAME}/{rest}");
    for (row, target, status) in [
        (
            "HEAD/GET nonexistent blob",
            of(&format!("blobs/{hello}")),
            404,
        ),
        ("HEAD/GET existing blob", of(&format!("blobs/{blob}")), 200),
        (
            "nonexistent manifest",
            of("manifests/.INVALID_MANIFEST_NAME"),
            404,
        ),
        (
            "manifest by digest",
            of(&format!("manifests/{manifest}")),
            200,
        ),
        ("manifest by tag", of("manifests/tagtest0"), 200),
    ] {
        let head = mirror.head(&target).accepting_oci().reply().await;
        let get = mirror.get(&target).accepting_oci().reply().await;
        rows.same(row, (head.status, get.status), (status, status));
        if status == 200 {
            let digest = get.header("docker-content-digest").unwrap_or_default();
            rows.holds(row, digest == manifest || digest == blob, &digest);
            rows.same(row, head.header("docker-content-digest"), Some(digest));
        } else {
            rows.holds(row, get.json()["errors"].is_array(), &get);
        }
    }
    let body = Content::new("", "{}").bytes;
    let request = format!(
        "GET {} HTTP/1.1\r\nHost: m\r\nContent-Length: {}\r\n\r\n{{}}",
        of("manifests/sha256:totallywrong"),
        body.len()
    );
    let reply = raw(&mirror, request).await;
    rows.same("400 response body", failure(&reply).0, 400);
    rows.same("GET /v2/", mirror.get("/v2/").reply().await.status, 200);
}

/// What main's program asks of a registry that it may only read.
#[tokio::test]
async fn conformance_main_read_only() {
    let hub = FakeRegistry::start().await;
    let image = hub.image(NAME, "a", &[random_bytes(100, SEED)]);
    hub.tag(NAME, "b", &image.manifest.digest);
    hub.attach(NAME, &image.manifest, "text/sbom", "a");
    let mirror = Mirror::of(&hub).start().await;
    let mut rows = Rows::default();
    let missing = Content::new("", "content that does not exist").digest;
    let list = mirror.get(&format!("/v2/{NAME}/tags/list")).reply().await;
    rows.same(
        "tag list",
        list.json(),
        json!({"name": NAME, "tags": ["a", "b"]}),
    );
    let list = mirror
        .get(&format!("/v2/{NAME}/tags/list?last=a"))
        .reply()
        .await;
    rows.same("last", tags(&list), vec!["b".to_owned()]);
    let digest = &image.manifest.digest;
    for (target, status) in [
        ("manifests/a".to_owned(), 200),
        ("manifests/b".to_owned(), 200),
        (format!("manifests/{digest}"), 200),
        (format!("blobs/{}", image.config.digest), 200),
        (format!("blobs/{}", image.layers[0].digest), 200),
        (format!("manifests/{missing}"), 404),
        ("manifests/no-such-tag".to_owned(), 404),
        (format!("blobs/{missing}"), 404),
        ("blobs/sha256:baddigeststring".to_owned(), 400),
        ("manifests/sha256:baddigeststring".to_owned(), 400),
        (format!("referrers/{digest}"), 200),
        (format!("referrers/{missing}"), 200),
        ("referrers/sha256:baddigeststring".to_owned(), 400),
    ] {
        for ask in [
            mirror.head(&format!("/v2/{NAME}/{target}")),
            mirror.get(&format!("/v2/{NAME}/{target}")),
        ] {
            rows.same(&target, ask.reply().await.status, status);
        }
    }
    let empty = mirror
        .get(&format!("/v2/{NAME}/referrers/{missing}"))
        .reply()
        .await;
    rows.same(
        "random subject",
        empty.json()["manifests"].clone(),
        json!([]),
    );
}
