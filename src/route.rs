//! From the name a client uses to where its bytes may be had: pure decisions, no I/O, no clock.
//!
//! Promises: one name always gives the same candidates, and explains itself. Called by `api` (which
//! registry does this request mean), `pull` (whom to ask) and `config` (routes as written become a
//! [`RouteTable`]). Never contacts anything, and never leads to a registry that nobody configured: only
//! `from = "*"` with `to = ["source"]` makes an open proxy.

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
pub use survey::KnownRegistries;
pub use table::{RouteConflict, RouteTable, UnmatchedPolicy};
pub use text::{Action, LibraryPrefix, MatchText, RewriteText, RuleText, TargetText};

/// What a request means.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ImageName {
    /// The image's canonical home.
    pub repository: Repository,
    /// Further registries that hold the same content, from an alias or a virtual host bound to
    /// several: rules and `source` try them after the repository's own.
    pub equal: Arc<[Registry]>,
    /// What the client wrote in `ns`, if that decided; echoed as `OCI-Namespace`.
    pub ns: Option<Registry>,
}

impl ImageName {
    /// Every name that counts as this one, the canonical one first.
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

/// One place that may hold an image: an upstream and the repository's name there.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Candidate {
    /// Whom to ask.
    pub upstream: UpstreamName,
    /// Under which name.
    pub name: RepositoryName,
    /// The tag to ask for instead of the client's.
    pub tag: Option<Tag>,
    /// What a 401 or 403 from here means; overrides the upstream's own setting.
    pub refused: Option<RefusalPolicy>,
    /// The registry of the client's own name: what `source` stands for, and what `ns` says.
    pub registry: Registry,
}

impl std::fmt::Display for ConfigLocation {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// What a 401 or 403 after our own login means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum RefusalPolicy {
    /// Hidden (try the next candidate) where we are anonymous and at registries that hide missing
    /// repositories so; else the end.
    #[default]
    Auto,
    /// Try the next candidate.
    Next,
    /// Answer DENIED.
    Stop,
}

/// Where something in the configuration stands, for `explain` and error texts: `FILE:LINE`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConfigLocation(pub Arc<str>);
