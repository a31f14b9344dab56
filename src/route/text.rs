//! A route as written.

use std::time::Duration;

use super::{ConfigLocation, RefusalPolicy, ref_kind::RefKind};

/// A route as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleText {
    /// Which names it matches.
    pub matches: MatchText,
    /// Which requests for them: by tag, by digest or both.
    pub ref_kind: RefKind,
    /// What it does with those.
    pub action: Action,
    /// Its targets, in order.
    pub to: Vec<TargetText>,
    /// Rewrites of the repository's name; the first that matches is applied.
    pub rewrite: Vec<RewriteText>,
    /// How Docker Hub's `library/` is written at the targets.
    pub library: LibraryPrefix,
    /// The digest that an exact tag is pinned to.
    pub digest: Option<String>,
    /// The band, 0 to 500; none for the default of the kind of match.
    pub band: Option<u16>,
    /// How long a tag is fresh; none for the general setting.
    pub tag_fresh: Option<Duration>,
    /// How long a tag is served while its upstream fails; none for the general setting.
    pub tag_stale_max: Option<Duration>,
    /// Its location in the configuration.
    pub location: ConfigLocation,
}

/// The four kinds of match.
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
    /// Which requests it accepts.
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
    /// Contacts its targets.
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
    /// A route to these targets, with every other key at its default.
    pub fn new(matches: MatchText, to: Vec<TargetText>, location: ConfigLocation) -> Self {
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
            location,
        }
    }
}
