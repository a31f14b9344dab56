//! What a route matches: the `from` grammar, and the looser globs, regexes and substrings.

use std::cmp::Reverse;

use regex::Regex;

use crate::oci::{Repository, RepositoryName, Tag};

use super::{
    from::{self, Hosts, Paths},
    glob::Glob,
    rule::{Flaw, RefKind},
};

/// One thing a route matches, with the text it was written as.
#[derive(Clone, Debug)]
pub(super) struct Pattern {
    pub(super) written: String,
    pub(super) kind: Kind,
}

#[derive(Clone, Debug)]
pub(super) enum Kind {
    /// `from`: whole elements, indexed.
    Place(Hosts, Paths),
    /// `from_glob`: on the repository in every spelling; what stands after a colon in the last
    /// element is a glob on the tag.
    Glob { repository: Glob, tag: Option<Glob> },
    /// `from_regex`: anchored, on the canonical `REGISTRY/REPOSITORY`.
    Regex(Regex),
    /// `contains`: a part of the repository in any spelling.
    Contains(String),
}

/// What a request asks of a repository.
#[derive(Clone, Copy, Debug)]
pub(super) enum Asked<'a> {
    Tag(&'a Tag),
    /// Some tag that no rule singles out.
    AnyTag,
    Digest,
}

/// How well a pattern fits; of all that match, the greatest decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    band: u16,
    hosts: (u8, usize),
    paths: (u8, usize),
    reference: u8,
    order: Reverse<usize>,
}

impl Rank {
    pub(super) fn band(self) -> u16 {
        self.band
    }
}

/// What a matching pattern says about the name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Bound {
    /// The elements that `from` covers; what is left is `{rest}`.
    pub(super) prefix: String,
    /// What the regex's groups caught.
    pub(super) captures: Vec<Option<String>>,
}

impl Pattern {
    pub(super) fn from(text: &str) -> Result<Self, Flaw> {
        let (hosts, paths) = from::parse(text)?;
        Ok(Self::new(text, Kind::Place(hosts, paths)))
    }

    pub(super) fn glob(text: &str) -> Result<Self, Flaw> {
        let (repository, tag) = match text.rsplit_once(':') {
            Some((repository, tag)) if !tag.contains('/') => (repository, Some(Glob::parse(tag)?)),
            _ => (text, None),
        };
        not_empty(repository)?;
        let repository = Glob::parse(repository)?;
        Ok(Self::new(text, Kind::Glob { repository, tag }))
    }

    pub(super) fn regex(text: &str) -> Result<Self, Flaw> {
        not_empty(text)?;
        // Compiled alone first: `a)(b` must not become valid through the anchors' group.
        super::rewrite::compile(text)?;
        let regex = super::rewrite::compile(&format!("^(?:{text})$"))?;
        Ok(Self::new(text, Kind::Regex(regex)))
    }

    pub(super) fn contains(text: &str) -> Result<Self, Flaw> {
        not_empty(text)?;
        Ok(Self::new(text, Kind::Contains(text.to_owned())))
    }

    fn new(text: &str, kind: Kind) -> Self {
        let written = text.to_owned();
        Self { written, kind }
    }

    /// Two patterns with the same key match the same names.
    pub(super) fn key(&self) -> String {
        match &self.kind {
            Kind::Place(hosts, paths) => format!("from {hosts}{paths}"),
            Kind::Glob { .. } => format!("from_glob {}", self.written),
            Kind::Regex(_) => format!("from_regex {}", self.written),
            Kind::Contains(_) => format!("contains {}", self.written),
        }
    }

    /// Whether only one repository can match.
    pub(super) fn is_exact(&self) -> bool {
        matches!(self.kind, Kind::Place(_, Paths::Exactly(..)))
    }

    /// The one tag that it matches.
    pub(super) fn exact_tag(&self) -> Option<&Tag> {
        match &self.kind {
            Kind::Place(_, Paths::Exactly(_, tag)) => tag.as_ref(),
            _ => None,
        }
    }

    /// Whether it matches some tags of a repository and not others.
    pub(super) fn minds_tag(&self) -> bool {
        matches!(&self.kind, Kind::Glob { tag: Some(_), .. }) || self.exact_tag().is_some()
    }

    /// How many groups its regex has.
    pub(super) fn groups(&self) -> usize {
        match &self.kind {
            Kind::Regex(regex) => regex.captures_len() - 1,
            _ => 0,
        }
    }

    /// The band of a rule that writes none: what is said more exactly decides first. An opt-out by
    /// `contains` beats the catch-all only, as in the tools it comes from.
    fn usual_band(&self) -> u16 {
        match &self.kind {
            Kind::Place(_, Paths::Exactly(..)) => 400,
            Kind::Glob { .. } | Kind::Regex(_) => 300,
            Kind::Place(Hosts::Any, Paths::Below(path)) if path.is_empty() => 0,
            Kind::Place(..) => 200,
            Kind::Contains(_) => 100,
        }
    }

