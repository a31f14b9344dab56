//! Scenes about many readers, many upstreams and the end of the process.

use std::{
    io::Read,
    sync::{
        Barrier,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use serde_json::json;
use sha2::{Digest, Sha256};

use super::{
    gate::can_play,
    http::{self, Reply},
    image::{Blob, Image, MANIFEST},
    mirror::{Mirror, upstream},
    noise::Noise,
    process::{Signal, eventually},
    registry::{Registry, whole},
};

const MIB: u64 = 1024 * 1024;
const FIRST_READERS: usize = 50;
const LATE_READERS: usize = 10;
const RANGE_READERS: u64 = 10;
const HALF_MAX: Duration = Duration::from_mins(2);
const DRAINING_MAX: Duration = Duration::from_secs(10);
/// What makes the reader slow.
const READER_PAUSE: Duration = Duration::from_millis(50);
const PACED_PIECES: u64 = 20;
const READS: usize = 1000;
const READING_THREADS: usize = 8;

/// A repository whose one layer is large, and what reads of it must give.
struct Large {
    seed: u64,
    length: u64,
    digest: String,
}

impl Large {
    fn push(registry: &Registry, repository: &str, seed: u64, length: u64) -> Self {
        let digest = registry.push_noise(repository, seed, length);
        let config = Blob::new("application/vnd.oci.empty.v1+json", b"{}".to_vec());
        registry.push_blob(
            repository,
            &config.digest,
            whole(&mut config.bytes.as_slice()),
        );
        let layer = "application/vnd.oci.image.layer.v1.tar";
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": {"mediaType": config.media_type, "digest": config.digest, "size": 2},
            "layers": [{"mediaType": layer, "digest": digest, "size": length}],
        });
        let manifest = Blob::new(MANIFEST, manifest.to_string().into_bytes());
        registry.push_manifest(repository, "1.0", &manifest);
        Self {
            seed,
            length,
            digest,
        }
    }

    fn target(&self, repository: &str) -> String {
        format!("/v2/{repository}/blobs/{}?ns=docker.io", self.digest)
    }
}

fn mirror_of(registry: &Registry) -> Mirror {
    Mirror::start(&format!(
        "{}[[route]]\nfrom = \"docker.io\"\nto = [\"harbor.test\"]\n",
        upstream("harbor.test", registry)
    ))
}

/// Hashing dozens of gigabytes takes a release build.
fn large_length() -> u64 {
    let full = std::env::var_os("ROADSTEAD_E2E_FULL").is_some() || !cfg!(debug_assertions);
    if full { 300 * MIB } else { 48 * MIB }
}

#[test]
fn fifty_cold_pulls_make_one_upstream_get() {
    if !can_play(
        "fifty_cold_pulls_make_one_upstream_get",
        &["docker-registry"],
    ) {
        return;
    }
    let registry = Registry::start();
    let large = Large::push(&registry, "team/large", 7, large_length());
    let mirror = mirror_of(&registry);
    let manifest = "/v2/team/large/manifests/1.0?ns=docker.io";
    http::get(mirror.address, manifest).expect_status(200, manifest);
    let before = registry.asked().len();
    let target = large.target("team/large");
    let half = AtomicBool::new(false);
    let start = Barrier::new(FIRST_READERS);
    let read = || http::get(mirror.address, &target).expect_status(200, &target);
    thread::scope(|scope| {
        for _ in 0..FIRST_READERS {
            scope.spawn(|| {
                start.wait();
                let half_bytes = large.length / 2;
                let digest = read().sha256(|arrived| {
                    half.fetch_or(arrived >= half_bytes, Ordering::Relaxed);
                });
                assert_eq!(digest, large.digest);
            });
        }
        eventually("half of the blob", HALF_MAX, || {
            half.load(Ordering::Relaxed).then_some(())
        });
        for _ in 0..LATE_READERS {
            scope.spawn(|| assert_eq!(read().sha256(|_| ()), large.digest));
        }
        for number in 0..RANGE_READERS {
            let (large, mirror) = (&large, &mirror);
            scope.spawn(move || read_slice(mirror, large, number));
        }
    });
    let gets = registry.blob_gets(before);
    assert_eq!(gets.len(), 1, "upstream GETs of one blob");
    assert_eq!(gets[0], format!("/v2/team/large/blobs/{}", large.digest));
}

