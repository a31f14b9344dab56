//! Blobs that are wrong, of unknown length, empty, or requested by HEAD: the response to clients, and
//! that no wrong blob is stored or ends complete.

use bytes::Bytes;
use fake_registry::{FakeRegistry, Fault, KIB, MIB, Match, random_bytes};

use crate::{
    mirror::failure,
    nginx::{REPOSITORY, bad_gateway, blob, manifest, started},
};

/// What leaves only after the digest is right.
const HELD_BACK: usize = 64 * KIB;
/// Larger than what is verified before its first byte leaves.
const LARGE: usize = 5 * MIB;

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
async fn b087_f03_a_large_blob_with_a_flipped_byte_ends_short_and_is_not_kept() {
    let hub = FakeRegistry::start().await;
    let mirror = started(&hub).await;
    for (seed, at) in [(1, 0), (2, LARGE / 2), (3, LARGE - 1)] {
        let layer = hub.blob(REPOSITORY, random_bytes(LARGE, seed));
        hub.next(Match::blob(&layer), Fault::FlipByte(at));
        let reply = blob(&mirror, &layer).await;
        assert_eq!(
            (reply.status, reply.error),
            (200, None),
            "R070: FIN, not RST"
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
async fn b083_a_length_that_contradicts_the_manifest_is_502_before_the_first_byte() {
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
async fn b084_q36_a_blob_without_length_is_streamed_and_has_one_if_a_manifest_told() {
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
async fn r077_a_blob_of_no_bytes_has_a_length() {
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
async fn r049_b054_a_head_of_an_uncached_blob_fetches_nothing() {
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
async fn b111_a_head_without_length_is_answered_from_the_bytes() {
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
