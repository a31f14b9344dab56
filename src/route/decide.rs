//! The decision for one name, and everything it may have come from.

use std::time::Duration;

use crate::oci::{Digest, Reference, Registry, Repository, RepositoryName, Tag};

use super::{
    Candidate, ConfigLocation, ImageName, RouteTable, UnmatchedPolicy,
    index::RouteEntry,
    pattern::{MatchCaptures, MatchSubject, official_image},
    public,
    ref_kind::RequestedReference,
    rewrite::Rewrite,
    target::{Destination, RouteTarget, TemplateValues},
    text::{Action, LibraryPrefix},
};

/// What is to be done with a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Ask these, in this order.
    Route {
        /// The route that decided; none if it is built in.
        place: Option<ConfigLocation>,
        /// What matched, as it is written.
        from: String,
        /// Whom to ask. Empty if the route has no target for this kind of reference: what one of
        /// [`RouteTable::origins`] has is served all the same, anything else is denied.
        candidates: Vec<Candidate>,
        /// The digest that answers the tag, whatever upstream says.
        pin: Option<Digest>,
        /// How long the tag is believed; none for the general setting.
        tag_fresh: Option<Duration>,
        /// How long the tag is served without its upstream; none for the general setting.
        tag_stale_max: Option<Duration>,
    },
    /// Refuse, kept content too.
    Deny {
        /// The route that decided.
        place: ConfigLocation,
        /// What matched, as it is written.
        from: String,
    },
    /// No route knows the name.
    Unmatched {
        /// Why nothing else serves it.
        reason: String,
    },
}

impl RouteTable {
    /// Decides one request. Of the equal registries the first that some route matches decides.
    ///
    /// A digest may be what a tag's own route led to, so after its candidates the targets of routes
    /// for single tags are asked too, and such a route, or one for all tags, keeps the name's
    /// digests from being denied or unknown.
    pub fn decide(&self, named: &ImageName, reference: &Reference) -> Decision {
        match reference {
            Reference::Tag(tag) => self.by_tag(named, RequestedReference::Tag(tag), Some(tag)),
            Reference::Digest(_) => self.by_digest(named),
        }
    }

    /// Every place that bytes under this name may have come from: the candidates for digests, those
    /// for tags, and those of the routes for single tags. What is kept locally is not among them.
    pub fn all_candidates(&self, named: &ImageName) -> Vec<Candidate> {
        let by_digest = self.by_digest(named);
        let by_tag = self.by_tag(named, RequestedReference::AnyTag, None);
        let mut origins = by_digest.into_candidates();
        origins.extend(by_tag.into_candidates());
        origins.extend(
            self.single_tags(named)
                .into_iter()
                .flat_map(|(_, found)| found),
        );
        let same = |one: &Candidate, other: &Candidate| {
            (&one.upstream, &one.name) == (&other.upstream, &other.name)
        };
        deduplicated(without_tags(origins), same)
    }

    fn by_tag(
        &self,
        named: &ImageName,
        asked: RequestedReference<'_>,
        tag: Option<&Tag>,
    ) -> Decision {
        let decided = self.best(named, asked, |entry, subject| {
            decision(entry, &RouteQuery::new(subject, named, asked, tag))
        });
        decided.unwrap_or_else(|| self.unmatched(named))
    }

    fn by_digest(&self, named: &ImageName) -> Decision {
        let mut decision = self.by_tag(named, RequestedReference::Digest, None);
        if let Decision::Unmatched { .. } = decision {
            let by_tag = self.best(named, RequestedReference::AnyTag, |entry, _| entry.clone());
            if let Some(entry) = by_tag.filter(|entry| entry.rule.text.action == Action::Route) {
                decision = route_decision(&entry, Vec::new(), None);
            }
        }
        let mut single = self.single_tags(named).into_iter();
        let Some((entry, first)) = single.next() else {
            return decision;
        };
        let more = first.into_iter().chain(single.flat_map(|(_, found)| found));
        match &mut decision {
            Decision::Route { candidates, .. } => {
                let known = std::mem::take(candidates);
                *candidates = deduplicated(known.into_iter().chain(more).collect(), Candidate::eq);
                decision
            }
            Decision::Deny { .. } | Decision::Unmatched { .. } => {
                route_decision(entry, deduplicated(more.collect(), Candidate::eq), None)
            }
        }
    }

