//! Wrong answers from upstream: what they come to, and that nothing of them is kept or complete.

use bytes::Bytes;
use fake_registry::{
    Content, FakeRegistry, Fault, Image, KIB, MIB, Match, bare::Reply, media_type, random_bytes,
};

use crate::{
    mirror::{Mirror, failure},
    site::{private, route, two},
};

const REPOSITORY: &str = "library/nginx";
/// Every request asks, and nothing absent is remembered.
const ALWAYS_ASK: &str = "[freshness]\ntag_fresh = \"0s\"\nabsent = \"0s\"";
/// What leaves only after the digest is right.
const HELD_BACK: usize = 64 * KIB;
/// Larger than what is verified before its first byte leaves.
const LARGE: usize = 5 * MIB;

async fn started(hub: &FakeRegistry) -> Mirror {
    Mirror::of(hub).config(ALWAYS_ASK).start().await
}

async fn manifest(mirror: &Mirror, reference: &str) -> Reply {
    mirror.manifest(REPOSITORY, reference).reply().await
}

async fn blob(mirror: &Mirror, blob: &Content) -> Reply {
    mirror.blob(REPOSITORY, blob).reply().await
}

fn bad_gateway() -> (u16, String) {
    (502, "UNAVAILABLE".to_owned())
}

#[tokio::test]
async fn row_75_a_manifest_with_another_digest_is_502_and_not_kept() {
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
async fn t14_row_82_a_lying_digest_header_is_not_believed() {
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
async fn f04_row_76_a_login_page_is_no_content() {
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
async fn t17_row_77_a_huge_manifest_is_502_declared_or_streamed() {
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
async fn row_39_a_manifest_of_almost_4_mib_passes() {
    let hub = FakeRegistry::start().await;
    let pad = "x".repeat(4 * MIB - 200);
    let text = format!("{{\"schemaVersion\":2,\"layers\":[],\"annotations\":{{\"a\":\"{pad}\"}}}}");
    let large = hub.manifest(REPOSITORY, Some("1"), media_type::MANIFEST, text);
    let mirror = started(&hub).await;
    assert_eq!(manifest(&mirror, "1").await.whole(), large.bytes);
}

#[tokio::test]
async fn row_81_schema_1_is_404_and_says_why() {
    let hub = FakeRegistry::start().await;
    let text = r#"{"schemaVersion":1,"name":"a","tag":"1","fsLayers":[],"history":[]}"#;
    hub.manifest(REPOSITORY, Some("1"), media_type::DOCKER_MANIFEST, text);
    let mirror = started(&hub).await;
    let reply = manifest(&mirror, "1").await;
    assert_eq!(failure(&reply), (404, "MANIFEST_UNKNOWN".into()));
    assert!(String::from_utf8_lossy(&reply.body).contains("schema 1"));
}

#[tokio::test]
async fn t13_rows_78_to_80_documents_that_are_no_manifest_are_502() {
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
async fn row_30_a_manifests_real_type_reaches_the_client() {
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
async fn row_88_an_encoded_body_nobody_asked_for_is_tried_again_and_then_502() {
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
async fn rows_16_and_23_sha512_names_manifests_and_blobs() {
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
async fn row_46_a_child_of_an_index_is_fetched_where_the_index_came_from() {
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
async fn t12_a_small_blob_with_a_flipped_byte_is_healed_or_502_and_never_kept() {
    let hub = FakeRegistry::start().await;
    let mirror = started(&hub).await;
    for (seed, at) in [0, 1, 500, 999].into_iter().enumerate() {
        let seed = u64::try_from(seed).unwrap();
        let healed = hub.blob(REPOSITORY, random_bytes(1000, seed));
        hub.next(Match::blob(&healed), Fault::FlipByte(at));
        assert_eq!(blob(&mirror, &healed).await.whole(), healed.bytes);
        let kept = mirror.blobs();

        let broken = hub.blob(REPOSITORY, random_bytes(1000, 100 + seed));
        hub.next(Match::blob(&broken), Fault::FlipByte(at)).times(2);
        assert_eq!(failure(&blob(&mirror, &broken).await), bad_gateway());
        assert_eq!(mirror.blobs(), kept);
        assert_eq!(blob(&mirror, &broken).await.whole(), broken.bytes);
    }
}

#[tokio::test]
async fn f03_row_87_a_large_blob_with_a_flipped_byte_ends_short_and_is_not_kept() {
    let hub = FakeRegistry::start().await;
    let mirror = started(&hub).await;
    for (seed, at) in [(1, 0), (2, LARGE / 2), (3, LARGE - 1)] {
        let layer = hub.blob(REPOSITORY, random_bytes(LARGE, seed));
        hub.next(Match::blob(&layer), Fault::FlipByte(at));
        let reply = blob(&mirror, &layer).await;
        assert_eq!(
            (reply.status, reply.error),
            (200, None),
            "row 70: FIN, not RST"
        );
        assert!(
            reply.body.len() <= LARGE - HELD_BACK,
            "{}",
            reply.body.len()
        );
        assert_eq!(mirror.blobs(), seed - 1);
        assert_eq!(blob(&mirror, &layer).await.whole(), layer.bytes);
        assert_eq!(hub.served(&layer).ranges(), [None, None]);
        mirror.keeps(seed).await;
    }
}

#[tokio::test]
async fn no_range_gives_the_tail_of_a_wrong_blob() {
    let hub = FakeRegistry::start().await;
    let layer = hub.blob(REPOSITORY, random_bytes(LARGE, 1));
    hub.next(Match::blob(&layer), Fault::FlipByte(10)).always();
    let mirror = started(&hub).await;
    for range in [
        format!("bytes={}-", LARGE - 10),
        "bytes=-1".to_owned(),
        format!("bytes={}-{}", LARGE - HELD_BACK, LARGE - HELD_BACK),
    ] {
        let reply = mirror.blob(REPOSITORY, &layer).with("Range", &range);
        let reply = reply.reply().await;
        assert_eq!((reply.status, reply.body.len()), (206, 0), "{range}");
    }
    assert_eq!(mirror.blobs(), 0);
}

#[tokio::test]
async fn row_83_a_length_that_contradicts_the_manifest_is_502_before_the_first_byte() {
    let hub = FakeRegistry::start().await;
    let image = hub.image(REPOSITORY, "1", &[random_bytes(LARGE, 1)]);
    let layer = &image.layers[0];
    let mirror = started(&hub).await;
    manifest(&mirror, "1").await;
    hub.next(Match::blob(layer), Fault::ShortLength);
    assert_eq!(failure(&blob(&mirror, layer).await), bad_gateway());
    assert_eq!(mirror.blobs(), 0);
    assert_eq!(blob(&mirror, layer).await.whole(), layer.bytes);
}

#[tokio::test]
async fn row_84_a_blob_without_length_is_streamed_and_has_one_if_a_manifest_told() {
    let hub = FakeRegistry::start().await;
    hub.next(Match::blobs(), Fault::NoLength).always();
    let small = hub.blob(REPOSITORY, random_bytes(1000, 1));
    let image = hub.image(REPOSITORY, "1", &[random_bytes(LARGE, 2)]);
    let unknown = hub.blob(REPOSITORY, random_bytes(LARGE, 3));
    let mirror = started(&hub).await;
    manifest(&mirror, "1").await;
    for told in [&small, &image.layers[0]] {
        assert_eq!(blob(&mirror, told).await.whole(), told.bytes);
    }
    let reply = blob(&mirror, &unknown).await;
    assert_eq!(reply.header("transfer-encoding"), Some("chunked"));
    assert_eq!(unchunked(&reply.body), unknown.bytes);
    mirror.keeps(3).await;
    assert_eq!(blob(&mirror, &unknown).await.whole(), unknown.bytes);
}

/// The bytes of a chunked body that ended as it must.
fn unchunked(mut body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let end = body.windows(2).position(|two| two == b"\r\n").unwrap();
        let size = std::str::from_utf8(&body[..end]).unwrap();
        let size = usize::from_str_radix(size, 16).unwrap();
        let chunk = &body[end + 2..];
        bytes.extend_from_slice(&chunk[..size]);
        assert_eq!(&chunk[size..size + 2], b"\r\n");
        body = &chunk[size + 2..];
        if size == 0 {
            assert!(body.is_empty());
            return bytes;
        }
    }
}

#[tokio::test]
async fn row_77_a_blob_of_no_bytes_has_a_length() {
    let hub = FakeRegistry::start().await;
    let empty = hub.blob(REPOSITORY, Bytes::new());
    let mirror = started(&hub).await;
    let target = format!("/v2/{REPOSITORY}/blobs/{}?ns=docker.io", empty.digest);
    for _cold_and_warm in 0..2 {
        let head = mirror.head(&target).reply().await;
        assert_eq!(
            (head.status, head.header("content-length")),
            (200, Some("0"))
        );
        let get = blob(&mirror, &empty).await;
        assert_eq!((get.status, get.whole()), (200, &b""[..]));
    }
    mirror.keeps(1).await;
}

#[tokio::test]
async fn rows_49_and_54_a_head_of_an_uncached_blob_fetches_nothing() {
    for fault in [None, Some(Fault::RefuseHead), Some(Fault::Status(403))] {
        let hub = FakeRegistry::start().await;
        let layer = hub.blob(REPOSITORY, random_bytes(LARGE, 1));
        let size = LARGE.to_string();
        if let Some(fault) = fault {
            hub.next(Match::blobs().head(), fault).always();
        }
        let mirror = started(&hub).await;
        let target = format!("/v2/{REPOSITORY}/blobs/{}?ns=docker.io", layer.digest);
        let head = mirror.head(&target).reply().await;
        assert_eq!((head.status, head.body.len()), (200, 0));
        for (name, value) in [
            ("content-length", size.as_str()),
            ("docker-content-digest", layer.digest.as_str()),
            ("accept-ranges", "bytes"),
        ] {
            assert_eq!(head.header(name), Some(value));
        }
        assert!(hub.served(&layer).bytes() <= 1);
        assert_eq!(mirror.blobs(), 0);
        assert_eq!(blob(&mirror, &layer).await.whole(), layer.bytes);
    }
}

#[tokio::test]
async fn row_111_a_head_without_length_is_answered_from_the_bytes() {
    let hub = FakeRegistry::start().await;
    let layer = hub.blob(REPOSITORY, random_bytes(1000, 1));
    hub.next(Match::blobs().head(), Fault::NoLength);
    let mirror = started(&hub).await;
    let target = format!("/v2/{REPOSITORY}/blobs/{}?ns=docker.io", layer.digest);
    let head = mirror.head(&target).reply().await;
    assert_eq!(
        (head.status, head.header("content-length")),
        (200, Some("1000"))
    );
    assert_eq!(hub.served(&layer).gets(), 1);
}

#[tokio::test]
async fn rows_25_to_27_what_is_nowhere_is_404_at_once() {
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
        "row 45"
    );
    let unknown = (404, "MANIFEST_UNKNOWN".to_owned());
    for reference in ["2", &nowhere.digest, &image.layers[0].digest] {
        assert_eq!(failure(&manifest(&mirror, reference).await), unknown);
    }
}

#[tokio::test]
async fn rows_92_to_94_redirects_that_must_not_be_followed_are_502() {
    for location in [
        "/loop",
        "http://169.254.169.254/latest/meta-data",
        "http://user:password@127.0.0.1/",
        "file:///etc/passwd",
    ] {
        let hub = FakeRegistry::start().await;
        let layer = hub.blob(REPOSITORY, random_bytes(10, 1));
        let to = || Fault::RedirectTo(location.to_owned());
        hub.next(Match::blob(&layer), to()).always();
        hub.next(Match::path("/loop"), to()).always().optional();
        let mirror = started(&hub).await;
        assert_eq!(
            failure(&blob(&mirror, &layer).await),
            bad_gateway(),
            "{location}"
        );
    }
}

#[tokio::test]
async fn t07_a_redirect_to_another_host_goes_without_the_login() {
    let cdn = FakeRegistry::start().await;
    let password = crate::mirror::PASSWORD;
    let hub = FakeRegistry::builder()
        .basic("robot", password)
        .start()
        .await;
    let image = hub.image(REPOSITORY, "1", &[random_bytes(LARGE, 1)]);
    let layer = &image.layers[0];
    cdn.place("/signed", layer);
    let signed = format!("{}/signed?signature=canary", cdn.url());
    hub.next(Match::blob(layer), Fault::RedirectTo(signed))
        .always();
    let routes = private("hub", &hub) + &route("docker.io", "\"hub\"", "library = \"keep\"");
    let mirror = Mirror::with(&routes).start().await;
    manifest(&mirror, "1").await;
    // F09: an address that was given before the break is not used after it.
    cdn.next(Match::any(), Fault::CutAfter(2 * MIB));
    let reply = blob(&mirror, layer).await;
    assert_eq!(reply.whole(), layer.bytes);
    assert_eq!(reply.header("location"), None);
    assert_eq!(cdn.count(Match::any()), 2);
    assert_eq!(hub.count(Match::blob(layer)), 2);
    for request in cdn.requests() {
        assert_eq!(request.header("authorization"), None);
    }
    let logs_in = |one: &fake_registry::Recorded| one.header("authorization").is_some();
    assert!(hub.requests().iter().any(logs_in));
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
async fn row_108_nothing_of_upstreams_head_gets_through() {
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

#[tokio::test]
async fn rows_106_and_107_heads_that_make_no_sense_are_502() {
    let large = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "a".repeat(70_000));
    for raw in [
        "HTTP/1.1 204 N\r\n\r\n",
        "HTTP/1.1 304 N\r\n\r\n",
        "hello\r\n\r\n",
        &large,
    ] {
        let hub = FakeRegistry::start().await;
        let image = hub.image(REPOSITORY, "1", &[random_bytes(10, 1)]);
        hub.next(
            Match::any(),
            Fault::Raw(Bytes::copy_from_slice(raw.as_bytes())),
        )
        .always();
        let mirror = started(&hub).await;
        let reply = manifest(&mirror, "1").await;
        assert_eq!(failure(&reply), bad_gateway(), "{raw:.20}");
        let reply = blob(&mirror, &image.config).await;
        assert_eq!(failure(&reply), bad_gateway(), "{raw:.20}");
    }
}
