//! Coalescing: one fetch a digest, for any number of clients that come and leave at any time.

use std::sync::Arc;

use fake_registry::{
    Content, FakeRegistry, Fault, Gate, KIB, MIB, Match,
    bare::{Reply, body_so_far},
    random_bytes,
};
use futures_util::future::join_all;
use tokio::io::AsyncReadExt as _;

use crate::{
    mirror::{Mirror, failure},
    site::two,
};

const REPOSITORY: &str = "library/nginx";
const LARGE: usize = 8 * MIB;
/// Where a held body stops, in bytes.
const HELD: usize = 5 * MIB;

fn held_after(hub: &FakeRegistry, count: usize) -> (Content, Gate) {
    let layer = hub.blob(REPOSITORY, random_bytes(LARGE, 1));
    let gate = Gate::new();
    hub.next(
        Match::blob(&layer).get(),
        Fault::HoldAfter(count, gate.clone()),
    );
    (layer, gate)
}

/// The rest of an answer of which `seen` was read.
async fn rest(mut socket: tokio::net::TcpStream, mut seen: Vec<u8>) -> Vec<u8> {
    socket.read_to_end(&mut seen).await.unwrap();
    seen
}

#[tokio::test]
async fn f27_r067_fifty_cold_pulls_of_a_large_blob_ask_once() {
    let hub = FakeRegistry::start().await;
    let layer = hub.blob(REPOSITORY, random_bytes(LARGE, 1));
    let gate = Gate::new();
    hub.next(Match::blob(&layer), Fault::HoldHead(gate.clone()));
    let mirror = Mirror::of(&hub).start().await;
    let pulls = join_all((0..50).map(|_| mirror.blob(REPOSITORY, &layer).reply()));
    let open = async {
        hub.until(Match::blob(&layer), 1).await;
        gate.open();
    };
    let (replies, ()) = tokio::join!(pulls, open);
    for reply in replies {
        assert!(reply.whole() == layer.bytes);
    }
    assert_eq!(hub.served(&layer).requests(), 1);
    assert_eq!(hub.served(&layer).bytes(), LARGE);
}

#[tokio::test]
async fn fifty_cold_pulls_of_a_small_blob_ask_once_and_so_do_small_and_large_together() {
    let hub = FakeRegistry::start().await;
    let image = hub.image(
        REPOSITORY,
        "1",
        &[
            random_bytes(1000, 1),
            random_bytes(3 * MIB, 2),
            random_bytes(LARGE, 3),
        ],
    );
    let mirror = Mirror::of(&hub).start().await;
    let all = || image.layers.iter().chain([&image.config]);
    let mirror = &mirror;
    let pulls = (0..50).flat_map(|_| all()).map(|blob| async move {
        let reply = mirror.blob(REPOSITORY, blob).reply().await;
        assert!(reply.whole() == blob.bytes);
    });
    join_all(pulls).await;
    for blob in all() {
        assert_eq!(hub.served(blob).requests(), 1);
    }
}

#[tokio::test]
async fn r063_r069_the_first_bytes_leave_while_the_rest_is_held_and_late_joiners_get_them_too() {
    let hub = FakeRegistry::start().await;
    let (layer, gate) = held_after(&hub, HELD);
    let mirror = Mirror::of(&hub).start().await;
    let mut readers = Vec::new();
    for _joining_one_after_the_other in 0..5 {
        let mut socket = mirror.blob(REPOSITORY, &layer).open().await;
        let seen = body_so_far(&mut socket, HELD).await;
        assert!(seen == layer.bytes[..HELD]);
        readers.push((socket, seen));
    }
    gate.open();
    for (socket, seen) in readers {
        assert!(rest(socket, seen).await == layer.bytes);
    }
    assert_eq!(hub.served(&layer).requests(), 1);
}

#[tokio::test]
async fn r066_ranges_join_the_one_fetch() {
    let hub = FakeRegistry::start().await;
    let (layer, gate) = held_after(&hub, HELD);
    let mirror = Mirror::of(&hub).start().await;
    let range = |first: usize, last: Option<usize>| {
        let last = last.map(|last| last.to_string()).unwrap_or_default();
        let asked = mirror.blob(REPOSITORY, &layer);
        asked.with("Range", &format!("bytes={first}-{last}"))
    };
    // What is there is answered at once; what is not yet, as soon as it is.
    let early = range(MIB, Some(2 * MIB - 1)).reply().await;
    assert_eq!(early.status, 206);
    assert!(*early.whole() == layer.bytes[MIB..2 * MIB]);
    let firsts: Vec<_> = (0..8).map(|chunk| chunk * MIB).collect();
    let open_ended = join_all(firsts.iter().map(|first| range(*first, None).reply()));
    let tail = range(LARGE - 10, None).reply();
    let begin = async {
        hub.until(Match::blob(&layer), 1).await;
        gate.open();
    };
    let (open_ended, tail, ()) = tokio::join!(open_ended, tail, begin);
    for (first, reply) in firsts.into_iter().zip(open_ended) {
        assert_eq!(reply.status, 206);
        let said = format!("bytes {first}-{}/{LARGE}", LARGE - 1);
        assert_eq!(reply.header("content-range"), Some(said.as_str()));
        assert!(*reply.whole() == layer.bytes[first..]);
    }
    assert!(*tail.whole() == layer.bytes[LARGE - 10..]);
    assert_eq!(hub.served(&layer).ranges(), [None], "one whole GET");
}

