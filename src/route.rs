//! Maps image names to candidate upstreams: pure decisions, no I/O, no clock.
//!
//! Promises: one name always gives the same candidates, and each decision says which route made it.
//! Called by `api` (which registry a request means), `pull` (which upstreams to contact) and
//! `config` (compiles routes into a [`RouteTable`]). Never contacts anything, and never chooses a
//! registry outside the configuration: only `from = "*"` with `to = ["source"]` makes an open
//! proxy.

mod decide;
mod error;
mod from;
mod glob;
mod index;
mod ingress;
mod pattern;
mod public;
mod ref_kind;
mod rewrite;
mod rule;
mod survey;
mod table;
mod target;
mod text;
#[cfg(test)]
mod vectors;

use std::sync::Arc;

use crate::oci::{Registry, Repository, RepositoryName, Tag, UpstreamName};

pub use decide::Decision;
pub use error::InvalidRule;
pub use ingress::{Ingress, IngressError, IngressText, InvalidIngress};
pub use ref_kind::RefKind;
pub use rule::Rule;
pub use table::{RouteConflict, RouteTable, UnmatchedPolicy};
pub use text::{Action, LibraryPrefix, MatchText, RewriteText, RuleText, TargetText};

/// The image that a request names.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ImageName {
    /// The image's canonical home.
    pub repository: Repository,
    /// Further registries with the same content, from an alias or a virtual host for several:
    /// rules and `source` try them after the repository's own.
    pub equal: Arc<[Registry]>,
    /// The client's `ns`, if it decided; echoed as `OCI-Namespace`.
    pub ns: Option<Registry>,
}

impl ImageName {
    /// All equal names, the canonical one first.
    pub fn repositories(&self) -> impl Iterator<Item = Repository> + use<'_> {
        let equal = self
            .equal
            .iter()
            .map(|registry| Repository::canonical(registry.clone(), self.repository.name.clone()));
        std::iter::once(self.repository.clone()).chain(equal)
    }
}

impl From<Repository> for ImageName {
    fn from(repository: Repository) -> Self {
        Self {
            repository,
            equal: Arc::default(),
            ns: None,
        }
    }
}

/// An upstream that may have an image, and the repository's name there.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Candidate {
    /// The upstream to contact.
    pub upstream: UpstreamName,
    /// The repository's name there.
    pub name: RepositoryName,
    /// The tag to request instead of the client's.
    pub tag: Option<Tag>,
    /// What a 401 or 403 from here means; overrides the upstream's own setting.
    pub refused: Option<RefusalPolicy>,
    /// The registry of the client's own name: what `source` stands for, and what `ns` says.
    pub registry: Registry,
}

/// What a 401 or 403 of an upstream means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum RefusalPolicy {
    /// Try the next candidate if the request was anonymous, or at registries that hide missing
    /// repositories this way; else answer DENIED.
    #[default]
    Auto,
    /// Try the next candidate.
    Next,
    /// Answer DENIED.
    Stop,
}

/// The location of something in the configuration, for `explain` and error texts: `FILE:LINE`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConfigLocation(pub Arc<str>);

impl std::fmt::Display for ConfigLocation {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.0)
    }
}
