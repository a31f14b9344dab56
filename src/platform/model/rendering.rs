//! What a rendering starts from, and what it yields.

use crate::oci::{Digest, Registry, RepositoryName};

/// The mirror as seen by its clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mirror {
    /// Whether its address is `https://`.
    pub is_tls: bool,
    /// `HOST[:PORT]`; never empty.
    pub authority: Registry,
    /// The registries that it serves, sorted, without duplicates.
    pub registries: Vec<Registry>,
    /// Whether nodes may fall back to a registry itself if the mirror fails.
    pub falls_back: bool,
    /// The file on the node with the mirror's CA certificate.
    pub ca_file: Option<String>,
    /// The mirror's path prefixes, each with its equal registries.
    pub aliases: Vec<(String, Vec<Registry>)>,
    /// Digests that the mirror keeps, for formats that pin: `REGISTRY/REPOSITORY`, tag, digest.
    pub pins: Vec<DigestPin>,
}

/// A tag and the digest that the mirror keeps for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DigestPin {
    /// The canonical name without the tag.
    pub repository: crate::oci::Repository,
    /// The tag.
    pub tag: crate::oci::Tag,
    /// Its digest.
    pub digest: Digest,
}

/// One rendered file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RenderedFile {
    /// Relative to the output folder; plain elements with slashes.
    pub path: String,
    /// Its content. Never contains credentials of an upstream.
    pub text: String,
}

/// The rendered files, and notes for the reader.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rendering {
    /// At least one file.
    pub files: Vec<RenderedFile>,
    /// Sentences: what the mirror or the nodes also need, and the format's limits.
    pub notes: Vec<String>,
}

impl Mirror {
    /// Every registry with its path at the mirror: its name, or an alias if it has a port, which a
    /// path cannot contain. A note for each without a path.
    pub(in crate::platform) fn paths(&self) -> (Vec<(&Registry, &str)>, Vec<String>) {
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
                    "{registry} is left out, because a path cannot contain its port: give it a \
                     path under [aliases], and render again."
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
    pub(in crate::platform) fn one(path: &str, text: String) -> Self {
        let path = path.to_owned();
        Self {
            files: vec![RenderedFile { path, text }],
            notes: Vec::new(),
        }
    }
}

/// A text as a TOML string.
pub(in crate::platform) fn toml_quoted(text: &str) -> String {
    // A JSON string is a TOML string.
    serde_json::Value::from(text).to_string()
}
