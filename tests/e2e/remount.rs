//! A mounted `ConfigMap` changes under load, as kubelet changes it: the new map holds within moments, no pull fails.

use std::{fs, os::unix::fs::symlink, path::Path, time::Duration};

use super::{
    gate::can_play,
    http,
    image::Image,
    load::under_load,
    mirror::{Mirror, upstream},
    process::eventually,
    registry::Registry,
};

const CHANGES: usize = 12;
const SEEN_MAX: Duration = Duration::from_secs(30);
const PULLING_THREADS: usize = 6;
const TAG: &str = "/v2/team/app/manifests/1.0?ns=docker.io";

/// One of the registries that the map leads to in turn, and what it has for the tag.
struct Home {
    host: String,
    registry: Registry,
    image: Image,
}

impl Home {
    /// Both have a blob in common.
    fn new(number: u64, shared: u64) -> Self {
        let registry = Registry::start();
        let image = Image::small(9_000 + number);
        registry.push("images/team/app", "1.0", &image);
        registry.push_noise("images/team/app", shared, 100_000);
        Self {
            host: format!("home-{number}.test"),
            registry,
            image,
        }
    }
}

/// Puts the folder of a new version behind the link that the file's name leads through.
fn remount(mount: &Path, version: usize, host: &str) {
    let name = format!("..version-{version}");
    fs::create_dir(mount.join(&name)).unwrap();
    // A bad version in passing: the one before goes on.
    let scheme = if version.is_multiple_of(4) {
        "https://"
    } else {
        ""
    };
    let text = format!("default::\ndocker.io::{scheme}{host}/images\n");
    fs::write(mount.join(&name).join("maps"), text).unwrap();
    let aside = mount.join("..data_tmp");
    symlink(&name, &aside).unwrap();
    fs::rename(&aside, mount.join("..data")).unwrap();
}

fn now(mirror: &Mirror) -> String {
    let reply = http::get(mirror.address, TAG).expect_status(200, TAG);
    assert_eq!(reply.header("warning"), None, "the tag is stale");
    reply.sha256(|_| ())
}

#[test]
fn a_changed_config_map_holds_within_moments_and_no_pull_fails() {
    let name = "a_changed_config_map_holds_within_moments_and_no_pull_fails";
    if !can_play(name, &["docker-registry"]) {
        return;
    }
    let shared = 9_999;
    let homes = [Home::new(0, shared), Home::new(1, shared)];
    let blob = http::digest_of(&mut super::noise::Noise::new(shared, 100_000));
    let mount = tempfile::tempdir().unwrap();
    remount(mount.path(), 1, &homes[0].host);
    symlink("..data/maps", mount.path().join("maps")).unwrap();
    let tables = homes
        .iter()
        .map(|home| upstream(&home.host, &home.registry));
    let mirror = Mirror::start(&format!(
        "[freshness]\ntag_fresh = \"0s\"\n[[import]]\nformat = \"imageswap\"\nfiles = [\"{}\"]\n{}",
        mount.path().display(),
        tables.collect::<String>()
    ));
    let digests = homes.each_ref().map(|home| home.image.index.digest.clone());
    let target = format!("/v2/team/app/blobs/{blob}?ns=docker.io");
    let pull = |number: usize| {
        if number.is_multiple_of(2) {
            assert!(digests.contains(&now(&mirror)));
        } else {
            let reply = http::get(mirror.address, &target).expect_status(200, &target);
            assert_eq!(reply.sha256(|_| ()), blob);
        }
    };
    under_load(PULLING_THREADS, pull, || {
        let mut version = 1_usize;
        for change in 1..=CHANGES {
            let home = &homes[change % 2];
            version += 1;
            if version.is_multiple_of(4) {
                remount(mount.path(), version, &home.host);
                eventually("the refusal", SEEN_MAX, || {
                    (mirror.metric("roadstead_config_last_reload_ok", "") == 0).then_some(())
                });
                version += 1;
            }
            remount(mount.path(), version, &home.host);
            eventually("the new map", SEEN_MAX, || {
                (now(&mirror) == digests[change % 2]).then_some(())
            });
        }
    });
    let log = mirror.log();
    assert!(
        log.contains("E-SCHEME"),
        "the bad map is not in the log: {log}"
    );
}