    /// The routes that decide single tags of this name, and where they lead when asked by digest.
    /// A route that another for every tag overrules decides none.
    fn single_tags(&self, named: &ImageName) -> Vec<(&RouteEntry, Vec<Candidate>)> {
        let mut found = Vec::new();
        for repository in equal_repositories(named) {
            let subject = self.index.subject(&repository);
            let other = self.index.best(&subject, RequestedReference::AnyTag);
            let single = self.index.single_tags(&subject).into_iter();
            let single = single
                .filter(|entry| entry.rule.text.action == Action::Route)
                .filter(|entry| other.is_none_or(|other| other.rank < entry.rank));
            found.extend(single.map(|entry| {
                let tag = entry.pattern.exact_tag();
                let request = RouteQuery::new(&subject, named, RequestedReference::AnyTag, tag);
                (entry, without_tags(candidates(entry, &request)))
            }));
            if other.is_some() {
                break;
            }
        }
        found
    }

    fn best<T>(
        &self,
        named: &ImageName,
        asked: RequestedReference<'_>,
        then: impl Fn(&RouteEntry, &MatchSubject<'_>) -> T,
    ) -> Option<T> {
        equal_repositories(named).find_map(|repository| {
            let subject = self.index.subject(&repository);
            let entry = self.index.best(&subject, asked)?;
            Some(then(entry, &subject))
        })
    }

    fn unmatched(&self, named: &ImageName) -> Decision {
        let Repository { registry, .. } = &named.repository;
        let source = match self.unmatched {
            UnmatchedPolicy::Auto => self.routes() == 0 && public::is_public(registry),
            UnmatchedPolicy::Source => public::is_public(registry) || self.index.names(registry),
            UnmatchedPolicy::Deny => false,
        };
        if source {
            return Decision::Route {
                place: None,
                from: public::LIST_NAME.to_owned(),
                candidates: equal_repositories(named)
                    .filter_map(source_candidate)
                    .collect(),
                pin: None,
                tag_fresh: None,
                tag_stale_max: None,
            };
        }
        let name = &named.repository;
        let list = public::LIST_NAME;
        let reason = match self.unmatched {
            UnmatchedPolicy::Deny | UnmatchedPolicy::Auto if self.routes() != 0 => {
                format!("no route matches {name}")
            }
            UnmatchedPolicy::Deny => format!("no route matches {name}, and unmatched = \"deny\""),
            UnmatchedPolicy::Auto | UnmatchedPolicy::Source => {
                format!("{registry} is not on {list}, and no route names it")
            }
        };
        Decision::Unmatched { reason }
    }
}

impl Decision {
    fn into_candidates(self) -> Vec<Candidate> {
        match self {
            Self::Route { candidates, .. } => candidates,
            Self::Deny { .. } | Self::Unmatched { .. } => Vec::new(),
        }
    }
}

/// One name being led to its candidates.
#[derive(Clone, Copy, Debug)]
struct RouteQuery<'a> {
    subject: &'a MatchSubject<'a>,
    image: &'a ImageName,
    reference: RequestedReference<'a>,
    tag: Option<&'a Tag>,
}

impl<'a> RouteQuery<'a> {
    fn new(
        subject: &'a MatchSubject<'a>,
        named: &'a ImageName,
        asked: RequestedReference<'a>,
        tag: Option<&'a Tag>,
    ) -> Self {
        Self {
            subject,
            image: named,
            reference: asked,
            tag,
        }
    }
}

/// The name in its own registry and then in each equal one.
fn equal_repositories(named: &ImageName) -> impl Iterator<Item = Repository> {
    let equal = named.equal.iter();
    let equal = equal.map(|registry| in_registry(&named.repository, registry));
    std::iter::once(named.repository.clone()).chain(equal)
}

fn in_registry(repository: &Repository, registry: &Registry) -> Repository {
    Repository::canonical(registry.clone(), repository.name.clone())
}

fn decision(entry: &RouteEntry, request: &RouteQuery<'_>) -> Decision {
    match entry.rule.text.action {
        Action::Deny => Decision::Deny {
            place: entry.rule.location().clone(),
            from: entry.pattern.written.clone(),
        },
        Action::Route => {
            let pin = request.tag.and(entry.rule.pin);
            route_decision(entry, candidates(entry, request), pin)
        }
    }
}

fn route_decision(entry: &RouteEntry, candidates: Vec<Candidate>, pin: Option<Digest>) -> Decision {
    Decision::Route {
        place: Some(entry.rule.location().clone()),
        from: entry.pattern.written.clone(),
        candidates,
        pin,
        tag_fresh: entry.rule.text.tag_fresh,
        tag_stale_max: entry.rule.text.tag_stale_max,
    }
}

