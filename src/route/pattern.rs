//! What a route matches: the `from` grammar, and the looser globs, regexes and substrings.

use std::cmp::Reverse;

use regex::Regex;

use crate::oci::{Repository, RepositoryName, Tag};

use super::{
    error::RuleError,
    from::{self, HostMatch, PathMatch},
    glob::Glob,
    ref_kind::{RefKind, RequestedReference},
};

/// One pattern of a route, with its text as written.
#[derive(Clone, Debug)]
pub(super) struct Pattern {
    pub(super) written: String,
    pub(super) kind: PatternKind,
}

#[derive(Clone, Debug)]
pub(super) enum PatternKind {
    /// `from`: whole elements, indexed.
    From(HostMatch, PathMatch),
    /// `from_glob`: on the repository in every spelling; the part after a colon in the last element
    /// is a glob on the tag.
    Glob { repository: Glob, tag: Option<Glob> },
    /// `from_regex`: anchored, on the canonical `REGISTRY/REPOSITORY`.
    Regex(Regex),
    /// `contains`: a part of the repository in any spelling.
    Contains(String),
}

/// How specific a pattern is; of all that match, the greatest decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct MatchRank {
    band: u16,
    hosts: (u8, usize),
    paths: (u8, usize),
    reference: u8,
    order: Reverse<usize>,
}

impl MatchRank {
    pub(super) fn band(self) -> u16 {
        self.band
    }
}

/// What a matching pattern hands to the targets' templates.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct MatchCaptures {
    /// The elements that `from` covers; the remainder is `{rest}`.
    pub(super) prefix: String,
    /// The regex's groups.
    pub(super) groups: Vec<Option<String>>,
}

impl Pattern {
    pub(super) fn from(text: &str) -> Result<Self, RuleError> {
        let (hosts, paths) = from::parse(text)?;
        Ok(Self::new(text, PatternKind::From(hosts, paths)))
    }

    pub(super) fn glob(text: &str) -> Result<Self, RuleError> {
        let (repository, tag) = match text.rsplit_once(':') {
            Some((repository, tag)) if !tag.contains('/') => (repository, Some(Glob::parse(tag)?)),
            _ => (text, None),
        };
        check_not_empty(repository)?;
        let repository = Glob::parse(repository)?;
        Ok(Self::new(text, PatternKind::Glob { repository, tag }))
    }

    pub(super) fn regex(text: &str) -> Result<Self, RuleError> {
        check_not_empty(text)?;
        // Compiled alone first: `a)(b` must not become valid through the anchors' group.
        super::rewrite::compile(text)?;
        let regex = super::rewrite::compile(&format!("^(?:{text})$"))?;
        Ok(Self::new(text, PatternKind::Regex(regex)))
    }

    pub(super) fn contains(text: &str) -> Result<Self, RuleError> {
        check_not_empty(text)?;
        Ok(Self::new(text, PatternKind::Contains(text.to_owned())))
    }

    fn new(text: &str, kind: PatternKind) -> Self {
        let written = text.to_owned();
        Self { written, kind }
    }

    /// Patterns with equal keys match the same names.
    pub(super) fn key(&self) -> String {
        match &self.kind {
            PatternKind::From(hosts, paths) => format!("from {hosts}{paths}"),
            PatternKind::Glob { .. } => format!("from_glob {}", self.written),
            PatternKind::Regex(_) => format!("from_regex {}", self.written),
            PatternKind::Contains(_) => format!("contains {}", self.written),
        }
    }

    /// Whether only one repository can match.
    pub(super) fn is_exact(&self) -> bool {
        matches!(self.kind, PatternKind::From(_, PathMatch::Exactly(..)))
    }

    /// The only tag that it matches.
    pub(super) fn exact_tag(&self) -> Option<&Tag> {
        match &self.kind {
            PatternKind::From(_, PathMatch::Exactly(_, tag)) => tag.as_ref(),
            _ => None,
        }
    }

    /// Whether it matches some tags of a repository and not others.
    pub(super) fn is_tag_specific(&self) -> bool {
        matches!(&self.kind, PatternKind::Glob { tag: Some(_), .. }) || self.exact_tag().is_some()
    }

    /// How many groups its regex has.
    pub(super) fn groups(&self) -> usize {
        match &self.kind {
            PatternKind::Regex(regex) => regex.captures_len() - 1,
            _ => 0,
        }
    }

    /// The band of a rule without `band`: the more specific pattern decides first. An opt-out by
    /// `contains` beats the catch-all only, as in the tools it comes from.
    fn default_band(&self) -> u16 {
        match &self.kind {
            PatternKind::From(_, PathMatch::Exactly(..)) => 400,
            PatternKind::Glob { .. } | PatternKind::Regex(_) => 300,
            PatternKind::From(HostMatch::Any, PathMatch::Below(path)) if path.is_empty() => 0,
            PatternKind::From(..) => 200,
            PatternKind::Contains(_) => 100,
        }
    }

