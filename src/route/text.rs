//! A route as it is written down.

use std::time::Duration;

use super::{ConfigLocation, RefusalPolicy, ref_kind::RefKind};

/// A route as it is written down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleText {
    /// Which names it is about.
    pub matches: MatchText,
    /// Which requests for them.
    pub ref_kind: RefKind,
    /// What happens to those.
    pub action: Action,
    /// Where they lead, in order.
    pub to: Vec<TargetText>,
    /// Renamings on the way there; the first that matches is applied.
    pub rewrite: Vec<RewriteText>,
    /// How Docker Hub's `library/` is written there.
    pub library: LibraryPrefix,
    /// What an exact tag is answered with.
    pub digest: Option<String>,
    /// The band, 0 to 500; none for the usual one of the kind of match.
    pub band: Option<u16>,
    /// How long a tag is believed; none for the general setting.
    pub tag_fresh: Option<Duration>,
    /// How long a tag is served without its upstream; none for the general setting.
    pub tag_stale_max: Option<Duration>,
    /// Where it stands.
    pub location: ConfigLocation,
}

/// The four ways of saying which names a route is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MatchText {
    /// `R`, `R:PORT`, `R:*`, `*.suffix` or `*`, then `/prefix`, `/repo:TAG` or `/repo:*`.
    From(Vec<String>),
    /// A glob on the repository in any spelling, and on the tag after a colon.
    Glob(String),
    /// An anchored regex on the canonical `REGISTRY/REPOSITORY`.
    Regex(String),
    /// A part of the repository in any spelling.
    Contains(String),
}

/// One entry of `to`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetText {
    /// `HOST[:PORT][/PATH][:TAG]`, a template, or `source`.
    pub target: String,
    /// Which requests it takes.
    pub ref_kind: RefKind,
    /// What a 401 or 403 from there means.
    pub refused: Option<RefusalPolicy>,
}

impl From<&str> for TargetText {
    fn from(target: &str) -> Self {
        Self {
            target: target.to_owned(),
            ref_kind: RefKind::Any,
            refused: None,
        }
    }
}

/// One entry of `rewrite`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RewriteText {
    /// What to replace, everywhere in the repository's name.
    pub regex: String,
    /// The replacement, with `$1` or `${1}` for groups.
    pub with: String,
}

/// What a route does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Action {
    /// Leads to its targets.
    #[default]
    Route,
    /// Refuses.
    Deny,
}

/// How names in Docker Hub's `library/` are written at a target; `source` always keeps them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LibraryPrefix {
    /// Both spellings for names on Docker Hub, others as they are.
    #[default]
    Auto,
    /// With and then without `library/`.
    Both,
    /// As they are.
    Keep,
    /// Without `library/`.
    Strip,
}

impl RuleText {
    /// A route that leads to these targets, with every other key at its default.
    pub fn new(matches: MatchText, to: Vec<TargetText>, place: ConfigLocation) -> Self {
        Self {
            matches,
            ref_kind: RefKind::Any,
            action: Action::Route,
            to,
            rewrite: Vec::new(),
            library: LibraryPrefix::Auto,
            digest: None,
            band: None,
            tag_fresh: None,
            tag_stale_max: None,
            location: place,
        }
    }
}
