//! Each platform's own file as routes: a real containerd asks for the public names that the platform would use, and
//! gets what an internal registry holds where the platform's file says. And back: the platform's configuration as
//! rendered, whose names lead to the mirror itself.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt as _,
    path::Path,
};

use tempfile::TempDir;

use super::{
    clients::Containerd,
    gate::can_play,
    image::Image,
    mirror::{Mirror, upstream},
    registry::Registry,
};

const PROGRAMS: [&str; 3] = ["docker-registry", "containerd", "ctr"];

/// What stands for the internal registry's address in the files.
const REGISTRY: &str = "REGISTRY";

/// One platform: its file, the images that it uses, and what it is told when it is pointed at the mirror.
struct Platform {
    format: &'static str,
    /// Name and text; `REGISTRY` stands for the internal registry.
    files: &'static [(&'static str, &'static str)],
    /// Further keys of the import.
    keys: &'static str,
    /// What a node asks for, and the repository and tag that hold it.
    images: &'static [(&'static str, &'static str, &'static str)],
    /// What the rendered files must say, `MIRROR` for the mirror, and the names that follow from it, with the image that
    /// each must be.
    rendered: &'static [(&'static str, &'static str, usize)],
}

/// How the file gets into the configuration.
#[derive(Clone, Copy, PartialEq)]
enum Way {
    /// Watched, by `[[import]]`.
    Watched,
    /// Once, by `roadstead import`.
    Converted,
}

const PALETTE: Platform = Platform {
    format: "palette",
    files: &[(
        "registry-secret.yaml",
        include_str!("platforms/palette.yaml"),
    )],
    keys: "",
    images: &[
        (
            "docker.io/library/nginx:1.25",
            "airgap-images/docker.io/library/nginx",
            "1.25",
        ),
        (
            "gcr.io/spectro-images-public/release/thewebroot/imageswap:v1.5.2-spectro-4.1.1",
            "airgap-images/gcr.io/spectro-images-public/release/thewebroot/imageswap",
            "v1.5.2-spectro-4.1.1",
        ),
        (
            "registry.k8s.io/pause:3.9",
            "airgap-images/k8s.io/pause",
            "3.9",
        ),
        (
            "us-docker.pkg.dev/palette-images-fips/palette/spectro-cert-manager/cert-manager-webhook:v1.17.0-spectro-4.6.1",
            "airgap-images/us-docker.pkg.dev/palette-images-fips/palette/spectro-cert-manager/cert-manager-webhook",
            "v1.17.0-spectro-4.6.1",
        ),
    ],
    rendered: &[
        (
            "docker.io::MIRROR/docker.io",
            "MIRROR/docker.io/nginx:1.25",
            0,
        ),
        (
            "registry.k8s.io::MIRROR/v2/registry.k8s.io",
            "MIRROR/registry.k8s.io/pause:3.9",
            2,
        ),
    ],
};

const K8SSANDRA: Platform = Platform {
    format: "k8ssandra",
    files: &[(
        "kustomization.yaml",
        include_str!("platforms/k8ssandra.yaml"),
    )],
    keys: "",
    images: &[
        (
            "ghcr.io/k8ssandra/cass-management-api:4.1.4-ubi",
            "enterprise/cass-management-api",
            "4.1.4-ubi",
        ),
        (
            "docker.io/datastax/dse-mgmtapi-6_8:6.8.47-ubi",
            "enterprise/dse-mgmtapi-6_8",
            "6.8.47-ubi",
        ),
        (
            "ghcr.io/k8ssandra/system-logger:latest",
            "enterprise/system-logger",
            "latest",
        ),
    ],
    rendered: &[(
        "MIRROR/ghcr.io",
        "MIRROR/ghcr.io/k8ssandra/cass-management-api:4.1.4-ubi",
        0,
    )],
};

const CALICO: Platform = Platform {
    format: "calico",
    files: &[("installation.yaml", include_str!("platforms/calico.yaml"))],
    keys: "",
    images: &[
        ("quay.io/calico/node:v3.31.7", "calico/node", "v3.31.7"),
        (
            "docker.io/calico/csi:v3.28.5-fips",
            "calico/csi",
            "v3.28.5-fips",
        ),
        (
            "quay.io/tigera/operator:v1.40.15",
            "tigera/operator",
            "v1.40.15",
        ),
    ],
    rendered: &[(
        "MIRROR/calico-any/",
        "MIRROR/calico-any/calico/node:v3.31.7",
        0,
    )],
};

const ENMASSE: Platform = Platform {
    format: "auto",
    files: &[
        (
            "imagestream.yaml",
            include_str!("platforms/imagestream.yaml"),
        ),
        ("iotconfig.yaml", include_str!("platforms/enmasse.yaml")),
    ],
    keys: "internal_registry = \"REGISTRY\"\n",
    images: &[
        (
            "docker.io/library/iot-device-registry-infinispan:latest",
            "enmasse-infra/iot-device-registry-infinispan",
            "latest",
        ),
        (
            "quay.io/enmasse/iot-http-adapter:0.31.0",
            "dev/adapter",
            "7",
        ),
    ],
    rendered: &[(
        "MIRROR/quay.io/enmasse/iot-http-adapter",
        "MIRROR/quay.io/enmasse/iot-http-adapter:0.31.0",
        1,
    )],
};

