//! Our mirror in others' words: the configuration that points a node or a platform at it.

use std::str::FromStr;

use super::model::rendering::{Mirror, Rendering};

/// What can be rendered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RenderFormat {
    /// containerd's `certs.d` folder: `_default`, and one for each registry.
    HostsToml,
    /// containerd's older `config.toml`.
    ContainerdLegacy,
    /// k3s and RKE2's `registries.yaml`.
    K3s,
    /// Talos' machine configuration.
    Talos,
    /// The `registries.conf` of podman, skopeo and CRI-O.
    RegistriesConf,
    /// Docker's `daemon.json`.
    Docker,
    /// `OpenShift`'s mirror sets.
    Idms,
    /// The map of the imageswap webhook.
    Imageswap,
    /// Palette's registry override.
    Palette,
    /// cass-operator's `ImageConfig`.
    K8ssandra,
    /// The Tigera operator's `Installation` and `ImageSet`.
    Calico,
    /// `EnMasse`'s image overrides.
    Enmasse,
    /// Astronomer's Helm values.
    Astronomer,
}

/// Writes the configuration.
pub fn render(target: RenderFormat, mirror: &Mirror) -> Rendering {
    match target {
        RenderFormat::HostsToml => super::formats::hosts_toml::render::render(mirror),
        RenderFormat::ContainerdLegacy => super::formats::containerd::render::render(mirror),
        RenderFormat::K3s => super::formats::k3s::render::render(mirror),
        RenderFormat::Talos => super::formats::talos::render::render(mirror),
        RenderFormat::RegistriesConf => super::formats::registries_conf::render::render(mirror),
        RenderFormat::Docker => super::formats::docker::render::render(mirror),
        RenderFormat::Idms => super::formats::openshift::render::render(mirror),
        RenderFormat::Imageswap => super::formats::imageswap::render::render(mirror),
        RenderFormat::Palette => super::formats::palette::render::render(mirror),
        RenderFormat::K8ssandra => super::formats::k8ssandra::render::render(mirror),
        RenderFormat::Calico => super::formats::calico::render::render(mirror),
        RenderFormat::Enmasse => super::formats::enmasse::render::render(mirror),
        RenderFormat::Astronomer => super::formats::astronomer::render::render(mirror),
    }
}

impl RenderFormat {
    /// Everything that can be rendered, by its name.
    pub const ALL: [(&'static str, Self); 13] = [
        ("hosts-toml", Self::HostsToml),
        ("containerd-legacy", Self::ContainerdLegacy),
        ("k3s", Self::K3s),
        ("talos", Self::Talos),
        ("registries-conf", Self::RegistriesConf),
        ("docker", Self::Docker),
        ("idms", Self::Idms),
        ("imageswap", Self::Imageswap),
        ("palette", Self::Palette),
        ("k8ssandra", Self::K8ssandra),
        ("calico", Self::Calico),
        ("enmasse", Self::Enmasse),
        ("astronomer", Self::Astronomer),
    ];
}

impl FromStr for RenderFormat {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let named = Self::ALL.iter().find(|(name, _)| *name == text);
        named.map(|(_, target)| *target).ok_or(())
    }
}
