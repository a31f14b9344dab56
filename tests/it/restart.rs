//! Stops and kills in the middle of a blob: what was fetched is not fetched again, and nothing
//! wrong comes of it.

use std::{future::Future, path::PathBuf};

use fake_registry::{
    Content, FakeRegistry, Fault, Gate, KIB, MIB, Match, bare::body_so_far, random_bytes,
};
use tokio::runtime;

use crate::{
    mirror::{Builder, Mirror, failure},
    site::two,
};

const REPOSITORY: &str = "library/nginx";
const LARGE: usize = 8 * MIB;
/// Where a held body stops, in bytes.
const HELD: usize = 5 * MIB;

/// A mirror in a runtime of its own, to be killed with it.
struct Killable {
    world: runtime::Runtime,
    mirror: Mirror,
}

impl Killable {
    async fn start(builder: Builder) -> Self {
        let world = runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let mirror = on(&world, builder.start()).await;
        Self { world, mirror }
    }

    /// Ends it between two of its steps, wherever it is.
    async fn kill(self) -> Builder {
        let Self { world, mirror } = self;
        let builder = mirror.abandon();
        let ended = tokio::task::spawn_blocking(move || drop(world));
        ended.await.unwrap();
        builder
    }
}

/// Runs something in another runtime.
async fn on<T: Send + 'static>(
    world: &runtime::Runtime,
    work: impl Future<Output = T> + Send + 'static,
) -> T {
    world.spawn(work).await.unwrap()
}

fn partial(builder: &Builder, blob: &Content) -> PathBuf {
    let hex = blob.digest.strip_prefix("sha256:").unwrap();
    builder.folder().join("store/partial/sha256").join(hex)
}

/// Fetches the first part of a blob, then kills the mirror.
async fn killed_halfway(hub: &FakeRegistry, builder: Builder, layer: &Content) -> Builder {
    let gate = Gate::new();
    hub.next(Match::blob(layer), Fault::HoldAfter(HELD, gate));
    let killable = Killable::start(builder).await;
    let mut socket = killable.mirror.blob(REPOSITORY, layer).open().await;
    body_so_far(&mut socket, HELD).await;
    killable.kill().await
}

async fn pull_right(mirror: &Mirror, layer: &Content) {
    let reply = mirror.blob(REPOSITORY, layer).reply().await;
    assert!(reply.whole() == layer.bytes);
}

#[tokio::test]
async fn f21_after_a_kill_only_the_rest_of_a_blob_is_fetched() {
    let hub = FakeRegistry::start().await;
    let layer = hub.blob(REPOSITORY, random_bytes(LARGE, 1));
    let builder = killed_halfway(&hub, Mirror::of(&hub), &layer).await;
    assert!(partial(&builder, &layer).exists());
    let mirror = builder.start().await;
    pull_right(&mirror, &layer).await;
    let rest = format!("bytes={HELD}-");
    assert_eq!(hub.served(&layer).ranges(), [None, Some(rest.as_str())]);
    mirror.keeps(1).await;
}

#[tokio::test]
async fn f34_a_stop_in_the_middle_of_a_blob_ends_and_the_next_start_goes_on() {
    let hub = FakeRegistry::start().await;
    let layer = hub.blob(REPOSITORY, random_bytes(LARGE, 1));
    let gate = Gate::new();
    hub.next(Match::blob(&layer), Fault::HoldAfter(HELD, gate));
    let mirror = Mirror::of(&hub).start().await;
    let mut socket = mirror.blob(REPOSITORY, &layer).open().await;
    body_so_far(&mut socket, HELD).await;
    drop(socket);
    let mirror = mirror.restart().await;
    pull_right(&mirror, &layer).await;
    let rest = format!("bytes={HELD}-");
    assert_eq!(hub.served(&layer).ranges(), [None, Some(rest.as_str())]);
}

#[tokio::test]
async fn f34_a_stop_lets_a_running_answer_finish() {
    let hub = FakeRegistry::start().await;
    let layer = hub.blob(REPOSITORY, random_bytes(LARGE, 1));
    let gate = Gate::new();
    hub.next(Match::blob(&layer), Fault::HoldAfter(HELD, gate.clone()));
    let mirror = Mirror::of(&hub).start().await;
    let mut socket = mirror.blob(REPOSITORY, &layer).open().await;
    let mut seen = body_so_far(&mut socket, HELD).await;
    let rest = async {
        use tokio::io::AsyncReadExt as _;
        gate.open();
        socket.read_to_end(&mut seen).await.unwrap();
    };
    let (_stopped, ()) = tokio::join!(mirror.stop(), rest);
    assert!(seen == layer.bytes);
}

