//! The store while disks fill up, files are damaged and processes are killed: a body that ends as
//! announced always has the right bytes.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use fake_registry::{
    Content, FakeRegistry, Fault, Image, MIB, Match,
    bare::{Ask, Reply},
    random_bytes,
};

use crate::{
    disks::LiddedDisk,
    mirror::{Mirror, files_below},
    program::{Program, Roadstead},
};

const SEED: u64 = 41;
const NAME: &str = "library/nginx";
/// Verified first, streamed with a tail, streamed for long.
const SIZES: [usize; 4] = [60_000, MIB, 6 * MIB, 20 * MIB];

/// The bytes of an answer that ended as announced; none of one that broke or failed.
fn complete(reply: Reply) -> Option<Vec<u8>> {
    let length = reply.header("content-length")?.parse().ok();
    let whole = matches!(reply.status, 200 | 206) && reply.error.is_none();
    (whole && length == Some(reply.body.len())).then_some(reply.body)
}

async fn pull(mirror: &Mirror, blob: &Content) -> Option<Vec<u8>> {
    complete(mirror.blob(NAME, blob).reply().await)
}

/// Pulls as a client that does not give up at the first broken body.
async fn pull_stubbornly(mirror: &Mirror, blob: &Content, what: &str) {
    for _try in 0..3 {
        if let Some(body) = pull(mirror, blob).await {
            assert!(body == blob.bytes, "wrong bytes: {what}");
            return;
        }
    }
    panic!("never whole: {what}");
}

fn blobs(hub: &FakeRegistry) -> Vec<Content> {
    let blob = |(number, size): (u64, usize)| hub.blob(NAME, random_bytes(size, SEED + number));
    (0..).zip(SIZES).map(blob).collect()
}

