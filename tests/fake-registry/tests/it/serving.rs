//! Without a fault it is a correct registry.

use fake_registry::{Content, FakeRegistry, KIB, MIB, Match, media_type, random_bytes};
use serde_json::json;

use crate::client::{ask, get, head};

const SEED: u64 = 11;

#[tokio::test]
async fn a_whole_image_can_be_pulled() {
    let hub = FakeRegistry::start().await;
    let image = hub.image(
        "library/nginx",
        "1.25",
        &[random_bytes(MIB, SEED), random_bytes(10, SEED)],
    );

    assert_eq!(get(&hub, "/v2/").reply().await.status, 200);
    for reference in ["1.25", &image.manifest.digest] {
        let target = format!("/v2/library/nginx/manifests/{reference}");
        let reply = get(&hub, &target).accepting_oci().reply().await;
        assert_eq!(reply.whole(), image.manifest.bytes);
        assert_eq!(reply.header("content-type"), Some(media_type::MANIFEST));
        assert_eq!(
            reply.header("docker-content-digest"),
            Some(&*image.manifest.digest)
        );

        let reply = head(&hub, &target).accepting_oci().reply().await;
        assert_eq!((reply.status, reply.body.len()), (200, 0));
        let length = image.manifest.size().to_string();
        assert_eq!(reply.header("content-length"), Some(&*length));
        assert_eq!(
            reply.header("docker-content-digest"),
            Some(&*image.manifest.digest)
        );
    }
    for blob in image.layers.iter().chain([&image.config]) {
        let reply = get(&hub, &format!("/v2/library/nginx/blobs/{}", blob.digest))
            .reply()
            .await;
        assert_eq!(reply.whole(), blob.bytes);
    }
    let layer = &image.layers[0];
    assert_eq!(hub.served(layer).requests(), 1);
    assert_eq!(hub.served(layer).bytes(), MIB);
    assert_eq!(hub.count(Match::manifests().head()), 2);
    assert!(hub.bytes_sent() > MIB);
}

#[tokio::test]
async fn blobs_come_in_ranges() {
    let hub = FakeRegistry::start().await;
    let blob = hub.blob("a/b", random_bytes(100 * KIB, SEED));
    let target = format!("/v2/a/b/blobs/{}", blob.digest);

    let reply = get(&hub, &target)
        .with("Range", "bytes=1000-70000")
        .reply()
        .await;
    assert_eq!(
        (reply.status, reply.whole()),
        (206, &blob.bytes[1000..=70_000])
    );
    assert_eq!(
        reply.header("content-range"),
        Some("bytes 1000-70000/102400")
    );

    let reply = get(&hub, &target)
        .with("Range", "bytes=102400-")
        .reply()
        .await;
    assert_eq!(
        (reply.status, reply.header("content-range")),
        (416, Some("bytes */102400"))
    );

    let reply = head(&hub, &target).with("Range", "bytes=5-").reply().await;
    assert_eq!(
        (reply.status, reply.header("content-length")),
        (200, Some("102400"))
    );
    assert_eq!(
        hub.served(&blob).ranges(),
        [Some("bytes=1000-70000"), Some("bytes=102400-")]
    );
    assert_eq!(hub.served(&blob).gets(), 2);
}

#[tokio::test]
async fn sha512_and_lying_digests_are_kept_as_told() {
    let hub = FakeRegistry::start().await;
    let strong = Content::sha512(media_type::OCTETS, "strong");
    hub.put_blob("a", &strong);
    let lie = Content {
        bytes: "lie".into(),
        ..Content::new(media_type::OCTETS, "truth")
    };
    hub.put_blob("a", &lie);
    for blob in [strong, lie] {
        let reply = get(&hub, &format!("/v2/a/blobs/{}", blob.digest))
            .reply()
            .await;
        assert_eq!(reply.whole(), blob.bytes);
    }
}

#[tokio::test]
async fn a_manifest_of_a_type_not_accepted_does_not_exist() {
    let hub = FakeRegistry::start().await;
    let image = hub.image("a", "1", &[]);
    let index = hub.index("a", "all", &[&image]);
    let docker = hub.manifest("a", Some("docker"), media_type::DOCKER_MANIFEST, "{}");
    for (tag, accept, status) in [
        (
            "1",
            "application/vnd.oci.image.manifest.v1+json;q=0.5, x/y",
            200,
        ),
        ("1", media_type::DOCKER_MANIFEST, 404),
        ("1", "*/*", 404),
        ("all", media_type::INDEX, 200),
        ("all", media_type::MANIFEST, 404),
        ("docker", media_type::DOCKER_MANIFEST, 200),
        (&*docker.digest, media_type::INDEX, 404),
        (&*index.digest, media_type::INDEX, 200),
        ("absent", media_type::INDEX, 404),
    ] {
        let target = format!("/v2/a/manifests/{tag}");
        let reply = get(&hub, &target).with("Accept", accept).reply().await;
        assert_eq!(reply.status, status, "{tag} for {accept}");
        if status == 404 {
            assert_eq!(reply.json()["errors"][0]["code"], "MANIFEST_UNKNOWN");
        }
    }
    assert_eq!(get(&hub, "/v2/a/manifests/1").reply().await.status, 404);
}

