//! The formats by name, and which one a document is in.

pub(super) mod astronomer;
pub(super) mod calico;
pub(super) mod containerd;
pub(super) mod docker;
mod docker_config;
pub(super) mod enmasse;
pub(super) mod hosts_toml;
pub(super) mod imageswap;
pub(super) mod k3s;
pub(super) mod k8ssandra;
pub(super) mod openshift;
pub(super) mod palette;
pub(super) mod registries_conf;
pub(super) mod talos;

use std::str::FromStr;

use super::reading::{kube, location::SourceText, node::Node};

/// A format that can be imported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ImportFormat {
    /// The map of the imageswap webhook.
    Imageswap,
    /// Palette's registry override.
    Palette,
    /// cass-operator's `ImageConfig`.
    K8ssandra,
    /// The Tigera operator's `Installation` and `ImageSet`.
    Calico,
    /// Image streams and mirror sets.
    Openshift,
    /// `EnMasse`'s image overrides.
    Enmasse,
    /// Astronomer's Helm values.
    Astronomer,
    /// containerd's `certs.d`.
    HostsToml,
    /// containerd's older `config.toml`.
    Containerd,
    /// k3s and RKE2's `registries.yaml`.
    K3s,
    /// Talos' machine configuration.
    Talos,
    /// The `registries.conf` of podman, skopeo and CRI-O.
    RegistriesConf,
    /// Docker's `daemon.json`.
    Docker,
    /// Docker's `config.json` and pull Secrets.
    DockerConfig,
}

/// What a text is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Syntax {
    Yaml,
    Json,
    Toml,
    /// Lines, or a list with commas, of `SOURCE::TARGET`.
    Map,
}

impl ImportFormat {
    /// Every format and its name.
    pub const ALL: [(&'static str, Self); 14] = [
        ("imageswap", Self::Imageswap),
        ("palette", Self::Palette),
        ("k8ssandra", Self::K8ssandra),
        ("calico", Self::Calico),
        ("openshift", Self::Openshift),
        ("enmasse", Self::Enmasse),
        ("astronomer", Self::Astronomer),
        ("hosts-toml", Self::HostsToml),
        ("containerd", Self::Containerd),
        ("k3s", Self::K3s),
        ("talos", Self::Talos),
        ("registries-conf", Self::RegistriesConf),
        ("docker", Self::Docker),
        ("docker-config", Self::DockerConfig),
    ];

    /// Its name on the command line.
    pub fn as_str(self) -> &'static str {
        let named = Self::ALL.iter().find(|(_, format)| *format == self);
        named.map_or("", |(name, _)| *name)
    }

    /// What a text is written in, if it is in this format.
    pub(super) fn syntax(self, text: &SourceText<'_>, file: &str) -> Syntax {
        let guess = Syntax::of(text, file);
        match self {
            Self::HostsToml | Self::Containerd | Self::RegistriesConf => Syntax::Toml,
            Self::Docker => Syntax::Json,
            // `SOURCE: TARGET`, as older maps have it, looks like YAML.
            Self::Imageswap if guess == Syntax::Yaml && !text.text.contains("kind:") => Syntax::Map,
            Self::Imageswap | Self::Palette => guess,
            _ if guess == Syntax::Json => Syntax::Json,
            _ => Syntax::Yaml,
        }
    }

    /// Which format a document is in, if it says so itself.
    pub(super) fn of(node: &Node) -> Option<Self> {
        match kube::kind(node) {
            Some(kind) => Self::of_object(node, kind),
            None => Self::of_file(node),
        }
    }

    fn of_object(node: &Node, kind: &str) -> Option<Self> {
        let has = |key: &str| {
            let found = ["data", "stringData", "binaryData"].iter();
            found
                .into_iter()
                .any(|part| node.at(&[part, key]).is_some())
        };
        match kind {
            "Installation" | "ImageSet" => Some(Self::Calico),
            "ImageStream"
            | "ImageContentSourcePolicy"
            | "ImageDigestMirrorSet"
            | "ImageTagMirrorSet" => Some(Self::Openshift),
            "IoTConfig" => Some(Self::Enmasse),
            "Deployment" | "DeploymentConfig" | "StatefulSet"
                if kube::has_image_variables(node) =>
            {
                Some(Self::Enmasse)
            }
            "ImageConfig" | "Kustomization" => Some(Self::K8ssandra),
            "RegistryMirrorConfig" | "RegistryAuthConfig" | "RegistryTLSConfig" => {
                Some(Self::Talos)
            }
            "ConfigMap" if has("image_config.yaml") => Some(Self::K8ssandra),
            "ConfigMap" if has("operatorImageMap.yaml") => Some(Self::Enmasse),
            "ConfigMap" if has("maps") || has("map_file.conf") => Some(Self::Imageswap),
            "Secret" if has("MIRROR_REGISTRIES") => Some(Self::Palette),
            "Secret" if has(".dockerconfigjson") || has(".dockercfg") => Some(Self::DockerConfig),
            _ => None,
        }
    }

