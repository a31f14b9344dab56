//! The formats by name, and which one a document is in.

pub(super) mod astronomer;
pub(super) mod calico;
pub(super) mod containerd;
pub(super) mod docker;
pub(super) mod docker_config;
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

use super::reading::{
    kube,
    location::SourceText,
    node::Node,
    syntax::{self, Syntax},
};

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
            Self::HostsToml | Self::Containerd | Self::RegistriesConf => syntax::toml(text, guess),
            Self::Docker => syntax::json(text, guess),
            // `SOURCE: TARGET`, as older maps have it, looks like YAML.
            Self::Imageswap if guess == Syntax::Yaml && !text.text.contains("kind:") => Syntax::Map,
            Self::Imageswap | Self::Palette => syntax::guessed(text, guess),
            _ => syntax::yaml_or_json(text, guess),
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
        let has = |key: &str| kube::has_data_key(node, key);
        match kind {
            "Installation" | "ImageSet" => Some(Self::Calico),
            "ImageStream"
            | "ImageContentSourcePolicy"
            | "ImageDigestMirrorSet"
            | "ImageTagMirrorSet" => Some(Self::Openshift),
            "IoTConfig" => Some(Self::Enmasse),
            "Deployment" | "DeploymentConfig" | "StatefulSet"
                if enmasse::import::has_image_variables(node) =>
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