/// Targets in order, each in the spellings that the rule's library policy gives.
fn candidates(entry: &RouteEntry, request: &RouteQuery<'_>) -> Vec<Candidate> {
    let bound = entry.pattern.captures(request.subject);
    let mut found = Vec::new();
    for target in &entry.rule.targets {
        if !target.ref_kind.accepts(request.reference) {
            continue;
        }
        match &target.destination {
            Destination::Source => found.extend(source_candidates(request, target)),
            Destination::Upstream { .. } => {
                let names = library_spellings(entry.rule.text.library, request.subject.repository);
                let filled =
                    names.map(|name| target_candidate(target, name, entry, request, &bound));
                found.extend(filled.flatten());
            }
        }
    }
    deduplicated(found, Candidate::eq)
}

/// The registry of the name itself, then those that count as equal to it.
fn source_candidates(request: &RouteQuery<'_>, target: &RouteTarget) -> Vec<Candidate> {
    let own = request.subject.repository;
    let others = equal_repositories(request.image).filter(|repository| repository != own);
    let all = std::iter::once(own.clone()).chain(others);
    let mut found: Vec<_> = all.filter_map(source_candidate).collect();
    for candidate in &mut found {
        candidate.refused = target.refused;
    }
    found
}

fn source_candidate(repository: Repository) -> Option<Candidate> {
    Some(Candidate {
        upstream: repository.registry.as_str().parse().ok()?,
        name: repository.name,
        tag: None,
        refused: None,
        registry: repository.registry,
    })
}

/// One target for one spelling of the name; none if that makes no well-formed name or tag.
fn target_candidate(
    target: &RouteTarget,
    spelled: &str,
    entry: &RouteEntry,
    request: &RouteQuery<'_>,
    bound: &MatchCaptures,
) -> Option<Candidate> {
    let Destination::Upstream {
        upstream,
        path,
        tag,
    } = &target.destination
    else {
        return None;
    };
    let Repository { registry, name } = request.subject.repository;
    let rewritten = Rewrite::apply_first(&entry.rule.rewrites, spelled);
    let rest = match &rewritten {
        // A rewritten name is whole: the matched prefix may be gone from it.
        Some(whole) if !entry.pattern.is_exact() => whole,
        _ if bound.prefix.is_empty() => spelled,
        _ => name.strip_prefix(&bound.prefix)?,
    };
    let values = TemplateValues {
        repository: rewritten.as_deref().unwrap_or(spelled),
        rest,
        first: name.elements().next()?,
        registry: registry.as_str(),
        tag: request.tag.map(Tag::as_str),
        groups: &bound.captures,
    };
    let mut name: RepositoryName = path.fill_path(&values)?;
    if upstream.as_str() == Registry::docker_hub().as_str() {
        // Docker Hub serves its official images under their long name only.
        name = Repository::canonical(Registry::docker_hub(), name).name;
    }
    let tag = match (tag, request.tag) {
        (Some(tag), Some(_)) => Some(tag.fill(&values)?.parse().ok()?),
        _ => None,
    };
    Some(Candidate {
        upstream: upstream.clone(),
        name,
        tag,
        refused: target.refused,
        registry: registry.clone(),
    })
}

/// The spellings under which a target may hold an official image of Docker Hub.
fn library_spellings(policy: LibraryPrefix, repository: &Repository) -> impl Iterator<Item = &str> {
    let name = &repository.name;
    let short = official_image(name);
    let (long, short) = match policy {
        LibraryPrefix::Auto if repository.registry.is_docker_hub() => (Some(name.as_str()), short),
        LibraryPrefix::Both => (Some(name.as_str()), short),
        LibraryPrefix::Auto | LibraryPrefix::Keep => (Some(name.as_str()), None),
        LibraryPrefix::Strip => (None, Some(short.unwrap_or(name.as_str()))),
    };
    long.into_iter().chain(short)
}

/// A place is what it is under every tag.
fn without_tags(mut candidates: Vec<Candidate>) -> Vec<Candidate> {
    for candidate in &mut candidates {
        candidate.tag = None;
    }
    candidates
}

/// The first of each, in order; lists are as long as a rule's `to`.
fn deduplicated(
    candidates: Vec<Candidate>,
    same: impl Fn(&Candidate, &Candidate) -> bool,
) -> Vec<Candidate> {
    let mut kept: Vec<Candidate> = Vec::with_capacity(candidates.len());
    for candidate in candidates {
        if !kept.iter().any(|other| same(other, &candidate)) {
            kept.push(candidate);
        }
    }
    kept
}