/// Waits until nothing is left of what was only begun.
async fn nothing_is_left_over(mirror: &Mirror) {
    let store = mirror.folder().join("store");
    let left = || {
        [
            files_below(&store.join("partial")),
            files_below(&store.join("temporary")),
        ]
        .concat()
    };
    for _look in 0..500 {
        if left().is_empty() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("left over: {:?}", left());
}

#[tokio::test(flavor = "multi_thread")]
async fn f14_a_full_disk_costs_no_pull() {
    // Known from the beginning, or found out within a blob.
    for (free, room) in [(0, u64::MAX), (u64::MAX, 0), (u64::MAX, 3 * 1024 * 1024)] {
        let hub = FakeRegistry::start().await;
        let disk = LiddedDisk::new();
        let mirror = Mirror::of(&hub).disk(Arc::new(disk.clone())).start().await;
        for blob in blobs(&hub) {
            let what = format!("{} bytes, free {free}, room {room}", blob.size());
            disk.free(free);
            disk.room(room);
            assert!(
                pull(&mirror, &blob).await.unwrap_or_default() == blob.bytes,
                "{what}"
            );
            let ask = mirror.blob(NAME, &blob).with("range", "bytes=1000-50000");
            let part = complete(ask.reply().await).unwrap_or_default();
            assert!(part == blob.bytes[1000..=50_000], "{what}");
            nothing_is_left_over(&mirror).await;
            let name = mirror
                .folder()
                .join("store/blobs/sha256")
                .join(&blob.digest[7..]);
            assert!(room > 0 && free > 0 || !name.exists(), "{what}");
            disk.free(u64::MAX);
            disk.room(u64::MAX);
            pull_stubbornly(&mirror, &blob, &what).await;
            let before = hub.served(&blob).gets();
            assert!(
                pull(&mirror, &blob).await.unwrap_or_default() == blob.bytes,
                "{what}"
            );
            assert_eq!(
                hub.served(&blob).gets(),
                before,
                "kept again by itself: {what}"
            );
            disk.room(0);
            disk.free(0);
        }
        let metrics = mirror.metrics().await;
        assert!(
            !metrics.contains("roadstead_store_bypassed_total 0"),
            "{metrics}"
        );
        mirror.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn f14_past_a_full_disk_no_wrong_whole_leaves() {
    for (free, room) in [(0, u64::MAX), (u64::MAX, 7 * 1024 * 1024)] {
        let hub = FakeRegistry::start().await;
        let disk = LiddedDisk::new();
        let mirror = Mirror::of(&hub).disk(Arc::new(disk.clone())).start().await;
        disk.free(free);
        disk.room(room);
        for (seed, flipped) in [(1, 0), (2, 8 * MIB), (3, 20 * MIB - 1)] {
            let blob = hub.blob(NAME, random_bytes(20 * MIB, SEED + seed));
            hub.next(Match::blob(&blob).get(), Fault::FlipByte(flipped))
                .always();
            let reply = mirror.blob(NAME, &blob).reply().await;
            assert!(
                reply.body.len() <= blob.size() - 64 * 1024,
                "{}",
                reply.body.len()
            );
            let ask = mirror.blob(NAME, &blob);
            let tail = ask.with("range", "bytes=-65536").reply().await;
            assert_eq!(complete(tail), None);
        }
        mirror.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn f15_a_read_only_disk_serves_hits_and_passes_misses() {
    let hub = FakeRegistry::start().await;
    let disk = LiddedDisk::new();
    let kept = hub.image(NAME, "kept", &[random_bytes(6 * MIB, SEED)]);
    let mirror = Mirror::of(&hub).disk(Arc::new(disk.clone())).start().await;
    pull_image(&mirror, &kept, "kept").await;
    mirror.keeps(2).await;
    disk.forbid_writing();
    let other = hub.image(NAME, "other", &[random_bytes(6 * MIB, SEED + 1)]);
    for _again in 0..2 {
        pull_image(&mirror, &kept, "kept").await;
        pull_image(&mirror, &other, "other").await;
    }
    assert_eq!(hub.served(&kept.layers[0]).gets(), 1);
    disk.allow_writing();
    pull_image(&mirror, &other, "other").await;
    mirror.keeps(4).await;
    mirror.stop().await;
}

async fn pull_image(mirror: &Mirror, image: &Image, tag: &str) {
    let manifest = mirror.manifest(NAME, tag).reply().await;
    assert_eq!(manifest.whole(), image.manifest.bytes, "{tag}");
    for blob in image.layers.iter().chain([&image.config]) {
        pull_stubbornly(mirror, blob, tag).await;
    }
}

fn damage_all(files: &[PathBuf], damage: fn(&Path)) {
    let paths = files.iter().map(Path::new);
    // A marker has nothing to flip.
    let full = paths.filter(|path| fs::metadata(path).unwrap().len() > 0);
    full.for_each(damage);
}

/// A way in which a file turns bad.
type Damage = (&'static str, fn(&Path));

const DAMAGES: [Damage; 6] = [
    ("deleted", |path| fs::remove_file(path).unwrap()),
    ("emptied", |path| fs::write(path, b"").unwrap()),
    ("cut in half", |path| {
        let bytes = fs::read(path).unwrap();
        fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
    }),
    ("flipped", |path| {
        let mut bytes = fs::read(path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(path, bytes).unwrap();
    }),
    ("swapped", |path| {
        fs::write(path, random_bytes(5 * MIB, 1)).unwrap();
    }),
    ("made a link", |path| {
        fs::remove_file(path).unwrap();
        symlink("/etc/passwd", path).unwrap();
    }),
];

#[tokio::test(flavor = "multi_thread")]
async fn f17_f18_damage_is_healed_while_running_and_after_a_restart() {
    let hub = FakeRegistry::start().await;
    let layers = [random_bytes(60_000, SEED), random_bytes(6 * MIB, SEED + 1)];
    let image = hub.image(NAME, "1", &layers);
    for restarts in [false, true] {
        for (how, damage) in DAMAGES {
            println!("{how}, restarted: {restarts}");
            let mut mirror = Mirror::of(&hub).start().await;
            pull_image(&mirror, &image, "1").await;
            mirror.keeps(3).await;
            let store = mirror.folder().join("store");
            let kept = ["blobs", "origins"]
                .map(|part| files_below(&store.join(part)))
                .concat();
            assert!(kept.len() > 5, "{kept:?}");
            if restarts {
                let stopped = mirror.stop().await;
                damage_all(&kept, damage);
                damage(&store.join("index.redb"));
                mirror = stopped.start().await;
            } else {
                damage_all(&kept, damage);
            }
            for _again in 0..2 {
                pull_image(&mirror, &image, "1").await;
            }
            mirror.stop().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn f22_what_a_power_cut_left_of_a_blob_never_completes_wrong() {
    let hub = FakeRegistry::start().await;
    let blob = hub.blob(NAME, random_bytes(6 * MIB, SEED));
    let hex = blob.digest.strip_prefix("sha256:").unwrap().to_owned();
    // Zeroes where data was lost, another file's bytes, more than there should be.
    let leftovers = [
        vec![0; 4 * MIB],
        random_bytes(6 * MIB, 9).to_vec(),
        vec![1; 7 * MIB],
    ];
    for left in leftovers {
        let stopped = Mirror::of(&hub).start().await.stop().await;
        let store = stopped.folder().join("store");
        fs::write(store.join("partial/sha256").join(&hex), &left).unwrap();
        fs::write(store.join("temporary/torn"), b"{").unwrap();
        let mirror = stopped.start().await;
        pull_stubbornly(&mirror, &blob, "left by a power cut").await;
        nothing_is_left_over(&mirror).await;
        mirror.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn f21_a_killed_process_leaves_nothing_wrong() {
    let hub = FakeRegistry::start().await;
    let blobs = blobs(&hub);
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let mut random = SEED;
    for kill in 0..10_u64 {
        let mirror = Roadstead::start(folder.path(), &hub).await;
        assert_eq!(
            files_below(&store.join("temporary")),
            Vec::<PathBuf>::new(),
            "kill {kill}"
        );
        let pulls = blobs.iter().map(|blob| {
            let ask = mirror.blob(NAME, blob);
            tokio::spawn(async move { ask.attempt().await })
        });
        let pulls: Vec<_> = pulls.collect();
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(kill);
        tokio::time::sleep(Duration::from_micros(random >> 47)).await;
        mirror.kill();
        for (pull, blob) in pulls.into_iter().zip(&blobs) {
            let body = pull.await.unwrap().and_then(complete);
            assert!(body.is_none_or(|body| body == blob.bytes), "kill {kill}");
        }
        for path in files_below(&store.join("blobs")) {
            let kept = fs::read(&path).unwrap();
            assert!(
                path.ends_with(Content::new("", kept).digest.trim_start_matches("sha256:")),
                "kill {kill}"
            );
        }
    }
    let mirror = Roadstead::start(folder.path(), &hub).await;
    for blob in &blobs {
        let body = complete(mirror.blob(NAME, blob).reply().await);
        assert!(body.unwrap_or_default() == blob.bytes);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn f35_a_second_process_is_refused_and_a_killed_one_leaves_no_lock() {
    let hub = FakeRegistry::start().await;
    let folder = tempfile::tempdir().unwrap();
    let first = Roadstead::start(folder.path(), &hub).await;
    let mut second = Program::spawn(folder.path(), &hub);
    let (status, said) = second.end();
    assert_eq!(status.code(), Some(1));
    assert!(said.contains("in use by another process"), "{said}");
    first.kill();
    Roadstead::start(folder.path(), &hub).await;
}

/// An ask whose connection may fail.
trait Attempt {
    async fn attempt(self) -> Option<Reply>;
}

impl Attempt for Ask {
    async fn attempt(self) -> Option<Reply> {
        tokio::spawn(self.reply()).await.ok()
    }
}
