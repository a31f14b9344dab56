//! Offline: stored content is served, all else is 404 at once, and no upstream is contacted.

use fake_registry::{FakeRegistry, Image, KIB, MIB, Match, random_bytes};

use crate::{
    mirror::{Mirror, failure},
    site::{manifest_of, route, two, upstream},
};

const REPOSITORY: &str = "library/nginx";
const OFFLINE: &str = "[freshness]\noffline = true\ntag_stale_max = \"0s\"";

fn image(hub: &FakeRegistry, tag: &str, seed: u64) -> Image {
    let layers = [
        random_bytes(10 * KIB, seed),
        random_bytes(5 * MIB, seed + 100),
    ];
    hub.image(REPOSITORY, tag, &layers)
}

/// Pulls an image whole.
async fn pull(mirror: &Mirror, tag: &str, image: &Image) {
    let reply = mirror.manifest(REPOSITORY, tag).reply().await;
    assert_eq!(reply.whole(), image.manifest.bytes);
    for blob in image.layers.iter().chain([&image.config]) {
        let reply = mirror.blob(REPOSITORY, blob).reply().await;
        assert!(reply.whole() == blob.bytes);
    }
}

#[tokio::test]
async fn f11_f13_all_that_is_kept_is_served_with_no_upstream_at_all() {
    let hub = FakeRegistry::start().await;
    let images = [image(&hub, "1", 1), image(&hub, "2", 2)];
    let unpulled = image(&hub, "3", 3);
    let mirror = Mirror::of(&hub).start().await;
    pull(&mirror, "1", &images[0]).await;
    pull(&mirror, "2", &images[1]).await;
    mirror.keeps(6).await;
    let mirror = mirror.stop().await.config(OFFLINE).start().await;
    let asked = hub.count(Match::any());
    pull(&mirror, "1", &images[0]).await;
    pull(&mirror, "2", &images[1]).await;
    let reply = mirror
        .manifest(REPOSITORY, &images[0].manifest.digest)
        .reply()
        .await;
    assert_eq!(reply.whole(), images[0].manifest.bytes);
    for reference in ["3", &unpulled.manifest.digest] {
        let reply = mirror.manifest(REPOSITORY, reference).reply().await;
        assert_eq!(failure(&reply), (404, "MANIFEST_UNKNOWN".into()));
    }
    let blob = &unpulled.layers[0];
    let reply = mirror.blob(REPOSITORY, blob).reply().await;
    assert_eq!(failure(&reply), (404, "BLOB_UNKNOWN".into()));
    let target = format!("/v2/{REPOSITORY}/blobs/{}?ns=docker.io", blob.digest);
    assert_eq!(mirror.head(&target).reply().await.status, 404);
    assert_eq!(hub.count(Match::any()), asked);
}

#[tokio::test]
async fn offline_lists_are_made_of_what_is_kept() {
    let hub = FakeRegistry::start().await;
    let images = [image(&hub, "b", 1), image(&hub, "a", 2)];
    image(&hub, "unpulled", 3);
    let subject = &images[0].manifest;
    let signature = hub.attach(REPOSITORY, subject, "x/signature", "signed");
    let report = hub.attach(REPOSITORY, subject, "x/report", "scanned");
    let mirror = Mirror::of(&hub).start().await;
    for (tag, image) in ["b", "a"].iter().zip(&images) {
        pull(&mirror, tag, image).await;
    }
    for artifact in [&signature, &report] {
        let reply = mirror
            .manifest(REPOSITORY, &artifact.manifest.digest)
            .reply()
            .await;
        assert_eq!(reply.status, 200);
    }
    let mirror = mirror.stop().await.config(OFFLINE).start().await;
    let asked = hub.count(Match::any());
    let get = async |target: &str| {
        let target = format!("/v2/{REPOSITORY}/{target}");
        mirror.get(&target).reply().await
    };
    let tags = get("tags/list?ns=docker.io").await.json();
    assert_eq!(
        tags,
        serde_json::json!({"name": REPOSITORY, "tags": ["a", "b"]})
    );
    let page = get("tags/list?ns=docker.io&n=1").await;
    assert_eq!(page.json()["tags"], serde_json::json!(["a"]));
    assert!(page.header("link").is_some());
    let found = get(&format!("referrers/{}?ns=docker.io", subject.digest))
        .await
        .json();
    assert_eq!(found["manifests"].as_array().unwrap().len(), 2);
    let target = format!(
        "referrers/{}?ns=docker.io&artifactType=x/report",
        subject.digest
    );
    let found = get(&target).await.json();
    assert_eq!(found["manifests"][0]["digest"], report.manifest.digest);
    assert_eq!(found["manifests"].as_array().unwrap().len(), 1);
    let none = get(&format!(
        "referrers/{}?ns=docker.io",
        images[1].manifest.digest
    ))
    .await;
    assert_eq!(
        none.json()["manifests"],
        serde_json::json!([]),
        "kept, and none refers to it"
    );
    let unknown = get(&format!(
        "referrers/{}?ns=docker.io",
        images[0].config.digest
    ))
    .await;
    assert_eq!(failure(&unknown), (404, "UNSUPPORTED".into()));
    assert_eq!(hub.count(Match::any()), asked);
}