#[tokio::test]
async fn unknown_things_are_json_errors() {
    let hub = FakeRegistry::start().await;
    let blob = hub.blob("a", "here");
    hub.tag("a", "dangling", &blob.digest);
    let target = format!("/v2/a/blobs/{}", blob.digest);
    for (method, target, status, code) in [
        ("GET", "/v2/a/blobs/sha256:0", 404, "BLOB_UNKNOWN"),
        ("GET", "/v2/b/blobs/sha256:0", 404, "NAME_UNKNOWN"),
        ("GET", "/v2/a/manifests/dangling", 404, "MANIFEST_UNKNOWN"),
        ("GET", "/v2/_catalog", 404, "UNSUPPORTED"),
        ("GET", "/token", 404, "UNSUPPORTED"),
        ("DELETE", &target, 405, "UNSUPPORTED"),
        ("POST", "/v2/a/blobs/uploads/", 405, "UNSUPPORTED"),
    ] {
        let reply = ask(&hub, method, target).reply().await;
        assert_eq!(reply.status, status, "{target}");
        assert_eq!(reply.json()["errors"][0]["code"], code, "{target}");
    }
    hub.remove_blob("a", &blob.digest);
    assert_eq!(get(&hub, &target).reply().await.status, 404);
}

#[tokio::test]
async fn tags_are_listed_in_pages() {
    let hub = FakeRegistry::builder().page_size(2).start().await;
    for tag in ["c", "a", "e", "d", "b"] {
        hub.image("lib/x", tag, &[]);
    }
    hub.untag("lib/x", "e");
    let next = "</v2/lib/x/tags/list?n=2&last=b>; rel=\"next\"";
    for (query, tags, link) in [
        ("", json!(["a", "b"]), Some(next)),
        ("?n=100", json!(["a", "b"]), Some(next)),
        ("?n=2&last=b", json!(["c", "d"]), None),
        ("?n=1&last=c", json!(["d"]), None),
        ("?n=0", json!([]), None),
    ] {
        let reply = get(&hub, &format!("/v2/lib/x/tags/list{query}"))
            .reply()
            .await;
        assert_eq!(
            reply.json(),
            json!({ "name": "lib/x", "tags": tags }),
            "{query}"
        );
        assert_eq!(reply.header("link"), link, "{query}");
    }
}

#[tokio::test]
async fn referrers_are_listed_and_filtered() {
    let hub = FakeRegistry::start().await;
    let image = hub.image("a", "1", &[]);
    let signature = hub.attach("a", &image.manifest, "test/signature", "signed");
    hub.attach("a", &image.manifest, "test/sbom", "list");
    let target = format!("/v2/a/referrers/{}", image.manifest.digest);

    let all = get(&hub, &target).reply().await;
    assert_eq!(all.header("content-type"), Some(media_type::INDEX));
    assert_eq!(all.json()["manifests"].as_array().unwrap().len(), 2);

    let some = get(&hub, &format!("{target}?artifactType=test%2Fsignature"))
        .reply()
        .await;
    let manifests = some.json()["manifests"].as_array().unwrap().clone();
    assert_eq!(some.header("oci-filters-applied"), Some("artifacttype"));
    assert_eq!(manifests.len(), 1);
    assert_eq!(manifests[0]["digest"], signature.manifest.digest);
    assert_eq!(manifests[0]["artifactType"], "test/signature");

    let none = get(&hub, "/v2/a/referrers/sha256:0").reply().await;
    assert_eq!(none.json()["manifests"], json!([]));
}

#[tokio::test]
async fn an_old_registry_has_no_referrers() {
    let hub = FakeRegistry::builder().no_referrers().start().await;
    let image = hub.image("a", "1", &[]);
    let target = format!("/v2/a/referrers/{}", image.manifest.digest);
    let reply = get(&hub, &target).reply().await;
    assert_eq!(
        (reply.status, reply.header("content-type")),
        (404, Some("text/plain"))
    );
}
