//! The configuration changes ten times a second, every second time into a broken one: no request fails.

use std::{io::Read, thread, time::Duration};

use sha2::{Digest, Sha256};

use super::{
    gate::can_play,
    http::{self, digest_text},
    image::Image,
    load::under_load,
    mirror::{Mirror, upstream},
    process::eventually,
    registry::Registry,
};

const CHANGE_INTERVAL: Duration = Duration::from_millis(100);
const SEEN_MAX: Duration = Duration::from_secs(15);
const PULLING_THREADS: usize = 6;
const COLD_BLOBS: u64 = 200;
const COLD_BYTES: u64 = 100_000;
const LONG_PIECE_BYTES: usize = 256 * 1024;
const BROKEN: [&str; 4] = [
    "[freshness]\ntag_fresh = \"soon\"\n",
    "[upstream.\"harbor.test\"]\nusername = \"robot\"\npassword_file = \"/nowhere\"\n",
    "[[route]]\nfrom = \"docker.io\"\nto = [\"harbor.t",
    "colour = \"blue\"\n",
];

/// Twenty seconds of changes; a debug build makes do with a quarter.
fn changes() -> usize {
    if cfg!(debug_assertions) { 50 } else { 200 }
}

/// What is pulled.
struct Stock {
    image: Image,
    cold: Vec<String>,
    long: String,
}

impl Stock {
    fn push(registry: &Registry) -> Self {
        let image = Image::new(950);
        registry.push("team/app", "1.0", &image);
        let cold = |seed| registry.push_noise("team/cold", seed, COLD_BYTES);
        let long_bytes = u64::try_from(LONG_PIECE_BYTES * changes()).unwrap();
        Self {
            image,
            cold: (10_000..10_000 + COLD_BLOBS).map(cold).collect(),
            long: registry.push_noise("team/long", 951, long_bytes),
        }
    }

    /// A tag that is asked for upstream each time, a kept manifest, a kept blob, or one not kept yet.
    fn pull_one(&self, mirror: &Mirror, number: usize) {
        let (index, layer) = (&self.image.index.digest, &self.image.blobs[1].digest);
        let cold = &self.cold[number % self.cold.len()];
        let (place, digest) = match number % 4 {
            0 => ("app/manifests/1.0".to_owned(), index),
            1 => (format!("app/manifests/{index}"), index),
            2 => (format!("app/blobs/{layer}"), layer),
            _ => (format!("cold/blobs/{cold}"), cold),
        };
        let target = format!("/v2/team/{place}?ns=docker.io");
        let reply = http::get(mirror.address, &target).expect_status(200, &target);
        assert_eq!(reply.header("warning"), None, "{target} is stale");
        assert_eq!(&reply.sha256(|_| ()), digest, "{target}");
    }
}

/// The configuration that was made so many changes after the first, which only the alias shows.
fn good(registry: &Registry, change: usize) -> String {
    format!(
        "[log]\nformat = \"json\"\n[freshness]\ntag_fresh = \"{}ms\"\n[aliases]\n\"change-{change}\" = \"docker.io\"\n\
         [[route]]\nfrom = \"docker.io\"\nto = [\"harbor.test\"]\n{}concurrent_max = {}\n",
        change % 3,
        upstream("harbor.test", registry),
        16 + change / 2 % 2,
    )
}

fn by_alias(mirror: &Mirror, change: usize) -> u16 {
    let target = format!("/v2/change-{change}/team/app/manifests/1.0");
    http::get(mirror.address, &target).status
}

#[test]
fn ten_reloads_a_second_fail_no_request() {
    if !can_play("ten_reloads_a_second_fail_no_request", &["docker-registry"]) {
        return;
    }
    let registry = Registry::start();
    let stock = Stock::push(&registry);
    let mirror = Mirror::start(&good(&registry, 0));
    let target = format!("/v2/team/long/blobs/{}?ns=docker.io", stock.long);
    // Begins before the first change and ends after the last.
    let mut reader = http::get(mirror.address, &target).expect_status(200, &target);
    let mut hasher = Sha256::new();
    let pull = |number: usize| stock.pull_one(&mirror, number);
    let pulls = under_load(PULLING_THREADS, pull, || {
        for change in 1..=changes() {
            let text = if change.is_multiple_of(2) {
                good(&registry, change)
            } else {
                BROKEN[change / 2 % BROKEN.len()].to_owned()
            };
            mirror.rewrite(&text);
            mirror.reload();
            let mut piece = vec![0; LONG_PIECE_BYTES];
            reader.read_exact(&mut piece).unwrap();
            hasher.update(piece);
            thread::sleep(CHANGE_INTERVAL);
        }
    });
    assert_eq!(digest_text(hasher), stock.long);
    assert!(pulls > changes(), "only {pulls} pulls");
    eventually("the last change", SEEN_MAX, || {
        (by_alias(&mirror, changes()) == 200).then_some(())
    });
    assert_eq!(by_alias(&mirror, 0), 404, "the first configuration's alias");
    each_was_reported(&mirror);
}

/// Signals that come while one is being heeded may be taken together, so half of them must show.
fn each_was_reported(mirror: &Mirror) {
    let half = u64::try_from(changes() / 4).unwrap();
    for result in ["ok", "failed"] {
        let count = mirror.metric("roadstead_config_reloads_total", result);
        assert!(count >= half, "{count} reloads were {result}");
    }
    assert_eq!(mirror.metric("roadstead_config_last_reload_ok", ""), 1);
    let log = mirror.log();
    for word in ["tag_fresh", "/nowhere", "colour"] {
        assert!(log.contains(word), "the log does not name {word}");
    }
}
