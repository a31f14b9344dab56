//! Certificates that change a hundred times under load: no pull notices.

use std::{
    fs,
    io::Read,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use sha2::{Digest, Sha256};

use super::{
    certificates::{Authority, Pair, PairFiles},
    clients::{Skopeo, Way},
    gate::can_play,
    http::digest_text,
    image::Image,
    load::under_load,
    mirror::{Mirror, Setup, upstream},
    process::eventually,
    registry::Registry,
    tls::{Caller, certificate},
};

const ROTATIONS: u64 = 100;
/// Rotations that nobody tells the mirror of, and one in how many they are.
const UNTOLD_EACH: u64 = 25;
const SEEN_MAX: Duration = Duration::from_secs(15);
const PULLING_THREADS: usize = 4;
/// One pull in so many is skopeo's, from nothing.
const SKOPEO_EACH: usize = 50;
const LONG_PIECE_BYTES: usize = 256 * 1024;

/// A folder as Kubernetes mounts a Secret: names that lead through one link to the files of a version.
struct Volume {
    folder: PathBuf,
    files: PairFiles,
}

impl Volume {
    fn new(folder: &Path, pair: &Pair) -> Self {
        let volume = Self {
            folder: folder.to_owned(),
            files: PairFiles {
                certificate: folder.join("own.crt"),
                key: folder.join("own.key"),
            },
        };
        volume.swap(0, pair);
        for name in ["own.crt", "own.key"] {
            symlink(Path::new("..data").join(name), folder.join(name)).unwrap();
        }
        volume
    }

    /// Both files at once, as Kubernetes does it.
    fn swap(&self, version: u64, pair: &Pair) {
        let place = format!("..version-{version}");
        fs::create_dir(self.folder.join(&place)).unwrap();
        pair.write(&self.folder.join(&place), "own");
        symlink(&place, self.folder.join("..data_tmp")).unwrap();
        fs::rename(self.folder.join("..data_tmp"), self.folder.join("..data")).unwrap();
    }

    /// One file after the other, the first of them in two parts; the mirror is told of each step.
    fn write_in_steps(&self, pair: &Pair, step: impl Fn()) {
        let (half, _) = pair.certificate.split_at(pair.certificate.len() / 2);
        for (file, text) in [
            (&self.files.certificate, half),
            (&self.files.certificate, &pair.certificate),
            (&self.files.key, &pair.key),
        ] {
            step();
            fs::write(file, text).unwrap();
        }
    }
}

#[test]
fn a_hundred_rotations_fail_no_pull() {
    let scene = "a_hundred_rotations_fail_no_pull";
    if !can_play(scene, &["docker-registry", "skopeo"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let house = Authority::new("house");
    let volume = Volume::new(folder.path(), &house.issue(&["127.0.0.1"]));
    let registry = Registry::start();
    let image = Image::new(830);
    registry.push("team/app", "1.0", &image);
    let long_bytes = LONG_PIECE_BYTES * usize::try_from(ROTATIONS).unwrap();
    let long = registry.push_noise("team/long", 831, u64::try_from(long_bytes).unwrap());
    let mirror = Mirror::start_as(Setup {
        server: volume.files.listener(),
        rest: format!(
            "{}[[route]]\nfrom = \"docker.io\"\nto = [\"harbor.test\"]\n",
            upstream("harbor.test", &registry)
        ),
        ..Setup::default()
    });
    let caller = Caller::new(&house, None);
    let target = format!("/v2/team/long/blobs/{long}?ns=docker.io");
    // Begins before the first rotation and ends after the last.
    let mut reader = caller.get(mirror.address, &target).unwrap();
    let mut hasher = Sha256::new();
    let authorities = tempfile::tempdir().unwrap();
    house.write(authorities.path(), "ca.crt");
    let skopeo = Skopeo::by(&mirror.address.to_string(), &Way::Tls(authorities.path()));
    let skopeo_pulls = AtomicUsize::new(0);
    let pull = |number: usize| {
        if number.is_multiple_of(SKOPEO_EACH) {
            let pulled = skopeo.pull("docker.io/team/app:1.0");
            assert_eq!(pulled, image.manifests[0].digest);
            skopeo_pulls.fetch_add(1, Ordering::Relaxed);
        } else {
            pull_one(&caller, &mirror, &image, number);
        }
    };
    let pulls = under_load(PULLING_THREADS, pull, || {
        for rotation in 1..=ROTATIONS {
            let pair = house.issue(&["127.0.0.1"]);
            rotate(&volume, &mirror, rotation, &pair);
            let new = certificate(&pair.certificate);
            eventually("the new certificate", SEEN_MAX, || {
                let shown = caller.shown(mirror.address).unwrap();
                (shown == new).then_some(())
            });
            let mut piece = vec![0; LONG_PIECE_BYTES];
            reader.read_exact(&mut piece).unwrap();
            hasher.update(piece);
        }
    });
    assert_eq!(digest_text(hasher), long);
    assert!(skopeo_pulls.into_inner() > 1, "skopeo pulled too seldom");
    assert!(pulls > 100, "only {pulls} pulls");
    let failed = mirror.metric("roadstead_config_reloads_total", "failed");
    assert!(failed > 0, "no half-written pair was ever met");
}

/// By turns in steps and at once; now and then the mirror has to find out by itself.
fn rotate(volume: &Volume, mirror: &Mirror, rotation: u64, pair: &Pair) {
    if rotation.is_multiple_of(2) {
        volume.write_in_steps(pair, || mirror.reload());
    } else {
        volume.swap(rotation, pair);
    }
    if !rotation.is_multiple_of(UNTOLD_EACH) {
        mirror.reload();
    }
}

/// One part of the image on a connection of its own, so that each pull shakes hands anew.
fn pull_one(caller: &Caller, mirror: &Mirror, image: &Image, number: usize) {
    let blob = &image.blobs[number % image.blobs.len()].digest;
    let (place, digest) = if number.is_multiple_of(2) {
        ("manifests/1.0".to_owned(), &image.index.digest)
    } else {
        (format!("blobs/{blob}"), blob)
    };
    let target = format!("/v2/team/app/{place}?ns=docker.io");
    let reply = caller.get(mirror.address, &target).unwrap();
    let got = reply.expect_status(200, &target).sha256(|_| ());
    assert_eq!(&got, digest, "{target}");
}