const ASTRONOMER: Platform = Platform {
    format: "astronomer",
    files: &[("config.yaml", include_str!("platforms/astronomer.yaml"))],
    keys: "",
    images: &[
        (
            "quay.io/astronomer/ap-houston-api:1.2.3",
            "astro/ap-houston-api",
            "1.2.3",
        ),
        (
            "quay.io/astronomer/ap-airflow:2.2.5",
            "airflow-base",
            "2.2.5",
        ),
        (
            "REGISTRY/team/airflow:analytics-dev-deploy-12",
            "team/airflow",
            "analytics-dev-deploy-12",
        ),
    ],
    rendered: &[(
        "MIRROR/quay.io/astronomer",
        "MIRROR/quay.io/astronomer/ap-houston-api:1.2.3",
        0,
    )],
};

#[test]
fn palette_works_unmodified_and_pointed_here() {
    play("palette", &PALETTE, Way::Watched, 1);
    play("palette, converted", &PALETTE, Way::Converted, 2);
}

#[test]
fn k8ssandra_works_unmodified_and_pointed_here() {
    play("k8ssandra", &K8SSANDRA, Way::Watched, 3);
}

#[test]
fn calico_works_unmodified_and_pointed_here() {
    play("calico", &CALICO, Way::Watched, 4);
}

#[test]
fn enmasse_works_unmodified_and_pointed_here() {
    play("enmasse", &ENMASSE, Way::Watched, 5);
}

#[test]
fn astronomer_works_unmodified_and_pointed_here() {
    play("astronomer", &ASTRONOMER, Way::Watched, 6);
}

fn play(scene: &str, platform: &Platform, way: Way, seed: u64) {
    if !can_play(scene, &PROGRAMS) {
        return;
    }
    let registry = Registry::start();
    let internal = registry.address.to_string();
    let images: Vec<Image> = (0..)
        .zip(platform.images)
        .map(|(number, (_, repository, tag))| {
            let image = Image::small(7_000 + seed * 10 + number);
            registry.push(repository, tag, &image);
            image
        })
        .collect();
    let files = platform.write(&internal);
    let mirror = platform.mirror(&registry, files.path(), way);
    let containerd = Containerd::start();
    let url = format!("http://{}", mirror.address);
    let hosts = containerd.hosts();
    let render = [
        "hosts-toml",
        "--mirror",
        &url,
        "--no-fallback",
        "--output",
        hosts.to_str().unwrap(),
    ];
    mirror
        .command("render", &render)
        .succeed("render hosts-toml");
    for ((asked, repository, tag), image) in platform.images.iter().zip(&images) {
        let asked = asked.replace(REGISTRY, &internal);
        let before = registry.asked().len();
        assert_eq!(containerd.pull(&asked), image.index.digest, "{asked}");
        let path = format!("/v2/{repository}/manifests/{tag}");
        let lines = registry.asked();
        assert!(
            lines[before..].iter().any(|line| line.path == path),
            "{asked}: {path} in {lines:?}"
        );
    }
    containerd.forget();
    pointed_here(platform, &mirror, &containerd, &images);
}

/// The platform with the configuration that we render for it: its nodes know the mirror by the names in it only.
fn pointed_here(platform: &Platform, mirror: &Mirror, containerd: &Containerd, images: &[Image]) {
    let address = mirror.address.to_string();
    let format = platform.rendered_as();
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().to_str().unwrap();
    let url = format!("http://{address}");
    let render = [format, "--mirror", &url, "--output", folder];
    mirror.command("render", &render).succeed(format);
    let rendered = texts(Path::new(folder));
    for (line, name, image) in platform.rendered {
        let line = line.replace("MIRROR", &address);
        assert!(rendered.contains(&line), "{line} in\n{rendered}");
        let name = name.replace("MIRROR", &address);
        let digest = &images[*image].index.digest;
        assert_eq!(containerd.pull_plain(&name), *digest, "{name}");
    }
    // What we rendered is no table of routes for ourselves.
    let back = mirror.command("import", &[format, folder]);
    assert!(!back.ok, "{format}: {}", back.out);
    assert!(back.err.contains("E-LOOP"), "{format}: {}", back.err);
}

fn texts(folder: &Path) -> String {
    let entries = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    entries
        .map(|path| fs::read_to_string(path).unwrap())
        .collect()
}

impl Platform {
    fn rendered_as(&self) -> &'static str {
        match self.format {
            "auto" => "enmasse",
            format => format,
        }
    }

    fn write(&self, internal: &str) -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in self.files {
            let path = folder.path().join(name);
            fs::write(&path, text.replace(REGISTRY, internal)).unwrap();
            // There may be a login in it.
            fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        }
        folder
    }

    fn mirror(&self, registry: &Registry, files: &Path, way: Way) -> Mirror {
        let internal = registry.address.to_string();
        let aliases = "[aliases]\n\"calico-any\" = [\"quay.io\", \"docker.io\"]\n";
        let plain = upstream(&internal, registry);
        let files = files.to_str().unwrap();
        let Self { format, keys, .. } = self;
        let keys = keys.replace(REGISTRY, &internal);
        let imported = format!("[[import]]\nformat = \"{format}\"\nfiles = [\"{files}\"]\n{keys}");
        if way == Way::Watched {
            return Mirror::start(&format!("{aliases}{plain}{imported}"));
        }
        let asking = Mirror::start("");
        let routes = asking.command("import", &[format, files]).succeed("import");
        Mirror::start(&format!("{plain}{routes}"))
    }
}