/// One of ten slices that lie all over the blob, the last of them up to its end.
fn read_slice(mirror: &Mirror, large: &Large, number: u64) {
    let start = large.length / RANGE_READERS * number + number * 7;
    let end = (start + large.length / 8).min(large.length);
    let range = format!("bytes={start}-{}", end - 1);
    let target = large.target("team/large");
    let reply = http::send(mirror.address, "GET", &target, &[("Range", &range)], None).unwrap();
    let reply = reply.expect_status(206, &range);
    let told = format!("bytes {start}-{}/{}", end - 1, large.length);
    assert_eq!(reply.header("content-range"), Some(told.as_str()));
    let expected = http::digest_of(&mut Noise::slice(large.seed, start, end));
    assert_eq!(reply.sha256(|_| ()), expected, "{range}");
}

#[test]
fn two_upstreams_never_mix() {
    if !can_play("two_upstreams_never_mix", &["docker-registry"]) {
        return;
    }
    let registries = [Registry::start(), Registry::start()];
    let images = [Image::new(501), Image::new(502)];
    for (registry, image) in registries.iter().zip(&images) {
        registry.push("team/app", "1.0", image);
    }
    let mirror = Mirror::start(&format!(
        "[freshness]\ntag_fresh = \"0s\"\nabsent = \"0s\"\n{}{}\
         [[route]]\nfrom = \"quay.io\"\nto = [\"one.test\"]\n\
         [[route]]\nfrom = \"ghcr.io\"\nto = [\"two.test\"]\n",
        upstream("one.test", &registries[0]),
        upstream("two.test", &registries[1])
    ));
    thread::scope(|scope| {
        for thread in 0..READING_THREADS {
            let (mirror, images) = (&mirror, &images);
            scope.spawn(move || {
                for read in (thread..READS).step_by(READING_THREADS) {
                    read_one_side(mirror, images, read);
                }
            });
        }
    });
}

/// Reads a tag, a digest or a blob on one side; what only the other side holds must be absent.
fn read_one_side(mirror: &Mirror, images: &[Image; 2], read: usize) {
    let side = read % 2;
    let host = ["quay.io", "ghcr.io"][side];
    let own = &images[side];
    let other = &images[1 - side];
    let (place, expected) = match read / 2 % 4 {
        0 => ("manifests/1.0".to_owned(), Some(&own.index.digest)),
        1 => (
            format!("manifests/{}", own.index.digest),
            Some(&own.index.digest),
        ),
        2 => (
            format!("blobs/{}", own.blobs[0].digest),
            Some(&own.blobs[0].digest),
        ),
        _ => (format!("manifests/{}", other.index.digest), None),
    };
    let target = format!("/v2/team/app/{place}?ns={host}");
    let reply = http::get(mirror.address, &target);
    match expected {
        Some(digest) => {
            let got = reply.expect_status(200, &target).sha256(|_| ());
            assert_eq!(&got, digest, "{target}");
        }
        None => assert_eq!(reply.status, 404, "{target}"),
    }
}

#[test]
fn sigterm_drains() {
    if !can_play("sigterm_drains", &["docker-registry"]) {
        return;
    }
    let registry = Registry::start();
    let large = Large::push(&registry, "team/slow", 8, 96 * MIB);
    let mut mirror = mirror_of(&registry);
    let target = large.target("team/slow");
    let mut reply = http::get(mirror.address, &target).expect_status(200, &target);
    let mut hasher = Sha256::new();
    hasher.update(read_piece(&mut reply));
    mirror.signal(Signal::TERM);
    let ready = || http::send(mirror.admin, "GET", "/readyz", &[], None).map(|reply| reply.status);
    eventually("readyz to say 503", DRAINING_MAX, || {
        ready().is_ok_and(|status| status == 503).then_some(())
    });
    for _ in 0..PACED_PIECES {
        thread::sleep(READER_PAUSE);
        assert_eq!(ready().unwrap(), 503, "while a body is on its way");
        hasher.update(read_piece(&mut reply));
    }
    // What is left may lie in the kernel's buffers, and the mirror be gone already.
    for _ in 1 + PACED_PIECES..large.length / MIB {
        hasher.update(read_piece(&mut reply));
    }
    assert_eq!(http::digest_text(hasher), large.digest);
    drop(reply);
    let status = mirror.wait();
    assert!(status.success(), "drained, roadstead ended with {status}");
}

fn read_piece(reply: &mut Reply) -> Vec<u8> {
    let mut piece = vec![0; usize::try_from(MIB).unwrap()];
    reply.read_exact(&mut piece).unwrap();
    piece
}
