//! Ranges and sizes of blobs that are not stored yet: still arriving, of unknown size, or requested
//! by HEAD only.

use fake_registry::{
    FakeRegistry, Fault, Gate, MIB, Match,
    bare::{Reply, body_so_far},
    random_bytes,
};

use crate::{
    mirror::Mirror,
    ranges::{NAME, expected, list, parts},
};

const SEED: u64 = 63;

#[tokio::test]
async fn r063_to_r066_ranges_of_a_blob_that_is_still_arriving() {
    let hub = FakeRegistry::start().await;
    let blob = hub.blob(NAME, random_bytes(6 * MIB, SEED));
    let gate = Gate::new();
    hub.next(Match::blob(&blob), Fault::HoldAfter(2 * MIB, gate.clone()));
    let mirror = Mirror::of(&hub).start().await;
    let ask = |range: &str| mirror.blob(NAME, &blob).with("Range", range);
    let ends = |first: usize, last: usize| format!("bytes={first}-{last}");

    // What is there leaves at once, though the rest is held.
    let early = ask(&ends(0, 99)).reply().await;
    assert_eq!((early.status, early.whole()), (206, &blob.bytes[..100]));
    let middle = ask(&ends(MIB, MIB + 9)).reply().await;
    assert_eq!(middle.whole(), &blob.bytes[MIB..MIB + 10]);
    let two = [(0, 9), (MIB, MIB + 9)];
    let several = ask(&list(&two)).reply().await;
    assert_eq!(parts(&several), expected(&blob, &two));

    // R065: a client takes one chunk of everything and leaves.
    let mut leaving = ask("bytes=0-").open().await;
    assert_eq!(
        body_so_far(&mut leaving, 1000).await[..1000],
        blob.bytes[..1000]
    );
    drop(leaving);

    // R066: open ranges, some of them behind what has arrived.
    let mut open = Vec::new();
    for at in 0..8 {
        open.push((at, ask(&format!("bytes={}-", at * 700_000)).open().await));
    }
    let last = ask("bytes=-5").open().await;
    let far = [(0, 9), (5 * MIB, 6 * MIB - 1)];
    let both = ask(&list(&far)).open().await;
    gate.open();
    for (at, socket) in open {
        let reply = Reply::read(socket).await;
        assert_eq!(reply.status, 206);
        assert!(reply.whole() == &blob.bytes[at * 700_000..], "from {at}");
    }
    assert_eq!(Reply::read(last).await.whole(), &blob.bytes[6 * MIB - 5..]);
    assert!(parts(&Reply::read(both).await) == expected(&blob, &far));
    mirror.keeps(1).await;
    assert_eq!(hub.served(&blob).gets(), 1, "R066");
    assert_eq!(hub.bytes_sent(), 6 * MIB);
}

#[tokio::test]
async fn ranges_of_a_blob_of_unknown_size() {
    let hub = FakeRegistry::start().await;
    let blob = hub.blob(NAME, random_bytes(5 * MIB, SEED));
    hub.next(Match::blob(&blob), Fault::NoLength).always();
    let mirror = Mirror::of(&hub).start().await;
    let ask = |range: &str| mirror.blob(NAME, &blob).with("Range", range);
    // Without a size no part can be named: the whole is always a right answer.
    let whole = ask("bytes=10-19").reply().await;
    assert_eq!((whole.status, whole.header("content-range")), (200, None));
    assert_eq!(whole.header("transfer-encoding"), Some("chunked"));
    assert!(whole.body.len() > blob.size() && whole.body.ends_with(b"0\r\n\r\n"));
    mirror.keeps(1).await;
    assert_eq!(
        ask("bytes=10-19").reply().await.whole(),
        &blob.bytes[10..20]
    );
}

#[tokio::test]
async fn r025_the_head_of_a_blob_of_unknown_size_is_no_lie() {
    let hub = FakeRegistry::start().await;
    for size in [1000, 5 * MIB] {
        let blob = hub.blob(NAME, random_bytes(size, SEED));
        hub.next(Match::blob(&blob), Fault::NoLength).always();
        let mirror = Mirror::of(&hub).start().await;
        let target = format!("/v2/{NAME}/blobs/{}", blob.digest);
        let head = mirror.head(&target).reply().await;
        assert_eq!((head.status, head.error), (200, None));
        assert_eq!(
            head.header("content-length"),
            Some(size.to_string().as_str())
        );
        assert_eq!(head.header("transfer-encoding"), None);
    }
}

#[tokio::test]
async fn r049_a_head_does_not_need_upstreams_head() {
    let hub = FakeRegistry::start().await;
    let blob = hub.blob(NAME, random_bytes(1000, SEED));
    hub.next(Match::blobs(), Fault::RefuseHead).always();
    let mirror = Mirror::of(&hub).start().await;
    let head = mirror
        .head(&format!("/v2/{NAME}/blobs/{}", blob.digest))
        .reply()
        .await;
    assert_eq!(head.status, 200);
    assert_eq!(head.header("content-length"), Some("1000"));
}
