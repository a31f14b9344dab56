//! Wrong manifests and pages from upstream: the response to clients, and that nothing is stored.

use fake_registry::{Content, FakeRegistry, Fault, Image, MIB, Match, media_type, random_bytes};

use crate::{
    mirror::{Mirror, failure},
    nginx::{REPOSITORY, bad_gateway, blob, manifest, started},
    site::two,
};

/// Larger than what is verified before its first byte leaves.
const LARGE: usize = 5 * MIB;

#[tokio::test]
async fn b075_a_manifest_with_another_digest_is_502_and_not_kept() {
    let hub = FakeRegistry::start().await;
    let right = Image::new(&[random_bytes(10, 1)]).manifest;
    let mut wrong = Image::new(&[random_bytes(10, 2)]).manifest;
    wrong.digest.clone_from(&right.digest);
    hub.put_manifest(REPOSITORY, Some("1"), &wrong);
    let mirror = started(&hub).await;
    for reference in ["1", &right.digest] {
        assert_eq!(failure(&manifest(&mirror, reference).await), bad_gateway());
    }
    hub.put_manifest(REPOSITORY, Some("1"), &right);
    for reference in ["1", &right.digest] {
        assert_eq!(manifest(&mirror, reference).await.whole(), right.bytes);
    }
}

#[tokio::test]
async fn a_candidate_with_a_wrong_manifest_is_passed_over() {
    let (one, other) = (FakeRegistry::start().await, FakeRegistry::start().await);
    let right = Image::new(&[random_bytes(10, 1)]).manifest;
    let mut wrong = Image::new(&[random_bytes(10, 2)]).manifest;
    wrong.digest.clone_from(&right.digest);
    one.put_manifest(REPOSITORY, None, &wrong);
    other.put_manifest(REPOSITORY, None, &right);
    let mirror = Mirror::with(&two(&one, &other)).start().await;
    assert_eq!(manifest(&mirror, &right.digest).await.whole(), right.bytes);
}

#[tokio::test]
async fn b082_t14_a_lying_digest_header_is_not_believed() {
    let hub = FakeRegistry::start().await;
    let image = hub.image(REPOSITORY, "1", &[random_bytes(10, 1)]);
    hub.next(Match::manifests(), Fault::WrongDigestHeader)
        .always();
    let mirror = started(&hub).await;
    let reply = manifest(&mirror, "1").await;
    assert_eq!(reply.whole(), image.manifest.bytes);
    let digest = reply.header("docker-content-digest");
    assert_eq!(digest, Some(image.manifest.digest.as_str()));
}

#[tokio::test]
async fn b076_f04_a_login_page_is_no_content() {
    let hub = FakeRegistry::start().await;
    let image = hub.image(REPOSITORY, "1", &[random_bytes(LARGE, 1)]);
    let portal = hub.next(Match::any(), Fault::Html).always();
    let mirror = started(&hub).await;
    for reference in ["1", &image.manifest.digest] {
        assert_eq!(failure(&manifest(&mirror, reference).await), bad_gateway());
    }
    for content in [&image.config, &image.layers[0]] {
        assert_eq!(failure(&blob(&mirror, content).await), bad_gateway());
    }
    portal.stop();
    assert_eq!(manifest(&mirror, "1").await.whole(), image.manifest.bytes);
    for content in [&image.config, &image.layers[0]] {
        assert_eq!(blob(&mirror, content).await.whole(), content.bytes);
    }
}

#[tokio::test]
async fn b077_t17_a_huge_manifest_is_502_declared_or_streamed() {
    let hub = FakeRegistry::start().await;
    let pad = "x".repeat(4 * MIB);
    let text = format!("{{\"schemaVersion\":2,\"layers\":[],\"annotations\":{{\"a\":\"{pad}\"}}}}");
    hub.manifest(REPOSITORY, Some("large"), media_type::MANIFEST, text);
    hub.image(REPOSITORY, "endless", &[]);
    hub.next(Match::manifests().get(), Fault::HugeBody);
    let mirror = started(&hub).await;
    for tag in ["endless", "large"] {
        assert_eq!(
            failure(&manifest(&mirror, tag).await),
            bad_gateway(),
            "{tag}"
        );
    }
}