#[tokio::test]
async fn a_head_while_the_blob_arrives_asks_nobody() {
    let hub = FakeRegistry::start().await;
    let (layer, gate) = held_after(&hub, HELD);
    let mirror = Mirror::of(&hub).start().await;
    let mut socket = mirror.blob(REPOSITORY, &layer).open().await;
    let seen = body_so_far(&mut socket, 1).await;
    let target = format!("/v2/{REPOSITORY}/blobs/{}?ns=docker.io", layer.digest);
    let head = mirror.head(&target).reply().await;
    let size = LARGE.to_string();
    assert_eq!(
        (head.status, head.header("content-length")),
        (200, Some(size.as_str()))
    );
    gate.open();
    assert!(rest(socket, seen).await == layer.bytes);
    assert_eq!(hub.served(&layer).requests(), 1);
}

#[tokio::test]
async fn a_pull_right_behind_a_finished_one_asks_nobody() {
    let hub = FakeRegistry::start().await;
    let mirror = Mirror::of(&hub).start().await;
    for seed in 0..20 {
        let layer = hub.blob(REPOSITORY, random_bytes(5 * MIB, seed));
        for _at_once in 0..3 {
            let reply = mirror.blob(REPOSITORY, &layer).reply().await;
            assert!(reply.whole() == layer.bytes);
        }
        assert_eq!(hub.served(&layer).requests(), 1);
    }
}

#[tokio::test]
async fn a_range_alone_starts_the_one_fetch_of_the_whole() {
    let hub = FakeRegistry::start().await;
    let layer = hub.blob(REPOSITORY, random_bytes(LARGE, 1));
    let mirror = Mirror::of(&hub).start().await;
    let ranged = mirror
        .blob(REPOSITORY, &layer)
        .with("Range", "bytes=100-199");
    assert_eq!(ranged.reply().await.whole(), &layer.bytes[100..200]);
    mirror.keeps(1).await;
    assert_eq!(hub.served(&layer).ranges(), [None]);
}

#[tokio::test]
async fn f26_r068_the_first_client_may_leave_anywhere() {
    const POSITIONS: usize = 20;
    let hub = FakeRegistry::start().await;
    let mirror = Mirror::of(&hub).start().await;
    for position in 0..POSITIONS {
        let seed = u64::try_from(position).unwrap();
        let layer = hub.blob(REPOSITORY, random_bytes(5 * MIB, seed));
        let gate = Gate::new();
        let there = 5 * MIB - 64 * KIB;
        hub.next(Match::blob(&layer), Fault::HoldAfter(there, gate.clone()));
        let mut first = mirror.blob(REPOSITORY, &layer).open().await;
        let follower = mirror.blob(REPOSITORY, &layer).reply();
        let departure = async {
            let sent = there * position / (POSITIONS - 1);
            if position > 0 {
                body_so_far(&mut first, sent).await;
            }
            hub.until(Match::blob(&layer), 1).await;
            drop(first);
            gate.open();
        };
        let (follower, ()) = tokio::join!(follower, departure);
        assert!(follower.whole() == layer.bytes, "position {position}");
        assert_eq!(hub.served(&layer).requests(), 1, "position {position}");
    }
    mirror.keeps(u64::try_from(POSITIONS).unwrap()).await;
}

#[tokio::test]
async fn r065_a_blob_is_kept_although_its_only_client_left() {
    let hub = FakeRegistry::start().await;
    let (layer, gate) = held_after(&hub, HELD);
    let mirror = Mirror::of(&hub).start().await;
    let mut socket = mirror.blob(REPOSITORY, &layer).open().await;
    body_so_far(&mut socket, 1).await;
    drop(socket);
    gate.open();
    mirror.keeps(1).await;
    assert!(mirror.blob(REPOSITORY, &layer).reply().await.whole() == layer.bytes);
    assert_eq!(hub.served(&layer).requests(), 1);
}

