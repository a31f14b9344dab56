//! Many clients at once: one fetch, right bytes, bounded memory.

use std::time::Duration;

use fake_registry::{Content, FakeRegistry, Fault, Gate, KIB, MIB, Match, random_bytes};
use tokio::{io::AsyncReadExt, task::JoinSet};

use crate::{mirror::Mirror, program::Roadstead};

const SEED: u64 = 43;
const NAME: &str = "library/nginx";
const CLIENTS: u64 = 100;

fn layer(hub: &FakeRegistry, size: usize) -> Content {
    hub.blob(NAME, random_bytes(size, SEED))
}

#[tokio::test(flavor = "multi_thread")]
async fn f27_a_herd_costs_one_fetch_and_little_memory() {
    let hub = FakeRegistry::start().await;
    let blob = layer(&hub, 8 * MIB);
    let folder = tempfile::tempdir().unwrap();
    let mirror = Roadstead::start(folder.path(), &hub).await;
    let mut herd = JoinSet::new();
    for _client in 0..CLIENTS {
        let (ask, want) = (mirror.blob(NAME, &blob), blob.bytes.clone());
        herd.spawn(async move { ask.reply().await.whole() == want });
    }
    assert!(herd.join_all().await.into_iter().all(|right| right));
    assert_eq!(hub.served(&blob).requests(), 1);
    if let Some(resident) = mirror.resident_kib_max() {
        assert!(resident < 128 * 1024, "{resident} KiB");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn f28_f29_clients_that_take_nothing_cost_little_and_hinder_nobody() {
    let hub = FakeRegistry::start().await;
    let blob = layer(&hub, 16 * MIB);
    let folder = tempfile::tempdir().unwrap();
    let mirror = Roadstead::start(folder.path(), &hub).await;
    let mut stalled = Vec::new();
    for _client in 0..CLIENTS {
        let mut socket = mirror.blob(NAME, &blob).open().await;
        // The head comes; the rest fills the sockets and then waits.
        assert_eq!(socket.read_u8().await.unwrap(), b'H');
        stalled.push(socket);
    }
    let honest = mirror.blob(NAME, &blob).reply();
    let honest = tokio::time::timeout(Duration::from_secs(20), honest)
        .await
        .unwrap();
    assert!(honest.whole() == blob.bytes);
    assert_eq!(hub.served(&blob).gets(), 1);
    if let Some(resident) = mirror.resident_kib_max() {
        assert!(resident < 128 * 1024, "{resident} KiB");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn f26_whoever_came_first_may_leave() {
    let hub = FakeRegistry::start().await;
    let blob = layer(&hub, 6 * MIB);
    let gate = Gate::new();
    hub.next(Match::blob(&blob), Fault::HoldAfter(5 * MIB, gate.clone()));
    let mirror = Mirror::of(&hub).start().await;
    let mut first = mirror.blob(NAME, &blob).open().await;
    assert_eq!(first.read_u8().await.unwrap(), b'H');
    let tail = mirror.blob(NAME, &blob).with("range", "bytes=-1000");
    let followers = [
        tokio::spawn(mirror.blob(NAME, &blob).reply()),
        tokio::spawn(tail.reply()),
    ];
    drop(first);
    gate.open();
    let [whole, tail] = followers;
    assert!(whole.await.unwrap().whole() == blob.bytes);
    assert!(tail.await.unwrap().whole() == &blob.bytes[blob.size() - 1000..]);
    assert_eq!(hub.served(&blob).requests(), 1);
    mirror.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_range_gets_the_tail_of_an_unproven_blob() {
    let hub = FakeRegistry::start().await;
    let blob = layer(&hub, 6 * MIB);
    let gate = Gate::new();
    // All bytes are here but the last one.
    hub.next(
        Match::blob(&blob),
        Fault::HoldAfter(6 * MIB - 1, gate.clone()),
    );
    let mirror = Mirror::of(&hub).start().await;
    let mut whole = mirror.blob(NAME, &blob).open().await;
    let free = 6 * MIB - 64 * KIB;
    let before = mirror
        .blob(NAME, &blob)
        .with("range", &format!("bytes=0-{}", free - 1));
    assert!(before.reply().await.whole() == &blob.bytes[..free]);
    for range in [
        "bytes=-1",
        "bytes=-65536",
        "bytes=6225920-6225920",
        "bytes=0-0,6225920-6225925",
    ] {
        let mut tail = mirror.blob(NAME, &blob).with("range", range).open().await;
        let mut got = Vec::new();
        let reading = tail.read_to_end(&mut got);
        let late = tokio::time::timeout(Duration::from_millis(100), reading).await;
        assert!(late.is_err(), "{range}");
        let last = &blob.bytes[free..free + 6];
        assert!(!got.windows(6).any(|six| six == last), "{range}");
    }
    gate.open();
    let mut got = Vec::new();
    whole.read_to_end(&mut got).await.unwrap();
    assert!(got.ends_with(&blob.bytes));
    mirror.stop().await;
}