    pub(super) fn rank(&self, band: Option<u16>, kind: RefKind, order: usize) -> Rank {
        let hosts = match &self.kind {
            Kind::Place(Hosts::Exact(_), _) => (3, 0),
            Kind::Place(Hosts::AnyPort(_), _) => (2, 0),
            Kind::Place(Hosts::Suffix(suffix), _) => (1, suffix.len()),
            _ => (0, 0),
        };
        let paths = match &self.kind {
            Kind::Place(_, Paths::Exactly(..)) => (3, 0),
            Kind::Place(_, Paths::Below(path)) => (2, path.len()),
            Kind::Glob { repository, tag } => {
                let tag = tag.as_ref().map_or(0, Glob::literal_len);
                (1, repository.literal_len() + tag)
            }
            Kind::Contains(part) => (1, part.len()),
            Kind::Regex(_) => (0, 0),
        };
        Rank {
            band: band.unwrap_or_else(|| self.usual_band()),
            hosts,
            paths,
            reference: match kind {
                _ if self.minds_tag() => 2,
                RefKind::Any => 0,
                RefKind::Tag | RefKind::Digest => 1,
            },
            order: Reverse(order),
        }
    }

    /// Whether it matches what is asked of `repository`.
    pub(super) fn matches(&self, subject: &Subject<'_>, asked: Asked<'_>) -> bool {
        let tag_fits = match (&self.kind, asked) {
            (
                Kind::Glob {
                    tag: Some(glob), ..
                },
                Asked::Tag(tag),
            ) => glob.matches(tag.as_str()),
            (_, Asked::Tag(tag)) => self.exact_tag().is_none_or(|exact| exact == tag),
            (_, Asked::AnyTag | Asked::Digest) => !self.minds_tag(),
        };
        tag_fits && self.covers(subject)
    }

    /// Whether it matches something of `repository`, whatever the tag.
    pub(super) fn covers(&self, subject: &Subject<'_>) -> bool {
        let Repository { registry, name } = subject.repository;
        match &self.kind {
            Kind::Place(hosts, Paths::Exactly(exact, _)) => exact == name && hosts.has(registry),
            Kind::Place(hosts, Paths::Below(path)) => {
                name.strip_prefix(path).is_some() && hosts.has(registry)
            }
            Kind::Glob { repository, .. } => subject
                .spellings
                .iter()
                .any(|text| repository.matches(text)),
            Kind::Regex(regex) => subject.canonical().is_some_and(|text| regex.is_match(text)),
            Kind::Contains(part) => subject.spellings.iter().any(|text| text.contains(part)),
        }
    }

    /// What the pattern leaves for the targets; asked once, of the pattern that decides.
    pub(super) fn bind(&self, subject: &Subject<'_>) -> Bound {
        match &self.kind {
            Kind::Place(_, Paths::Exactly(name, _)) => Bound {
                prefix: name.as_str().to_owned(),
                captures: Vec::new(),
            },
            Kind::Place(_, Paths::Below(path)) => Bound {
                prefix: path.clone(),
                ..Bound::default()
            },
            Kind::Regex(regex) => {
                let caught = subject.canonical().and_then(|text| regex.captures(text));
                let owned =
                    |group: Option<regex::Match<'_>>| group.map(|at| at.as_str().to_owned());
                Bound {
                    captures: caught
                        .map(|caught| caught.iter().skip(1).map(owned).collect())
                        .unwrap_or_default(),
                    ..Bound::default()
                }
            }
            Kind::Glob { .. } | Kind::Contains(_) => Bound::default(),
        }
    }
}

/// A repository and the spellings that loose patterns see: canonical first, then, on Docker Hub,
/// without `library/`, without the registry, and without both.
#[derive(Clone, Debug)]
pub(super) struct Subject<'a> {
    pub(super) repository: &'a Repository,
    spellings: Vec<String>,
}

impl<'a> Subject<'a> {
    /// Without spellings if no loose pattern will ask for them.
    pub(super) fn new(repository: &'a Repository, loose: Loose) -> Self {
        let Repository { registry, name } = repository;
        let mut spellings = Vec::new();
        if loose == Loose::Some {
            spellings.push(repository.to_string());
            if registry.is_docker_hub() {
                spellings.push(name.to_string());
                if let Some(short) = official(name) {
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
pub(super) enum Loose {
    None,
    Some,
}

/// The short name of one of Docker's official images: `nginx` for `library/nginx`.
pub(super) fn official(name: &RepositoryName) -> Option<&str> {
    name.strip_prefix("library")
        .filter(|short| !short.is_empty() && !short.contains('/'))
}

fn not_empty(text: &str) -> Result<(), Flaw> {
    if text.is_empty() {
        return Err(Flaw::new(
            "matches nothing in particular; `from = \"*\"` is everything",
        ));
    }
    Ok(())
}
