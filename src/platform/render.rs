//! Our mirror in others' words: the configuration that points a node or a platform at it.

use std::str::FromStr;

use crate::oci::{Digest, Registry, RepositoryName};

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

/// The mirror, as those see it who are pointed at it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mirror {
    /// Whether it is met by `https://`.
    pub is_tls: bool,
    /// `HOST[:PORT]`; never empty.
    pub authority: Registry,
    /// The registries that it may be asked for, sorted, none twice.
    pub registries: Vec<Registry>,
    /// Whether nodes may go to a registry itself where the mirror fails.
    pub falls_back: bool,
    /// The file on the node that has the certificate of the mirror's authority.
    pub ca_file: Option<String>,
    /// The mirror's path prefixes, and the equal registries that each stands for.
    pub aliases: Vec<(String, Vec<Registry>)>,
    /// Digests that the mirror keeps, for formats that pin: `REGISTRY/REPOSITORY`, tag, digest.
    pub pins: Vec<DigestPin>,
}

/// A tag and what the mirror keeps for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DigestPin {
    /// The canonical name without the tag.
    pub repository: crate::oci::Repository,
    /// The tag.
    pub tag: crate::oci::Tag,
    /// Its digest.
    pub digest: Digest,
}

/// One file of what was rendered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RenderedFile {
    /// Below the folder that all of it goes to; plain elements with slashes.
    pub path: String,
    /// What stands in it. Never holds a login of an upstream.
    pub text: String,
}

/// What was rendered, and what the reader has to know.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rendering {
    /// At least one file.
    pub files: Vec<RenderedFile>,
    /// Sentences: what must be so at the mirror, or cannot be said in this format.
    pub notes: Vec<String>,
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

impl Mirror {
    /// Every registry with the path that stands for it here: its name, or an alias if that has a
    /// port, which no path holds. A note for each that has none.
    pub(super) fn paths(&self) -> (Vec<(&Registry, &str)>, Vec<String>) {
        let (mut paths, mut notes) = (Vec::new(), Vec::new());
        for registry in &self.registries {
            let alias = || {
                let mut aliases = self.aliases.iter();
                let (prefix, _) = aliases.find(|(_, known)| known.first() == Some(registry))?;
                Some(prefix.as_str())
            };
            let own = Some(registry.as_str()).filter(|own| own.parse::<RepositoryName>().is_ok());
            match own.or_else(alias) {
                Some(path) => paths.push((registry, path)),
                None => notes.push(format!(
                    "{registry} is left out, as its port cannot stand in a path: give it a path \
                     of its own under [aliases], and render again."
                )),
            }
        }
        (paths, notes)
    }

    /// `http://HOST[:PORT]` or `https://HOST[:PORT]`.
    pub fn url(&self) -> String {
        let scheme = if self.is_tls { "https" } else { "http" };
        format!("{scheme}://{}", self.authority)
    }
}

impl Rendering {
    pub(super) fn one(path: &str, text: String) -> Self {
        let path = path.to_owned();
        Self {
            files: vec![RenderedFile { path, text }],
            notes: Vec::new(),
        }
    }
}

/// A text as TOML writes it.
pub(super) fn toml_quoted(text: &str) -> String {
    // A text of JSON is one of TOML.
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A mirror that nodes may go around.
    pub(in crate::platform) fn mirror(url: &str, registries: &[&str]) -> Mirror {
        let (scheme, authority) = url.split_once("://").unwrap();
        Mirror {
            is_tls: scheme == "https",
            authority: authority.parse().unwrap(),
            registries: registries.iter().map(|one| one.parse().unwrap()).collect(),
            falls_back: true,
            ca_file: None,
            aliases: Vec::new(),
            pins: Vec::new(),
        }
    }
}
