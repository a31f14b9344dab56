//! What is rendered for nodes, taken by the nodes' own programs: each knows the mirror from our files alone.

use std::{fs, path::Path, time::Duration};

use roadstead::internals::platform::{Configures, renderable};

use super::{
    clients::{Containerd, Docker, Podman, Skopeo},
    gate::{can_play, say_skipped},
    image::Image,
    mirror::{Mirror, upstream},
    process::{command, run},
    registry::Registry,
};

/// Rules that differ by path, which a node's own file for a host could not tell apart.
const ROUTES: &str = r#"
[aliases]
"corp" = "registry.corp:5443"
[[route]]
from = "docker.io"
to = ["internal.test/hub"]
[[route]]
from = "quay.io/team-a"
to = ["internal.test/a"]
[[route]]
from = "quay.io/team-b"
to = ["internal.test/b"]
[[route]]
from = "quay.io/team-b/secret"
action = "deny"
[[route]]
from = "registry.k8s.io"
to = ["internal.test/k8s"]
[[route]]
from = "registry.corp:5443"
to = ["internal.test/corp"]
"#;

/// What a node asks for, and where the image is.
const IMAGES: [(&str, &str); 5] = [
    ("docker.io/library/nginx:1.0", "hub/library/nginx"),
    ("quay.io/team-a/app:1.0", "a/app"),
    ("quay.io/team-b/app:1.0", "b/app"),
    ("registry.k8s.io/coredns/coredns:1.0", "k8s/coredns/coredns"),
    ("registry.corp:5443/x/y:1.0", "corp/x/y"),
];

struct Stage {
    images: Vec<Image>,
    registry: Registry,
    mirror: Mirror,
}

impl Stage {
    fn set(seed: u64) -> Self {
        let registry = Registry::start();
        let push = |(number, (_, repository)): (u64, &(&str, &str))| {
            let image = Image::small(seed + number);
            registry.push(repository, "1.0", &image);
            image
        };
        let images = (0..).zip(&IMAGES).map(push).collect();
        let mirror = Mirror::start(&format!("{}{ROUTES}", upstream("internal.test", &registry)));
        Self {
            images,
            registry,
            mirror,
        }
    }

    /// What is printed for these nodes.
    fn render(&self, format: &str) -> String {
        let url = format!("http://{}", self.mirror.address);
        let render = [format, "--mirror", &url, "--no-fallback"];
        self.mirror.command("render", &render).succeed(format)
    }

    fn render_into(&self, format: &str, folder: &Path) {
        let url = format!("http://{}", self.mirror.address);
        let folder = folder.to_str().unwrap();
        let render = [
            format,
            "--mirror",
            &url,
            "--no-fallback",
            "--output",
            folder,
        ];
        self.mirror.command("render", &render).succeed(format);
    }

    fn each(&self) -> impl Iterator<Item = (&str, &Image)> {
        let names = IMAGES.iter().map(|(name, _)| *name);
        names.zip(&self.images)
    }
}

#[test]
fn a_rendered_certs_d_sends_every_registry_here_and_keeps_paths_apart() {
    let name = "a_rendered_certs_d_sends_every_registry_here_and_keeps_paths_apart";
    if !can_play(name, &["docker-registry", "containerd", "ctr"]) {
        return;
    }
    let stage = Stage::set(8_100);
    let containerd = Containerd::start();
    stage.render_into("hosts-toml", &containerd.hosts());
    for (name, image) in stage.each() {
        assert_eq!(containerd.pull(name), image.index.digest, "{name}");
    }
    for (refused, status) in [
        ("quay.io/team-b/secret/x:1.0", "403"),
        ("quay.io/other/x:1.0", "404"),
    ] {
        let before = stage.registry.asked().len();
        let error = containerd.try_pull(refused).unwrap_err();
        assert!(
            error.contains(status) || error.contains("not found"),
            "{refused}: {error}"
        );
        assert_eq!(
            stage.registry.asked().len(),
            before + 1,
            "{refused} was asked for"
        );
    }
}

