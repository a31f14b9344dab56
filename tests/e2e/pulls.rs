//! Scenes in which container clients pull images.

use std::net::SocketAddr;

use super::{
    clients::{Containerd, Docker, Podman, Skopeo, location},
    gate::can_play,
    http,
    image::Image,
    mirror::{Mirror, upstream},
    process::Signal,
    registry::Registry,
    shapes::{self, ALIAS},
};

const NODE: [&str; 7] = [
    "docker-registry",
    "containerd",
    "ctr",
    "dockerd",
    "docker",
    "podman",
    "skopeo",
];

/// The `hosts.toml` line that makes containerd use a path as it is written.
const OVERRIDE: &str = "override_path = true";

/// Docker Hub is kept under a path of the internal registry; nothing of it is fresh for longer than a moment.
fn airgap(registry: &Registry) -> Mirror {
    Mirror::start(&format!(
        "[freshness]\ntag_fresh = \"0s\"\nabsent = \"0s\"\n\
         [aliases]\n\"{ALIAS}\" = \"docker.io\"\n\
         {}[[route]]\nfrom = \"docker.io\"\nto = [\"harbor.test/{ALIAS}\"]\n",
        upstream("harbor.test", registry)
    ))
}

fn push(registry: &Registry, name: &str, seed: u64) -> Image {
    let image = Image::new(seed);
    registry.push(&format!("{ALIAS}/library/{name}"), "1.0", &image);
    image
}

/// A node with every client, all of them set to the same mirror.
struct Node {
    docker: Docker,
    containerd: Containerd,
    skopeo: Skopeo,
    podman: Podman,
    direct: String,
}

impl Node {
    fn new(mirror: SocketAddr) -> Self {
        let containerd = Containerd::start();
        containerd.set_host(&mirror.to_string(), "");
        Self {
            docker: Docker::start(&containerd, mirror),
            containerd,
            skopeo: Skopeo::new(&mirror.to_string()),
            podman: Podman::new(&mirror.to_string()),
            direct: mirror.to_string(),
        }
    }

    /// Pulls `docker.io/library/NAME` by tag and by digest with every client, from nothing.
    fn pull(&self, name: &str, image: &Image) {
        let index = &image.index.digest;
        let amd64 = &image.manifests[0].digest;
        for end in [":1.0".to_owned(), format!("@{index}")] {
            assert_eq!(
                self.containerd
                    .pull(&format!("docker.io/library/{name}{end}")),
                *index
            );
            self.containerd.forget();
            assert_eq!(self.docker.pull(&format!("{name}{end}")), *index);
            self.docker.forget();
            assert_eq!(
                self.skopeo.pull(&format!("docker.io/library/{name}{end}")),
                *amd64
            );
            let digests = self.podman.pull(&format!("docker.io/library/{name}{end}"));
            assert!(digests.contains(index), "{digests}");
            self.podman.forget();
            let direct = format!("{}/library/{name}{end}", self.direct);
            assert_eq!(self.skopeo.pull(&direct), *amd64);
        }
    }
}

/// The stage itself: where this fails, the mirror is not to blame.
#[test]
fn the_clients_pull_from_the_registry_itself() {
    if !can_play("the_clients_pull_from_the_registry_itself", &NODE) {
        return;
    }
    let registry = Registry::start();
    let image = Image::new(1);
    registry.push("library/stage", "1.0", &image);
    let before = registry.asked().len();
    Node::new(registry.address).pull("stage", &image);
    assert!(!registry.blob_gets(before).is_empty());
}

#[test]
fn containerd_pulls_in_every_path_shape() {
    if !can_play(
        "containerd_pulls_in_every_path_shape",
        &["docker-registry", "containerd", "ctr"],
    ) {
        return;
    }
    let registry = Registry::start();
    let mirror = airgap(&registry);
    let containerd = Containerd::start();
    let at = mirror.address;
    let hosts = [
        ("host", format!("{at}"), ""),
        ("path-alias", format!("{at}/{ALIAS}"), ""),
        ("path-registry", format!("{at}/docker.io"), ""),
        ("override-alias", format!("{at}/v2/{ALIAS}"), OVERRIDE),
        ("override-registry", format!("{at}/v2/docker.io"), OVERRIDE),
        ("double-alias", format!("{at}/v2/{ALIAS}"), ""),
        ("double-registry", format!("{at}/v2/docker.io"), ""),
    ];
    for (seed, (name, host, option)) in (10..).zip(hosts) {
        let image = push(&registry, name, seed);
        let reference = format!("docker.io/library/{name}:1.0");
        containerd.set_host(&host, option);
        let cold = registry.asked().len();
        assert_eq!(
            containerd.pull(&reference),
            image.index.digest,
            "{name}, cold"
        );
        assert_eq!(
            registry.blob_gets(cold).len(),
            4,
            "{name}: configuration and layers"
        );
        containerd.forget();
        let warm = registry.asked().len();
        assert_eq!(
            containerd.pull(&reference),
            image.index.digest,
            "{name}, kept"
        );
        assert_eq!(
            registry.blob_gets(warm),
            Vec::<String>::new(),
            "{name}, kept"
        );
        containerd.forget();
    }
}

