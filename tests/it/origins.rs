//! Provenance of stored content: upstreams are not mixed, and a digest alone gives no access.

use fake_registry::{
    Content, FakeRegistry, Fault, Image, MIB, Match, bare::Reply, media_type, random_bytes,
};
use futures_util::{StreamExt as _, stream};

use crate::{
    mirror::{Mirror, failure},
    site::{blob_of, manifest_of, private, route, upstream},
};

/// Two registries under names of their own.
fn two_registries(one: &str, other: &str) -> String {
    let routes = route("one.test", "\"one\"", "") + &route("other.test", "\"other\"", "");
    format!("{one}{other}{routes}")
}

async fn blob(mirror: &Mirror, registry: &str, repository: &str, blob: &Content) -> Reply {
    blob_of(mirror, registry, repository, &blob.digest).await
}

/// Starts anew on the same store, of which this file is gone.
async fn anew(mirror: Mirror, gone: Option<&str>) -> Mirror {
    let stopped = mirror.stop().await;
    if let Some(file) = gone {
        std::fs::remove_file(stopped.folder().join(file)).unwrap();
    }
    stopped.start().await
}

#[tokio::test]
async fn t04_two_upstreams_with_one_repository_never_mix_in_a_thousand_pulls() {
    let (one, other) = (FakeRegistry::start().await, FakeRegistry::start().await);
    let image = |hub: &FakeRegistry, seed| hub.image("a/b", "1", &[random_bytes(500, seed)]);
    let images = [image(&one, 1), image(&other, 2)];
    let routes = two_registries(&upstream("one", &one), &upstream("other", &other));
    let mirror = Mirror::with(&routes).config("[freshness]\ntag_fresh = \"20ms\"");
    let mirror = &mirror.start().await;
    let images = &images;
    let pull = |number: usize| async move {
        let registry = ["one.test", "other.test"][number % 2];
        let image: &Image = &images[number % 2];
        let stranger: &Image = &images[(number + 1) % 2];
        let reply = manifest_of(mirror, registry, "a/b", "1").await;
        assert_eq!(reply.whole(), image.manifest.bytes);
        let layer = &image.layers[0];
        assert_eq!(
            blob(mirror, registry, "a/b", layer).await.whole(),
            layer.bytes
        );
        if number.is_multiple_of(50) {
            let layer = &stranger.layers[0];
            assert_eq!(blob(mirror, registry, "a/b", layer).await.status, 404);
            let digest = &stranger.manifest.digest;
            assert_eq!(
                manifest_of(mirror, registry, "a/b", digest).await.status,
                404
            );
        }
    };
    let pulls = stream::iter(0..1000).map(pull).buffer_unordered(20);
    pulls.collect::<Vec<()>>().await;
    for (hub, image) in [(&one, &images[0]), (&other, &images[1])] {
        assert_eq!(hub.served(&image.layers[0]).gets(), 1);
    }
}

#[tokio::test]
async fn t02_a_digest_opens_nothing_in_a_repository_without_it() {
    let hub = FakeRegistry::start().await;
    let image = hub.image("a/mine", "1", &[random_bytes(1000, 1)]);
    let mirror = Mirror::of(&hub).start().await;
    let layer = &image.layers[0];
    manifest_of(&mirror, "docker.io", "a/mine", "1").await;
    blob(&mirror, "docker.io", "a/mine", layer).await;
    let target = format!("/v2/a/yours/blobs/{}?ns=docker.io", layer.digest);
    let asks = [
        mirror.get(&target),
        mirror.head(&target),
        mirror.get(&target).with("Range", "bytes=0-0"),
        mirror.get(&target).with("If-None-Match", "*"),
    ];
    for ask in asks {
        assert_eq!(ask.reply().await.status, 404);
    }
    let manifest = &image.manifest.digest;
    let reply = manifest_of(&mirror, "docker.io", "a/yours", manifest).await;
    assert_eq!(reply.status, 404);
}