    fn of_file(node: &Node) -> Option<Self> {
        let has = |keys: &[&[&str]]| keys.iter().any(|path| node.at(path).is_some());
        let marks: [(Self, &[&[&str]]); 11] = [
            (
                Self::Talos,
                &[&["machine", "registries"], &["machine", "config"]],
            ),
            (
                Self::Palette,
                &[
                    &["ociImageRegistry"],
                    &["config", "ociImageRegistry"],
                    &["stylus"],
                ],
            ),
            (
                Self::Astronomer,
                &[&["global", "privateRegistry"], &["astronomer"]],
            ),
            (
                Self::Docker,
                &[&["registry-mirrors"], &["insecure-registries"]],
            ),
            (
                Self::DockerConfig,
                &[&["auths"], &["credHelpers"], &["credsStore"]],
            ),
            (Self::Containerd, &[&["plugins"]]),
            (
                Self::RegistriesConf,
                &[&["registry"], &["unqualified-search-registries"]],
            ),
            (Self::HostsToml, &[&["host"], &["server"]]),
            (Self::K3s, &[&["mirrors"], &["configs"]]),
            (Self::K8ssandra, &[&["images"], &["types"]]),
            (
                Self::Enmasse,
                &[&["address-space-controller"], &["iot-auth-service"]],
            ),
        ];
        let found = marks.into_iter().find(|(_, keys)| has(keys));
        found.map(|(format, _)| format)
    }
}

impl FromStr for ImportFormat {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let named = Self::ALL.iter().find(|(name, _)| *name == text);
        named.map(|(_, format)| *format).ok_or(())
    }
}

impl Syntax {
    /// What a text looks like.
    pub(super) fn of(text: &SourceText<'_>, file: &str) -> Self {
        let text = &*text.text;
        let extension = file.rsplit_once('.').map_or("", |(_, extension)| extension);
        let is_yaml = ["yaml", "yml"].contains(&extension);
        if text.trim_start().starts_with('{') && !is_yaml {
            return Self::Json;
        }
        let mut lines = text.lines().map(str::trim_end);
        if extension == "toml" || lines.clone().any(is_toml) {
            return Self::Toml;
        }
        let is_key = |line: &str| {
            let line = line.trim_start();
            line == "---" || line.starts_with("- ") || line.contains(": ")
        };
        let marks = ["apiVersion:", "kind:", "ociImageRegistry:", "stylus:"];
        if is_yaml || marks.iter().any(|mark| text.contains(mark)) {
            return Self::Yaml;
        }
        let mut written = lines
            .clone()
            .filter(|line| !line.trim_start().starts_with('#'));
        if lines.any(is_pair) || !written.any(is_key) {
            Self::Map
        } else {
            Self::Yaml
        }
    }
}

/// `SOURCE::TARGET`; a value of YAML may have colons too.
fn is_pair(line: &str) -> bool {
    let line = line.trim_start();
    let key = line.split_once("::").map(|(key, _)| key);
    key.is_some_and(|key| !key.starts_with("- ") && !key.contains(": ") && !key.contains('"'))
}

/// A table's header, which is no mark of an imageswap map.
fn is_toml(line: &str) -> bool {
    let line = line.trim_start();
    let inside = line
        .strip_prefix('[')
        .and_then(|line| line.split(" #").next()?.trim_end().strip_suffix(']'));
    inside.is_some_and(|inside| {
        let inside = inside.trim_start_matches('[');
        inside.starts_with(|letter: char| letter.is_ascii_alphabetic() || letter == '"')
            && !inside.contains([',', ':'])
            || inside.starts_with("host.\"")
            || inside.starts_with("plugins.")
    })
}