#[tokio::test]
async fn f28_a_client_that_stops_reading_slows_nobody() {
    let hub = FakeRegistry::start().await;
    let layer = hub.blob(REPOSITORY, random_bytes(32 * MIB, 1));
    let mirror = Mirror::of(&hub).start().await;
    let mut slow = mirror.blob(REPOSITORY, &layer).open().await;
    let seen = body_so_far(&mut slow, 1).await;
    let fast = mirror.blob(REPOSITORY, &layer).reply().await;
    assert!(fast.whole() == layer.bytes);
    assert!(rest(slow, seen).await == layer.bytes);
    assert_eq!(hub.served(&layer).requests(), 1);
}

#[tokio::test]
async fn waiters_of_a_failed_fetch_all_hear_of_it() {
    let hub = FakeRegistry::start().await;
    let nowhere = Content::new("", "nowhere");
    let gate = Gate::new();
    hub.next(Match::blob(&nowhere), Fault::HoldHead(gate.clone()));
    let mirror = Mirror::of(&hub).start().await;
    let pulls = join_all((0..20).map(|_| mirror.blob(REPOSITORY, &nowhere).reply()));
    let open = async {
        hub.until(Match::blob(&nowhere), 1).await;
        gate.open();
    };
    let (replies, ()) = tokio::join!(pulls, open);
    for reply in replies {
        assert_eq!(failure(&reply), (404, "BLOB_UNKNOWN".into()));
    }
    // A client that came just after the first fetch failed may have started another.
    assert!(hub.count(Match::any()) <= 2);
}

#[tokio::test]
async fn one_blob_under_two_repositories_is_one_transfer() {
    let hub = FakeRegistry::start().await;
    let (layer, gate) = held_after(&hub, HELD);
    hub.put_blob("library/other", &layer);
    let mirror = Mirror::of(&hub).start().await;
    let mut first = mirror.blob(REPOSITORY, &layer).open().await;
    let seen = body_so_far(&mut first, HELD).await;
    let mut second = mirror.blob("library/other", &layer).open().await;
    let seen_too = body_so_far(&mut second, HELD).await;
    gate.open();
    assert!(rest(first, seen).await == layer.bytes);
    assert!(rest(second, seen_too).await == layer.bytes);
    assert_eq!(
        hub.served(&layer).gets(),
        1,
        "the other repository was asked by HEAD"
    );
    assert_eq!(hub.count(Match::blob(&layer).head()), 1);
}

#[tokio::test]
async fn a_fetch_under_way_opens_nothing_to_a_repository_without_the_blob() {
    let hub = FakeRegistry::start().await;
    let (layer, gate) = held_after(&hub, HELD);
    let mirror = Mirror::of(&hub).start().await;
    let mut first = mirror.blob(REPOSITORY, &layer).open().await;
    let seen = body_so_far(&mut first, HELD).await;
    let stranger = mirror.blob("library/other", &layer).reply().await;
    assert_eq!(failure(&stranger), (404, "BLOB_UNKNOWN".into()), "T02");
    gate.open();
    assert!(rest(first, seen).await == layer.bytes);
}

#[tokio::test]
async fn a_fetch_that_fails_for_other_candidates_does_not_fail_ours() {
    let (one, other) = (FakeRegistry::start().await, FakeRegistry::start().await);
    let layer = Content::new("", random_bytes(1000, 1));
    other.put_blob("b/there", &layer);
    let gate = Gate::new();
    one.next(Match::blob(&layer), Fault::HoldHead(gate.clone()));
    let routes = crate::site::upstream("one", &one)
        + &crate::site::upstream("two", &other)
        + &crate::site::route("docker.io/a", "\"one/a\"", "")
        + &crate::site::route("docker.io/b", "\"two/b\"", "");
    let mirror = Arc::new(Mirror::with(&routes).start().await);
    let missing = mirror.blob("a/missing", &layer).reply();
    let there = async {
        one.until(Match::blob(&layer), 1).await;
        let there = mirror.blob("b/there", &layer).reply();
        let open = async { gate.open() };
        tokio::join!(there, open).0
    };
    let (missing, there): (Reply, Reply) = tokio::join!(missing, there);
    assert_eq!(missing.status, 404);
    assert_eq!(there.whole(), layer.bytes);
}

#[tokio::test]
async fn t04_f31_pulls_of_a_moving_tag_are_each_of_one_piece() {
    let hub = FakeRegistry::start().await;
    let images: Vec<_> = (0..10)
        .map(|seed| hub.image(REPOSITORY, "1", &[random_bytes(100, seed)]))
        .collect();
    let mirror = Mirror::with(&two(&hub, &hub)).config("[freshness]\ntag_fresh = \"0s\"");
    let mirror = mirror.start().await;
    for image in images.iter().cycle().take(40) {
        hub.tag(REPOSITORY, "1", &image.manifest.digest);
        let reply = mirror.manifest(REPOSITORY, "1").reply().await;
        let digest = reply.header("docker-content-digest").unwrap().to_owned();
        assert_eq!(Content::new("", reply.whole().to_vec()).digest, digest);
        assert_eq!(digest, image.manifest.digest);
    }
}