#[tokio::test]
async fn t01_a_forged_manifest_opens_nothing_private() {
    let (one, other) = (FakeRegistry::start().await, FakeRegistry::start().await);
    let secret = one.image("a/secret", "1", &[random_bytes(1000, 1)]);
    // An attacker who knows the digest pushes a manifest that names it to another registry.
    other.put_manifest("b/forged", Some("1"), &secret.manifest);
    let routes = two_registries(&private("one", &one), &upstream("other", &other));
    let mirror = Mirror::with(&routes).config("[freshness]\nabsent = \"0s\"");
    let mirror = mirror.start().await;
    let layer = &secret.layers[0];
    manifest_of(&mirror, "one.test", "a/secret", "1").await;
    assert_eq!(
        blob(&mirror, "one.test", "a/secret", layer).await.whole(),
        layer.bytes
    );
    let forged = manifest_of(&mirror, "other.test", "b/forged", "1").await;
    assert_eq!(forged.whole(), secret.manifest.bytes);
    for _ in 0..2 {
        let reply = blob(&mirror, "other.test", "b/forged", layer).await;
        assert_eq!(failure(&reply), (404, "BLOB_UNKNOWN".into()));
        let target = format!("/v2/b/forged/blobs/{}?ns=other.test", layer.digest);
        assert_eq!(mirror.head(&target).reply().await.status, 404);
    }
    other.down();
    let reply = blob(&mirror, "other.test", "b/forged", layer).await;
    assert_eq!(
        reply.status, 503,
        "an upstream that is down confirms nothing"
    );
    let mirror = mirror.restart().await;
    let reply = blob(&mirror, "other.test", "b/forged", layer).await;
    assert_eq!(reply.status, 503, "nor after a restart");
}

#[tokio::test]
async fn t01_a_private_blob_is_shared_once_the_other_upstream_confirmed_it_for_good() {
    for gone in [None, Some("store/index.redb")] {
        let (one, other) = (FakeRegistry::start().await, FakeRegistry::start().await);
        let image = one.image("a/b", "1", &[random_bytes(5 * MIB, 1)]);
        other.put_image("c/d", Some("1"), &image);
        let routes = two_registries(&private("one", &one), &private("other", &other));
        let mirror = Mirror::with(&routes).start().await;
        let layer = &image.layers[0];
        for (registry, repository) in [("one.test", "a/b"), ("other.test", "c/d")] {
            manifest_of(&mirror, registry, repository, "1").await;
            let reply = blob(&mirror, registry, repository, layer).await;
            assert!(reply.whole() == layer.bytes);
            mirror.keeps(1).await;
        }
        assert_eq!(other.count(Match::blob(layer).head()), 1, "it confirmed");
        assert_eq!(other.count(Match::blob(layer).get()), 0, "and sent nothing");
        other.down();
        let mirror = anew(mirror, gone).await;
        let reply = blob(&mirror, "other.test", "c/d", layer).await;
        assert!(reply.whole() == layer.bytes);
        assert_eq!(other.count(Match::blobs()), 1);
    }
}

#[tokio::test]
async fn a_blob_of_a_public_upstream_is_asked_for_once_or_named_by_a_manifest() {
    let (one, other) = (FakeRegistry::start().await, FakeRegistry::start().await);
    let image = one.image("a/b", "1", &[random_bytes(1000, 1), random_bytes(2000, 2)]);
    other.put_image("c/d", Some("1"), &image);
    let routes = two_registries(&upstream("one", &one), &upstream("other", &other));
    let mirror = Mirror::with(&routes).start().await;
    let (unnamed, named) = (&image.layers[0], &image.layers[1]);
    for layer in [unnamed, named] {
        blob(&mirror, "one.test", "a/b", layer).await;
    }
    for _ in 0..3 {
        let reply = blob(&mirror, "other.test", "c/d", unnamed).await;
        assert_eq!(reply.whole(), unnamed.bytes);
    }
    assert_eq!(other.count(Match::any()), 1, "one HEAD");
    manifest_of(&mirror, "other.test", "c/d", "1").await;
    other.down();
    let reply = blob(&mirror, "other.test", "c/d", named).await;
    assert_eq!(
        reply.whole(),
        named.bytes,
        "what is public needs no word of the other's"
    );
}