    pub(super) fn rank(&self, band: Option<u16>, kind: RefKind, order: usize) -> MatchRank {
        let hosts = match &self.kind {
            PatternKind::From(HostMatch::Exact(_), _) => (3, 0),
            PatternKind::From(HostMatch::AnyPort(_), _) => (2, 0),
            PatternKind::From(HostMatch::Suffix(suffix), _) => (1, suffix.len()),
            _ => (0, 0),
        };
        let paths = match &self.kind {
            PatternKind::From(_, PathMatch::Exactly(..)) => (3, 0),
            PatternKind::From(_, PathMatch::Below(path)) => (2, path.len()),
            PatternKind::Glob { repository, tag } => {
                let tag = tag.as_ref().map_or(0, Glob::literal_len);
                (1, repository.literal_len() + tag)
            }
            PatternKind::Contains(part) => (1, part.len()),
            PatternKind::Regex(_) => (0, 0),
        };
        MatchRank {
            band: band.unwrap_or_else(|| self.default_band()),
            hosts,
            paths,
            reference: match kind {
                _ if self.is_tag_specific() => 2,
                RefKind::Any => 0,
                RefKind::Tag | RefKind::Digest => 1,
            },
            order: Reverse(order),
        }
    }

    /// Whether it matches a request for the repository.
    pub(super) fn matches(
        &self,
        subject: &MatchSubject<'_>,
        reference: RequestedReference<'_>,
    ) -> bool {
        let tag_fits = match (&self.kind, reference) {
            (
                PatternKind::Glob {
                    tag: Some(glob), ..
                },
                RequestedReference::Tag(tag),
            ) => glob.matches(tag.as_str()),
            (_, RequestedReference::Tag(tag)) => self.exact_tag().is_none_or(|exact| exact == tag),
            (_, RequestedReference::AnyTag | RequestedReference::Digest) => !self.is_tag_specific(),
        };
        tag_fits && self.covers(subject)
    }

    /// Whether it matches the repository, whatever the tag.
    pub(super) fn covers(&self, subject: &MatchSubject<'_>) -> bool {
        let Repository { registry, name } = subject.repository;
        match &self.kind {
            PatternKind::From(hosts, PathMatch::Exactly(exact, _)) => {
                exact == name && hosts.matches(registry)
            }
            PatternKind::From(hosts, PathMatch::Below(path)) => {
                name.strip_prefix(path).is_some() && hosts.matches(registry)
            }
            PatternKind::Glob { repository, .. } => subject
                .spellings
                .iter()
                .any(|text| repository.matches(text)),
            PatternKind::Regex(regex) => {
                subject.canonical().is_some_and(|text| regex.is_match(text))
            }
            PatternKind::Contains(part) => subject.spellings.iter().any(|text| text.contains(part)),
        }
    }

    /// What the templates may use; computed once, for the pattern that decides.
    pub(super) fn captures(&self, subject: &MatchSubject<'_>) -> MatchCaptures {
        match &self.kind {
            PatternKind::From(_, PathMatch::Exactly(name, _)) => MatchCaptures {
                prefix: name.as_str().to_owned(),
                groups: Vec::new(),
            },
            PatternKind::From(_, PathMatch::Below(path)) => MatchCaptures {
                prefix: path.clone(),
                ..MatchCaptures::default()
            },
            PatternKind::Regex(regex) => {
                let caught = subject.canonical().and_then(|text| regex.captures(text));
                let owned =
                    |group: Option<regex::Match<'_>>| group.map(|at| at.as_str().to_owned());
                MatchCaptures {
                    groups: caught
                        .map(|caught| caught.iter().skip(1).map(owned).collect())
                        .unwrap_or_default(),
                    ..MatchCaptures::default()
                }
            }
            PatternKind::Glob { .. } | PatternKind::Contains(_) => MatchCaptures::default(),
        }
    }
}

/// A repository and the spellings that loose patterns see: canonical first, then, on Docker Hub,
/// without `library/`, without the registry, and without both.
#[derive(Clone, Debug)]
pub(super) struct MatchSubject<'a> {
    pub(super) repository: &'a Repository,
    spellings: Vec<String>,
}

impl<'a> MatchSubject<'a> {
    /// Leaves the spellings out if the table has only `from` patterns.
    pub(super) fn new(repository: &'a Repository, loose: LoosePatterns) -> Self {
        let Repository { registry, name } = repository;
        let mut spellings = Vec::new();
        if loose == LoosePatterns::Some {
            spellings.push(repository.to_string());
            if registry.is_docker_hub() {
                spellings.push(name.to_string());
                if let Some(short) = official_image(name) {
                    spellings.push(format!("{registry}/{short}"));
                    spellings.push(short.to_owned());
                }
            }
        }
        Self {
            repository,
            spellings,
        }
    }

    fn canonical(&self) -> Option<&str> {
        self.spellings.first().map(String::as_str)
    }
}

/// Whether a table has patterns that need a name's spellings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LoosePatterns {
    None,
    Some,
}

/// The short name of one of Docker's official images: `nginx` for `library/nginx`.
pub(super) fn official_image(name: &RepositoryName) -> Option<&str> {
    name.strip_prefix("library")
        .filter(|short| !short.is_empty() && !short.contains('/'))
}

fn check_not_empty(text: &str) -> Result<(), RuleError> {
    if text.is_empty() {
        return Err(RuleError::new(
            "matches nothing in particular; `from = \"*\"` is everything",
        ));
    }
    Ok(())
}
