//! Nodes that come by TLS: they trust the scene's authority, and may have to show a certificate.

use std::{fs, path::Path};

use super::{
    certificates::{Authority, Pair},
    clients::{Containerd, Skopeo, Way},
    gate::can_play,
    image::Image,
    mirror::{Mirror, Setup, upstream},
    registry::Registry,
    tls::Caller,
};

const TARGET: &str = "/v2/team/app/manifests/1.0?ns=docker.io";

/// A mirror with a certificate, and the files a node gets to know it by.
struct Stage {
    mirror: Mirror,
    image: Image,
    house: Authority,
    /// A node's own certificate.
    node: Pair,
    folder: tempfile::TempDir,
    _registry: Registry,
}

impl Stage {
    /// `option` is a further line for the listener, made of the file with the authority.
    fn set(seed: u64, option: impl FnOnce(&Path) -> String) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let house = Authority::new("house");
        let authority = house.write(folder.path(), "ca.crt");
        let own = house.issue(&["127.0.0.1"]).write(folder.path(), "own");
        let node = house.issue(&[]);
        fs::write(folder.path().join("client.cert"), &node.certificate).unwrap();
        fs::write(folder.path().join("client.key"), &node.key).unwrap();
        let registry = Registry::start();
        let image = Image::new(seed);
        registry.push("team/app", "1.0", &image);
        let mirror = Mirror::start_as(Setup {
            server: own.listener() + &option(&authority),
            rest: format!(
                "{}[[route]]\nfrom = \"docker.io\"\nto = [\"harbor.test\"]\n",
                upstream("harbor.test", &registry)
            ),
            ..Setup::default()
        });
        Self {
            mirror,
            image,
            house,
            node,
            folder,
            _registry: registry,
        }
    }

    /// Pulls with skopeo, which has some of the node's files.
    fn pull_with(&self, names: &[&str]) -> Result<String, String> {
        let some = tempfile::tempdir().unwrap();
        for name in names {
            fs::copy(self.folder.path().join(name), some.path().join(name)).unwrap();
        }
        let address = self.mirror.address.to_string();
        Skopeo::by(&address, &Way::Tls(some.path())).try_pull("docker.io/team/app:1.0")
    }
}

/// Only those with a certificate of the authority may come in.
fn with_clients(authority: &Path) -> String {
    format!("client_ca_file = \"{}\"\n", authority.display())
}

fn for_all(_authority: &Path) -> String {
    String::new()
}

#[test]
fn skopeo_pulls_over_https() {
    if !can_play("skopeo_pulls_over_https", &["docker-registry", "skopeo"]) {
        return;
    }
    let stage = Stage::set(800, for_all);
    let pulled = stage.pull_with(&["ca.crt"]).unwrap();
    assert_eq!(pulled, stage.image.manifests[0].digest);
    let error = stage.pull_with(&[]).unwrap_err();
    assert!(error.contains("unknown authority"), "{error}");
}

#[test]
fn skopeo_shows_its_certificate_where_one_is_demanded() {
    let scene = "skopeo_shows_its_certificate_where_one_is_demanded";
    if !can_play(scene, &["docker-registry", "skopeo"]) {
        return;
    }
    let stage = Stage::set(810, with_clients);
    let known = stage.pull_with(&["ca.crt", "client.cert", "client.key"]);
    assert_eq!(known.unwrap(), stage.image.manifests[0].digest);
    assert!(
        stage.pull_with(&["ca.crt"]).is_err(),
        "a nameless skopeo was let in"
    );
    let get = |pair: Option<&Pair>| {
        let caller = Caller::new(&stage.house, pair);
        let reply = caller.get(stage.mirror.address, TARGET);
        reply.map(|reply| reply.status)
    };
    assert_eq!(get(Some(&stage.node)).unwrap(), 200);
    let stranger = Authority::new("stranger").issue(&[]);
    assert!(get(Some(&stranger)).is_err(), "a stranger was let in");
    assert!(
        get(None).is_err(),
        "somebody without a certificate was let in"
    );
}

#[test]
fn containerd_pulls_over_https_with_and_without_a_certificate() {
    let scene = "containerd_pulls_over_https_with_and_without_a_certificate";
    if !can_play(scene, &["docker-registry", "containerd", "ctr"]) {
        return;
    }
    let containerd = Containerd::start();
    for seed in [820, 821] {
        let demands = seed == 821;
        let stage = Stage::set(seed, if demands { with_clients } else { for_all });
        let at = |name: &str| stage.folder.path().join(name).display().to_string();
        let [ca, certificate, key] = ["ca.crt", "client.cert", "client.key"].map(at);
        let shown = format!("client = [[\"{certificate}\", \"{key}\"]]\n");
        let option = format!("ca = \"{ca}\"\n{}", if demands { &shown } else { "" });
        containerd.set_url(&format!("https://{}", stage.mirror.address), &option);
        for end in [":1.0".to_owned(), format!("@{}", stage.image.index.digest)] {
            let pulled = containerd.pull(&format!("docker.io/team/app{end}"));
            assert_eq!(pulled, stage.image.index.digest);
            containerd.forget();
        }
    }
}
