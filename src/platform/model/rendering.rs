//! What a rendering starts from, and what it yields.

use crate::oci::{Digest, Registry, RepositoryName};

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

impl Mirror {
    /// Every registry with the path that stands for it here: its name, or an alias if that has a
    /// port, which no path holds. A note for each that has none.
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
    pub(in crate::platform) fn one(path: &str, text: String) -> Self {
        let path = path.to_owned();
        Self {
            files: vec![RenderedFile { path, text }],
            notes: Vec::new(),
        }
    }
}

/// A text as TOML writes it.
pub(in crate::platform) fn toml_quoted(text: &str) -> String {
    // A text of JSON is one of TOML.
    serde_json::Value::from(text).to_string()
}