#[tokio::test]
async fn what_was_left_over_may_be_finished_by_another_candidate() {
    let (one, other) = (FakeRegistry::start().await, FakeRegistry::start().await);
    let layer = one.blob(REPOSITORY, random_bytes(LARGE, 1));
    other.put_blob(REPOSITORY, &layer);
    let builder = killed_halfway(&one, Mirror::with(&two(&one, &other)), &layer).await;
    one.down();
    let mirror = builder.start().await;
    pull_right(&mirror, &layer).await;
    let rest = format!("bytes={HELD}-");
    assert_eq!(other.served(&layer).ranges(), [Some(rest.as_str())]);
}

#[tokio::test]
async fn a_left_over_that_is_whole_is_only_confirmed() {
    let hub = FakeRegistry::start().await;
    let image = hub.image(REPOSITORY, "1", &[random_bytes(LARGE, 1)]);
    let layer = &image.layers[0];
    let mirror = Mirror::of(&hub).start().await;
    mirror.manifest(REPOSITORY, "1").reply().await;
    let builder = mirror.stop().await;
    let path = partial(&builder, layer);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, &layer.bytes).unwrap();
    let mirror = builder.start().await;
    pull_right(&mirror, layer).await;
    assert_eq!(hub.served(layer).gets(), 0);
    assert_eq!(hub.count(Match::blob(layer).head()), 1);
    mirror.keeps(1).await;
}

#[tokio::test]
async fn a_left_over_that_is_wrong_is_never_served_and_does_not_last() {
    // (what lies there, in bytes, whether a manifest told the size)
    for (length, is_named) in [
        (HELD, true),
        (HELD, false),
        (LARGE, true),
        (LARGE, false),
        (LARGE + MIB, true),
        (LARGE + MIB, false),
    ] {
        let hub = FakeRegistry::start().await;
        let image = hub.image(REPOSITORY, "1", &[random_bytes(LARGE, 1)]);
        let layer = &image.layers[0];
        let mirror = Mirror::of(&hub).start().await;
        if is_named {
            mirror.manifest(REPOSITORY, "1").reply().await;
        }
        let builder = mirror.stop().await;
        let path = partial(&builder, layer);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, random_bytes(length, 99)).unwrap();
        let mirror = builder.start().await;
        let text = format!("{length} {is_named}");
        let reply = mirror.blob(REPOSITORY, layer).reply().await;
        if reply.status == 200 && reply.body.len() == LARGE {
            assert!(reply.whole() == layer.bytes, "{text}");
        }
        pull_right(&mirror, layer).await;
        mirror.keeps(1).await;
    }
}

#[tokio::test]
async fn f21_kills_at_many_points_leave_nothing_wrong() {
    let hub = FakeRegistry::start().await;
    let image = hub.image(
        REPOSITORY,
        "1",
        &[random_bytes(5 * MIB, 1), random_bytes(100 * KIB, 2)],
    );
    let mut builder = Mirror::of(&hub);
    for point in 0..10 {
        let killable = Killable::start(builder).await;
        let mirror = &killable.mirror;
        let layer = &image.layers[0];
        match point {
            0 => {}
            1 => drop(mirror.manifest(REPOSITORY, "1").open().await),
            2 => drop(mirror.manifest(REPOSITORY, "1").reply().await),
            _ => {
                let mut socket = mirror.blob(REPOSITORY, layer).open().await;
                body_so_far(&mut socket, 500 * KIB * (point - 2)).await;
            }
        }
        builder = killable.kill().await;
    }
    let mirror = builder.start().await;
    let manifest = mirror.manifest(REPOSITORY, "1").reply().await;
    assert_eq!(manifest.whole(), image.manifest.bytes);
    for blob in image.layers.iter().chain([&image.config]) {
        pull_right(&mirror, blob).await;
    }
    mirror.keeps(3).await;
}

#[tokio::test]
async fn a_lost_index_loses_nothing_that_is_kept() {
    let hub = FakeRegistry::start().await;
    let image = hub.image(REPOSITORY, "1", &[random_bytes(LARGE, 1)]);
    let mirror = Mirror::of(&hub).start().await;
    mirror.manifest(REPOSITORY, "1").reply().await;
    pull_right(&mirror, &image.layers[0]).await;
    mirror.keeps(1).await;
    let builder = mirror.stop().await;
    std::fs::remove_file(builder.folder().join("store/index.redb")).unwrap();
    hub.down();
    let mirror = builder.start().await;
    let manifest = mirror.manifest(REPOSITORY, "1").reply().await;
    assert_eq!(manifest.whole(), image.manifest.bytes);
    pull_right(&mirror, &image.layers[0]).await;
    let unpulled = mirror.blob(REPOSITORY, &image.config).reply().await;
    assert_eq!(failure(&unpulled), (503, "UNAVAILABLE".into()));
}