#[tokio::test]
async fn e09_w7_a_digest_follows_the_tag_that_produced_it() {
    for gone in [None, Some("store/index.redb")] {
        let (patched, other) = (FakeRegistry::start().await, FakeRegistry::start().await);
        let image = Image::new(&[random_bytes(1000, 1), random_bytes(5 * MIB, 2)]);
        let index = patched.index("patched-coolstuff", "latest", &[&image]);
        let routes = upstream("my-local-registry.com", &patched)
            + &upstream("m.corp", &other)
            + &route(
                "ghcr.io/fantasy/coolstuff:v1.0",
                "\"my-local-registry.com/patched-coolstuff:latest\"",
                "",
            )
            + &route("ghcr.io", "\"m.corp\"", "");
        let mirror = Mirror::with(&routes).config("[freshness]\nabsent = \"0s\"");
        let mirror = mirror.start().await;
        let get = async |mirror: &Mirror, reference: &str| {
            manifest_of(mirror, "ghcr.io", "fantasy/coolstuff", reference).await
        };
        assert_eq!(get(&mirror, "v1.0").await.whole(), index.bytes);
        // Pulled in part, then restarted: affinity is stored on disk, not in memory.
        let mirror = anew(mirror, gone).await;
        let child = get(&mirror, &image.manifest.digest).await;
        assert_eq!(child.whole(), image.manifest.bytes);
        for layer in image.layers.iter().chain([&image.config]) {
            let reply = blob(&mirror, "ghcr.io", "fantasy/coolstuff", layer).await;
            assert!(reply.whole() == layer.bytes);
        }
        assert_eq!(get(&mirror, &index.digest).await.whole(), index.bytes);
        assert_eq!(other.count(Match::any()), 0);
        assert_eq!(get(&mirror, "v2").await.status, 404);
        assert_eq!(other.count(Match::manifest("fantasy/coolstuff", "v2")), 1);
        // A digest that only the patched repository has is found there, even if never seen.
        let unseen = patched.blob("patched-coolstuff", "unseen");
        let reply = blob(&mirror, "ghcr.io", "fantasy/coolstuff", &unseen).await;
        assert_eq!(reply.whole(), unseen.bytes, "{gone:?}");
    }
}

#[tokio::test]
async fn a_denied_name_is_denied_for_what_is_kept_too() {
    let hub = FakeRegistry::start().await;
    let image = hub.image("a/b", "1", &[random_bytes(1000, 1)]);
    let mirror = Mirror::of(&hub).start().await;
    manifest_of(&mirror, "docker.io", "a/b", "1").await;
    blob(&mirror, "docker.io", "a/b", &image.layers[0]).await;
    let deny = "[[route]]\nfrom = \"docker.io/a\"\naction = \"deny\"";
    let mirror = mirror.stop().await.config(deny).start().await;
    let asked = hub.count(Match::any());
    let denied = (403, "DENIED".to_owned());
    for reference in ["1", &image.manifest.digest] {
        let reply = manifest_of(&mirror, "docker.io", "a/b", reference).await;
        assert_eq!(failure(&reply), denied);
    }
    let reply = blob(&mirror, "docker.io", "a/b", &image.layers[0]).await;
    assert_eq!(failure(&reply), denied);
    for list in ["tags/list", &format!("referrers/{}", image.manifest.digest)] {
        let target = format!("/v2/a/b/{list}?ns=docker.io");
        assert_eq!(failure(&mirror.get(&target).reply().await), denied);
        assert_eq!(mirror.head(&target).reply().await.status, 403);
    }
    assert_eq!(hub.count(Match::any()), asked);
}

#[tokio::test]
async fn t05_b011_an_unmatched_registry_is_404_without_a_connection() {
    let hub = FakeRegistry::start().await;
    let stranger = FakeRegistry::start().await;
    let image = stranger.image("a/b", "1", &[random_bytes(10, 1)]);
    let mirror = Mirror::of(&hub).start().await;
    let host = stranger.address();
    let digest = &image.config.digest;
    for target in [
        format!("/v2/a/b/manifests/1?ns={host}"),
        format!("/v2/{host}/a/b/manifests/1"),
        format!("/v2/a/b/blobs/{digest}?ns={host}"),
        format!("/v2/a/b/tags/list?ns={host}"),
        format!("/v2/a/b/referrers/{digest}?ns={host}"),
        "/v2/a/b/manifests/1?ns=quay.io".to_owned(),
    ] {
        let reply = mirror.get(&target).reply().await;
        assert_eq!(failure(&reply), (404, "NAME_UNKNOWN".into()), "{target}");
    }
    assert_eq!(stranger.count(Match::any()), 0);
    assert_eq!(hub.count(Match::any()), 0);
}