#[tokio::test]
async fn an_empty_offline_mirror_is_ready_and_has_nothing() {
    let hub = FakeRegistry::start().await;
    let image = image(&hub, "1", 1);
    let mirror = Mirror::of(&hub).config(OFFLINE).start().await;
    assert_eq!(mirror.get("/v2/").reply().await.status, 200);
    let digest = &image.manifest.digest;
    for target in [
        format!("/v2/{REPOSITORY}/manifests/1?ns=docker.io"),
        format!("/v2/{REPOSITORY}/manifests/{digest}?ns=docker.io"),
        format!(
            "/v2/{REPOSITORY}/blobs/{}?ns=docker.io",
            image.config.digest
        ),
        format!("/v2/{REPOSITORY}/tags/list?ns=docker.io"),
        format!("/v2/{REPOSITORY}/referrers/{digest}?ns=docker.io"),
    ] {
        assert_eq!(
            failure(&mirror.get(&target).reply().await).0,
            404,
            "{target}"
        );
        assert_eq!(mirror.head(&target).reply().await.status, 404, "{target}");
    }
    assert_eq!(hub.count(Match::any()), 0);
}

#[tokio::test]
async fn offline_any_candidates_record_counts_however_old() {
    let (one, other) = (FakeRegistry::start().await, FakeRegistry::start().await);
    let image = image(&other, "1", 1);
    let mirror = Mirror::with(&two(&one, &other)).start().await;
    pull(&mirror, "1", &image).await;
    mirror.keeps(3).await;
    let mirror = mirror.stop().await.config(OFFLINE).start().await;
    let asked = (one.count(Match::any()), other.count(Match::any()));
    pull(&mirror, "1", &image).await;
    assert_eq!(asked, (one.count(Match::any()), other.count(Match::any())));
}

#[tokio::test]
async fn offline_rules_still_deny_and_know_their_registries() {
    let hub = FakeRegistry::start().await;
    let routes = upstream("hub", &hub)
        + &route("docker.io", "\"hub\"", "")
        + "[[route]]\nfrom = \"docker.io/secret\"\naction = \"deny\"\n";
    let mirror = Mirror::with(&routes).config(OFFLINE).start().await;
    let reply = manifest_of(&mirror, "docker.io", "secret/x", "1").await;
    assert_eq!(failure(&reply), (403, "DENIED".into()));
    let reply = manifest_of(&mirror, "quay.io", "a/b", "1").await;
    assert_eq!(failure(&reply), (404, "NAME_UNKNOWN".into()));
    assert_eq!(hub.count(Match::any()), 0);
}

#[tokio::test]
async fn f13_a_start_without_upstream_is_quick_and_serves() {
    let hub = FakeRegistry::start().await;
    let image = image(&hub, "1", 1);
    let mirror = Mirror::of(&hub).start().await;
    pull(&mirror, "1", &image).await;
    mirror.keeps(3).await;
    hub.down();
    let mirror = mirror.restart().await;
    assert_eq!(mirror.get("/v2/").reply().await.status, 200, "R020");
    pull(&mirror, "1", &image).await;
}