#[tokio::test]
async fn r039_a_manifest_of_almost_4_mib_passes() {
    let hub = FakeRegistry::start().await;
    let pad = "x".repeat(4 * MIB - 200);
    let text = format!("{{\"schemaVersion\":2,\"layers\":[],\"annotations\":{{\"a\":\"{pad}\"}}}}");
    let large = hub.manifest(REPOSITORY, Some("1"), media_type::MANIFEST, text);
    let mirror = started(&hub).await;
    assert_eq!(manifest(&mirror, "1").await.whole(), large.bytes);
}

#[tokio::test]
async fn b081_q27_schema_1_is_404_and_says_why() {
    let hub = FakeRegistry::start().await;
    let text = r#"{"schemaVersion":1,"name":"a","tag":"1","fsLayers":[],"history":[]}"#;
    hub.manifest(REPOSITORY, Some("1"), media_type::DOCKER_MANIFEST, text);
    let mirror = started(&hub).await;
    let reply = manifest(&mirror, "1").await;
    assert_eq!(failure(&reply), (404, "MANIFEST_UNKNOWN".into()));
    assert!(String::from_utf8_lossy(&reply.body).contains("schema 1"));
}

#[tokio::test]
async fn b078_b079_b080_t13_documents_that_are_no_manifest_are_502() {
    let hub = FakeRegistry::start().await;
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    let index = media_type::INDEX;
    let image = media_type::MANIFEST;
    let documents = [
        (image, "not json".to_owned()),
        (image, "[]".to_owned()),
        (image, deep),
        (
            image,
            r#"{"schemaVersion":2,"layers":[],"manifests":[]}"#.to_owned(),
        ),
        (image, format!(r#"{{"mediaType":"{index}","layers":[]}}"#)),
        (index, format!(r#"{{"mediaType":"{image}","layers":[]}}"#)),
        (
            image,
            r#"{"layers":[{"digest":"sha256:../../etc/passwd","size":1}]}"#.to_owned(),
        ),
        (
            image,
            r#"{"layers":[{"digest":"md5:00","size":1}]}"#.to_owned(),
        ),
    ];
    let mirror = started(&hub).await;
    for (at, (kind, text)) in documents.into_iter().enumerate() {
        let tag = format!("v{at}");
        let content = hub.manifest(REPOSITORY, Some(&tag), kind, text.clone());
        for reference in [&tag, &content.digest] {
            let reply = manifest(&mirror, reference).await;
            assert_eq!(failure(&reply), bad_gateway(), "{text:.60}");
        }
    }
}

#[tokio::test]
async fn q26_a_manifests_real_type_reaches_the_client() {
    for kind in [
        "text/plain; charset=utf-8",
        "application/octet-stream",
        "application/json",
    ] {
        let hub = FakeRegistry::start().await;
        let image = hub.image(REPOSITORY, "1", &[random_bytes(10, 1)]);
        hub.next(Match::manifests(), Fault::ContentType(kind.into()))
            .always();
        let mirror = started(&hub).await;
        let reply = manifest(&mirror, "1").await;
        assert_eq!(reply.whole(), image.manifest.bytes);
        assert_eq!(reply.header("content-type"), Some(media_type::MANIFEST));
    }
}

#[tokio::test]
async fn b088_an_encoded_body_nobody_asked_for_is_tried_again_and_then_502() {
    let hub = FakeRegistry::start().await;
    let image = hub.image(REPOSITORY, "1", &[random_bytes(10, 1)]);
    let once = [Match::manifests().get(), Match::blobs().get()];
    for which in once {
        hub.next(which, Fault::Gzip);
    }
    let mirror = started(&hub).await;
    let layer = &image.layers[0];
    assert_eq!(manifest(&mirror, "1").await.whole(), image.manifest.bytes);
    assert_eq!(blob(&mirror, layer).await.whole(), layer.bytes);
    hub.next(Match::any(), Fault::Gzip).always();
    let other = hub.blob(REPOSITORY, "other");
    assert_eq!(failure(&blob(&mirror, &other).await), bad_gateway());
}

#[tokio::test]
async fn r016_b023_sha512_names_manifests_and_blobs() {
    let hub = FakeRegistry::start().await;
    let layer = Content::sha512(media_type::LAYER, random_bytes(LARGE, 1));
    let text = format!(
        r#"{{"schemaVersion":2,"mediaType":"{}","config":{},"layers":[{}]}}"#,
        media_type::MANIFEST,
        Content::new(media_type::CONFIG, "{}").descriptor(),
        layer.descriptor(),
    );
    let image = Content::sha512(media_type::MANIFEST, text);
    hub.put_blob(REPOSITORY, &layer);
    hub.put_manifest(REPOSITORY, Some("1"), &image);
    let mirror = started(&hub).await;
    for _cold_and_warm in 0..2 {
        for reference in ["1", &image.digest] {
            let reply = manifest(&mirror, reference).await;
            assert_eq!(reply.whole(), image.bytes);
            let digest = reply.header("docker-content-digest");
            assert_eq!(digest, Some(image.digest.as_str()));
        }
        assert_eq!(blob(&mirror, &layer).await.whole(), layer.bytes);
    }
    assert_eq!(hub.served(&layer).gets(), 1);
}

#[tokio::test]
async fn r046_a_child_of_an_index_is_fetched_where_the_index_came_from() {
    let (one, other) = (FakeRegistry::start().await, FakeRegistry::start().await);
    let image = Image::new(&[random_bytes(10, 1)]);
    let index = other.index(REPOSITORY, "1", &[&image]);
    let mirror = Mirror::with(&two(&one, &other)).start().await;
    assert_eq!(manifest(&mirror, "1").await.whole(), index.bytes);
    let child = manifest(&mirror, &image.manifest.digest).await;
    assert_eq!(child.whole(), image.manifest.bytes);
    let layer = &image.layers[0];
    assert_eq!(blob(&mirror, layer).await.whole(), layer.bytes);
    assert_eq!(one.count(Match::content(&image.manifest)), 0);
    assert_eq!(one.count(Match::blobs()), 0);
}

#[tokio::test]
async fn b025_to_b027_what_is_nowhere_is_404_at_once() {
    let hub = FakeRegistry::start().await;
    let image = hub.image(REPOSITORY, "1", &[random_bytes(10, 1)]);
    let mirror = started(&hub).await;
    let nowhere = Content::new("", "nowhere");
    let unknown = (404, "BLOB_UNKNOWN".to_owned());
    assert_eq!(failure(&blob(&mirror, &nowhere).await), unknown);
    assert_eq!(hub.count(Match::blobs()), 1, "one question, no second try");
    assert_eq!(
        failure(&blob(&mirror, &image.manifest).await),
        unknown,
        "R045"
    );
    let unknown = (404, "MANIFEST_UNKNOWN".to_owned());
    for reference in ["2", &nowhere.digest, &image.layers[0].digest] {
        assert_eq!(failure(&manifest(&mirror, reference).await), unknown);
    }
}

#[tokio::test]
async fn t11_foreign_layer_urls_are_never_followed() {
    let (hub, canary) = (FakeRegistry::start().await, FakeRegistry::start().await);
    let layer = Content::new(media_type::LAYER, random_bytes(10, 1));
    canary.place("/layer", &layer);
    let text = format!(
        r#"{{"schemaVersion":2,"layers":[{{"mediaType":"x/y","digest":"{}","size":10,"urls":["{}/layer"]}}]}}"#,
        layer.digest,
        canary.url(),
    );
    hub.manifest(REPOSITORY, Some("1"), media_type::MANIFEST, text);
    let mirror = started(&hub).await;
    assert_eq!(manifest(&mirror, "1").await.status, 200);
    assert_eq!(blob(&mirror, &layer).await.status, 404);
    assert_eq!(canary.count(Match::any()), 0);
}

#[tokio::test]
async fn b108_nothing_of_upstreams_head_gets_through() {
    for name in [
        "Set-Cookie",
        "Alt-Svc",
        "Ratelimit-Limit",
        "Retry-After",
        "Via",
        "X-Canary",
    ] {
        let hub = FakeRegistry::start().await;
        let image = hub.image(REPOSITORY, "1", &[random_bytes(10, 1)]);
        let fault = Fault::Header(name.into(), "7".into());
        hub.next(Match::any(), fault).always();
        let mirror = started(&hub).await;
        for reply in [
            manifest(&mirror, "1").await,
            blob(&mirror, &image.config).await,
        ] {
            assert_eq!(reply.status, 200);
            assert_eq!(reply.header(&name.to_lowercase()), None);
        }
    }
}