#[tokio::test]
async fn a_route_that_is_gone_takes_its_origin_with_it() {
    let (one, other) = (FakeRegistry::start().await, FakeRegistry::start().await);
    let image = one.image("a/b", "1", &[random_bytes(1000, 1)]);
    let tables = upstream("one", &one) + &upstream("two", &other);
    let before = Mirror::with(&tables).config("# routes");
    let folder = before.folder().to_owned();
    let mirror = before
        .config(&route("quay.io", "\"one\"", ""))
        .start()
        .await;
    manifest_of(&mirror, "quay.io", "a/b", "1").await;
    blob(&mirror, "quay.io", "a/b", &image.layers[0]).await;
    // A more specific route leads elsewhere now.
    let stopped = mirror.stop().await;
    assert_eq!(stopped.folder(), folder);
    let mirror = stopped
        .config(&route("quay.io/a", "\"two/a\"", ""))
        .start()
        .await;
    for reference in ["1", &image.manifest.digest] {
        let reply = manifest_of(&mirror, "quay.io", "a/b", reference).await;
        assert_eq!(reply.status, 404, "{reference}");
    }
    let reply = blob(&mirror, "quay.io", "a/b", &image.layers[0]).await;
    assert_eq!(reply.status, 404);
}

#[tokio::test]
async fn two_names_of_one_upstream_repository_share_what_is_kept() {
    let hub = FakeRegistry::start().await;
    let image = hub.image("calico-mirror/cal-node", "v3", &[random_bytes(1000, 1)]);
    let target = "\"hub/calico-mirror/cal-{name}\"";
    let routes = upstream("hub", &hub)
        + &route("docker.io/calico", target, "")
        + &route("quay.io/calico", target, "");
    let mirror = Mirror::with(&routes).config("[freshness]\ntag_fresh = \"1h\"");
    let mirror = mirror.start().await;
    for registry in ["docker.io", "quay.io"] {
        let reply = manifest_of(&mirror, registry, "calico/node", "v3").await;
        assert_eq!(reply.whole(), image.manifest.bytes);
        let layer = &image.layers[0];
        assert_eq!(
            blob(&mirror, registry, "calico/node", layer).await.whole(),
            layer.bytes
        );
    }
    assert_eq!(
        hub.count(Match::any()),
        3,
        "HEAD and GET of the manifest, GET of the layer"
    );
}

#[tokio::test]
async fn a_manifest_is_kept_by_origin_and_not_handed_to_another() {
    let (one, other) = (FakeRegistry::start().await, FakeRegistry::start().await);
    let secret = one.image("a/b", "1", &[random_bytes(10, 1)]);
    let routes = two_registries(&private("one", &one), &upstream("other", &other));
    let mirror = Mirror::with(&routes).start().await;
    let digest = &secret.manifest.digest;
    assert_eq!(
        manifest_of(&mirror, "one.test", "a/b", digest).await.status,
        200
    );
    let reply = manifest_of(&mirror, "other.test", "a/b", digest).await;
    assert_eq!(failure(&reply), (404, "MANIFEST_UNKNOWN".into()));
    assert_eq!(other.count(Match::manifests()), 1);
}

#[tokio::test]
async fn a_joiner_from_elsewhere_is_let_in_only_if_its_own_upstream_agrees() {
    let (one, other) = (FakeRegistry::start().await, FakeRegistry::start().await);
    let layer = one.blob("a/b", random_bytes(6 * MIB, 1));
    let manifest = format!(
        r#"{{"schemaVersion":2,"mediaType":"{}","layers":[{}]}}"#,
        media_type::MANIFEST,
        layer.descriptor()
    );
    other.manifest("c/d", Some("1"), media_type::MANIFEST, manifest);
    let gate = fake_registry::Gate::new();
    one.next(Match::blob(&layer), Fault::HoldAfter(5 * MIB, gate.clone()));
    let routes = two_registries(&private("one", &one), &upstream("other", &other));
    let mirror = Mirror::with(&routes).config("[freshness]\nabsent = \"0s\"");
    let mirror = mirror.start().await;
    manifest_of(&mirror, "other.test", "c/d", "1").await;
    let first = blob(&mirror, "one.test", "a/b", &layer);
    let joiner = async {
        one.until(Match::blob(&layer), 1).await;
        let refused = blob(&mirror, "other.test", "c/d", &layer).await;
        other.put_blob("c/d", &layer);
        let target = format!("/v2/c/d/blobs/{}?ns=other.test", layer.digest);
        let mut admitted = mirror.get(&target).open().await;
        let seen = fake_registry::bare::body_so_far(&mut admitted, MIB).await;
        gate.open();
        (refused, seen)
    };
    let (first, (refused, seen)) = tokio::join!(first, joiner);
    assert!(first.whole() == layer.bytes);
    assert_eq!(failure(&refused), (404, "BLOB_UNKNOWN".into()));
    assert!(layer.bytes.starts_with(&seen));
    assert_eq!(other.count(Match::blob(&layer).get()), 0);
}