#[test]
fn a_rendered_registries_conf_serves_skopeo_and_podman() {
    let name = "a_rendered_registries_conf_serves_skopeo_and_podman";
    if !can_play(name, &["docker-registry", "skopeo", "podman"]) {
        return;
    }
    let stage = Stage::set(8_200);
    let conf = stage.render("registries-conf");
    let (skopeo, podman) = (Skopeo::with(&conf), Podman::with(&conf));
    for (name, image) in stage.each() {
        assert_eq!(skopeo.pull(name), image.manifests[0].digest, "{name}");
        assert!(
            podman.pull(name).contains(&image.manifests[0].digest),
            "{name}"
        );
        podman.forget();
    }
}

#[test]
fn a_rendered_daemon_json_serves_dockerd() {
    let name = "a_rendered_daemon_json_serves_dockerd";
    if !can_play(
        name,
        &["docker-registry", "containerd", "dockerd", "docker"],
    ) {
        return;
    }
    let stage = Stage::set(8_300);
    let config = serde_json::from_str(&stage.render("docker")).unwrap();
    let containerd = Containerd::start();
    let docker = Docker::with(&containerd, config);
    assert_eq!(docker.pull("nginx:1.0"), stage.images[0].index.digest);
}

#[test]
fn containerd_reads_a_rendered_legacy_config() {
    let name = "containerd_reads_a_rendered_legacy_config";
    if !can_play(name, &["docker-registry", "containerd"]) {
        return;
    }
    let stage = Stage::set(8_400);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.toml");
    fs::write(&file, stage.render("containerd-legacy")).unwrap();
    let mut dump = command("containerd");
    dump.arg("--config").arg(&file).args(["config", "dump"]);
    let dump = run("containerd", &mut dump, Duration::from_secs(30)).succeed("config dump");
    let endpoint = format!("endpoint = [\"http://{}\"]", stage.mirror.address);
    assert!(dump.contains(&endpoint), "{endpoint} in {dump}");
}

/// Platform files that are Kubernetes' own kind of file.
#[test]
fn kubectl_reads_what_is_rendered_for_platforms() {
    let name = "kubectl_reads_what_is_rendered_for_platforms";
    if !can_play(name, &["docker-registry", "kubectl"]) {
        return;
    }
    let stage = Stage::set(8_500);
    let platforms =
        renderable().filter(|(_, renderer)| renderer.configures == Configures::Platform);
    for (format, _) in platforms {
        let folder = tempfile::tempdir().unwrap();
        stage.render_into(format, folder.path());
        kustomize(format, folder.path(), &stage.mirror.address.to_string());
    }
}

const OPERATOR: &str = "\
apiVersion: v1
kind: ConfigMap
metadata:
  name: cass-operator-manager-config
data:
  image_config.yaml: of the operator's own
";

/// Since 1.21; Debian 12 has an older one.
fn takes_patches() -> bool {
    let mut kubectl = command("kubectl");
    kubectl.args(["kustomize", "--help"]);
    let help = run("kubectl", &mut kubectl, Duration::from_secs(30));
    help.out.contains("--enable-helm")
}

/// Takes every object of the folder as a resource, unless there is a kustomization already.
fn kustomize(format: &str, folder: &Path, mirror: &str) {
    let file = folder.join("kustomization.yaml");
    if file.exists() {
        if !takes_patches() {
            say_skipped(
                format,
                "this kubectl is too old for a kustomization with patches",
            );
            return;
        }
        // What the kustomization is laid over.
        let base = folder.join("config/deployments/cluster");
        fs::create_dir_all(&base).unwrap();
        fs::write(
            base.join("kustomization.yaml"),
            "resources: [operator.yaml]\n",
        )
        .unwrap();
        fs::write(base.join("operator.yaml"), OPERATOR).unwrap();
    } else {
        let names = fs::read_dir(folder).unwrap();
        let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let is_object = |name: &String| {
            let text = fs::read_to_string(folder.join(name)).unwrap();
            text.contains("apiVersion:")
        };
        let names = names.filter(is_object);
        let resources: Vec<_> = names.map(|name| format!("- {name}\n")).collect();
        assert!(!resources.is_empty(), "{format} has no object");
        fs::write(&file, format!("resources:\n{}", resources.concat())).unwrap();
    }
    let mut kubectl = command("kubectl");
    kubectl.arg("kustomize").arg(folder);
    let built = run("kubectl", &mut kubectl, Duration::from_secs(30)).succeed(format);
    assert!(built.contains(mirror), "{format}: {mirror} in {built}");
}