/// Clients that are not packaged here, by what they put on the wire.
#[test]
fn every_request_shape_names_the_same_image() {
    if !can_play(
        "every_request_shape_names_the_same_image",
        &["docker-registry"],
    ) {
        return;
    }
    let registry = Registry::start();
    let mirror = airgap(&registry);
    let image = push(&registry, "shape", 20);
    let layer = &image.blobs[0];
    for (kind, digest) in [
        ("manifests/1.0".to_owned(), &image.index.digest),
        (
            format!("manifests/{}", image.index.digest),
            &image.index.digest,
        ),
        (format!("blobs/{}", layer.digest), &layer.digest),
    ] {
        for shape in shapes::all("library/shape", &kind) {
            let reply = http::get(mirror.address, &shape.target).expect_status(200, &shape.target);
            assert_eq!(reply.header("docker-content-digest"), Some(digest.as_str()));
            assert_eq!(&reply.sha256(|_| ()), digest, "{}", shape.name);
        }
    }
}

#[test]
fn dockerd_pulls_through_registry_mirrors() {
    if !can_play(
        "dockerd_pulls_through_registry_mirrors",
        &["docker-registry", "containerd", "ctr", "dockerd", "docker"],
    ) {
        return;
    }
    let registry = Registry::start();
    let mirror = airgap(&registry);
    let containerd = Containerd::start();
    let docker = Docker::start(&containerd, mirror.address);
    let image = push(&registry, "engine", 30);
    for reference in [
        "engine:1.0".to_owned(),
        format!("engine@{}", image.index.digest),
    ] {
        assert_eq!(docker.pull(&reference), image.index.digest);
        docker.forget();
    }
}

#[test]
fn skopeo_pulls_through_registries_conf() {
    if !can_play(
        "skopeo_pulls_through_registries_conf",
        &["docker-registry", "skopeo"],
    ) {
        return;
    }
    let registry = Registry::start();
    let mirror = airgap(&registry);
    let image = push(&registry, "copied", 40);
    for path in ["", ALIAS, "docker.io"] {
        let skopeo = Skopeo::new(&location(mirror.address, path));
        for end in [":1.0".to_owned(), format!("@{}", image.index.digest)] {
            let named = format!("docker.io/library/copied{end}");
            assert_eq!(skopeo.pull(&named), image.manifests[0].digest);
            let direct = format!("{}/{named}", mirror.address);
            assert_eq!(skopeo.pull(&direct), image.manifests[0].digest);
        }
    }
}

#[test]
fn podman_pulls_through_registries_conf() {
    if !can_play(
        "podman_pulls_through_registries_conf",
        &["docker-registry", "podman"],
    ) {
        return;
    }
    let registry = Registry::start();
    let mirror = airgap(&registry);
    let image = push(&registry, "podded", 50);
    let podman = Podman::new(&location(mirror.address, ALIAS));
    for end in [":1.0".to_owned(), format!("@{}", image.index.digest)] {
        let digests = podman.pull(&format!("docker.io/library/podded{end}"));
        assert!(digests.contains(&image.index.digest), "{digests}");
        podman.forget();
    }
}

#[test]
fn everything_again_with_the_upstream_dead() {
    if !can_play("everything_again_with_the_upstream_dead", &NODE) {
        return;
    }
    let registry = Registry::start();
    let mut mirror = airgap(&registry);
    let image = push(&registry, "kept", 60);
    let node = Node::new(mirror.address);
    node.pull("kept", &image);
    drop(registry);
    node.pull("kept", &image);
    mirror.restart(Signal::TERM);
    node.pull("kept", &image);
    mirror.restart(Signal::KILL);
    node.pull("kept", &image);
}
