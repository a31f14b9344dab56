//! Decides one request, and lists every candidate that a name's content may have come from.

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

/// What to do with a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Contact these candidates, in this order.
    Route {
        /// The location of the deciding route; none if it is built in.
        location: Option<ConfigLocation>,
        /// The pattern that matched, as written.
        from: String,
        /// The upstreams to contact. Empty if the route has no target for this kind of reference:
        /// stored content of [`RouteTable::all_candidates`] is still served, anything else denied.
        candidates: Vec<Candidate>,
        /// The digest that answers the tag, whatever upstream says.
        pin: Option<Digest>,
        /// How long the tag is fresh; none for the general setting.
        tag_fresh: Option<Duration>,
        /// How long the tag is served while its upstream fails; none for the general setting.
        tag_stale_max: Option<Duration>,
    },
    /// Refuse, stored content too.
    Deny {
        /// The location of the deciding route.
        location: ConfigLocation,
        /// The pattern that matched, as written.
        from: String,
    },
    /// No route matches the name.
    Unmatched {
        /// Why neither a route nor the built-in list serves it.
        reason: String,
    },
}

impl RouteTable {
    /// Decides one request. Of the equal registries the first that some route matches decides.
    ///
    /// A digest may come from a tag with a route of its own, so the targets of routes for single
    /// tags follow a digest's candidates, and such a route, or one for all tags, keeps the name's
    /// digests from being denied or unmatched.
    pub fn decide(&self, image: &ImageName, reference: &Reference) -> Decision {
        match reference {
            Reference::Tag(tag) => self.by_tag(image, RequestedReference::Tag(tag), Some(tag)),
            Reference::Digest(_) => self.by_digest(image),
        }
    }

    /// Every candidate that this name's content may have come from: those for digests, for tags
    /// and of the routes for single tags. Loaded bundles are not among them.
    pub fn all_candidates(&self, image: &ImageName) -> Vec<Candidate> {
        let by_digest = self.by_digest(image);
        let by_tag = self.by_tag(image, RequestedReference::AnyTag, None);
        let mut all = by_digest.into_candidates();
        all.extend(by_tag.into_candidates());
        all.extend(
            self.single_tags(image)
                .into_iter()
                .flat_map(|(_, found)| found),
        );
        let same = |one: &Candidate, other: &Candidate| {
            (&one.upstream, &one.name) == (&other.upstream, &other.name)
        };
        deduplicated(without_tags(all), same)
    }

    fn by_tag(
        &self,
        image: &ImageName,
        reference: RequestedReference<'_>,
        tag: Option<&Tag>,
    ) -> Decision {
        let decided = self.best(image, reference, |entry, subject| {
            decision(entry, &RouteQuery::new(subject, image, reference, tag))
        });
        decided.unwrap_or_else(|| self.unmatched(image))
    }

    fn by_digest(&self, image: &ImageName) -> Decision {
        let mut decision = self.by_tag(image, RequestedReference::Digest, None);
        if let Decision::Unmatched { .. } = decision {
            let by_tag = self.best(image, RequestedReference::AnyTag, |entry, _| entry.clone());
            if let Some(entry) = by_tag.filter(|entry| entry.rule.text.action == Action::Route) {
                decision = route_decision(&entry, Vec::new(), None);
            }
        }
        let mut single = self.single_tags(image).into_iter();
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

    /// The routes that decide single tags of this name, and their candidates for a digest. A route
    /// that ranks below one for every tag decides none.
    fn single_tags(&self, image: &ImageName) -> Vec<(&RouteEntry, Vec<Candidate>)> {
        let mut found = Vec::new();
        for repository in equal_repositories(image) {
            let subject = self.index.subject(&repository);
            let other = self.index.best(&subject, RequestedReference::AnyTag);
            let single = self.index.single_tags(&subject).into_iter();
            let single = single
                .filter(|entry| entry.rule.text.action == Action::Route)
                .filter(|entry| other.is_none_or(|other| other.rank < entry.rank));
            found.extend(single.map(|entry| {
                let tag = entry.pattern.exact_tag();
                let request = RouteQuery::new(&subject, image, RequestedReference::AnyTag, tag);
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
        image: &ImageName,
        reference: RequestedReference<'_>,
        then: impl Fn(&RouteEntry, &MatchSubject<'_>) -> T,
    ) -> Option<T> {
        equal_repositories(image).find_map(|repository| {
            let subject = self.index.subject(&repository);
            let entry = self.index.best(&subject, reference)?;
            Some(then(entry, &subject))
        })
    }

    fn unmatched(&self, image: &ImageName) -> Decision {
        let Repository { registry, .. } = &image.repository;
        let source = match self.unmatched {
            UnmatchedPolicy::Auto => self.routes() == 0 && public::is_public(registry),
            UnmatchedPolicy::Source => public::is_public(registry) || self.index.names(registry),
            UnmatchedPolicy::Deny => false,
        };
        if source {
            return Decision::Route {
                location: None,
                from: public::LIST_NAME.to_owned(),
                candidates: equal_repositories(image)
                    .filter_map(source_candidate)
                    .collect(),
                pin: None,
                tag_fresh: None,
                tag_stale_max: None,
            };
        }
        let name = &image.repository;
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

/// One name to be matched to candidates.
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
        image: &'a ImageName,
        reference: RequestedReference<'a>,
        tag: Option<&'a Tag>,
    ) -> Self {
        Self {
            subject,
            image,
            reference,
            tag,
        }
    }
}

/// The repository in its own registry, then in each equal one.
fn equal_repositories(image: &ImageName) -> impl Iterator<Item = Repository> {
    let equal = image.equal.iter();
    let equal = equal.map(|registry| in_registry(&image.repository, registry));
    std::iter::once(image.repository.clone()).chain(equal)
}

fn in_registry(repository: &Repository, registry: &Registry) -> Repository {
    Repository::canonical(registry.clone(), repository.name.clone())
}

fn decision(entry: &RouteEntry, request: &RouteQuery<'_>) -> Decision {
    match entry.rule.text.action {
        Action::Deny => Decision::Deny {
            location: entry.rule.location().clone(),
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
        location: Some(entry.rule.location().clone()),
        from: entry.pattern.written.clone(),
        candidates,
        pin,
        tag_fresh: entry.rule.text.tag_fresh,
        tag_stale_max: entry.rule.text.tag_stale_max,
    }
}

/// The candidates of a rule's targets, in order, in the spellings that its library policy gives.
fn candidates(entry: &RouteEntry, request: &RouteQuery<'_>) -> Vec<Candidate> {
    let captures = entry.pattern.captures(request.subject);
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
                    names.map(|name| target_candidate(target, name, entry, request, &captures));
                found.extend(filled.flatten());
            }
        }
    }
    deduplicated(found, Candidate::eq)
}

/// The image's own registry, then those equal to it.
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

/// One target for one spelling of the name; none if the result is not a valid name or tag.
fn target_candidate(
    target: &RouteTarget,
    spelled: &str,
    entry: &RouteEntry,
    request: &RouteQuery<'_>,
    captures: &MatchCaptures,
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
        // A rewritten name counts as a whole: it may have lost the matched prefix.
        Some(whole) if !entry.pattern.is_exact() => whole,
        _ if captures.prefix.is_empty() => spelled,
        _ => name.strip_prefix(&captures.prefix)?,
    };
    let values = TemplateValues {
        repository: rewritten.as_deref().unwrap_or(spelled),
        rest,
        first: name.elements().next()?,
        registry: registry.as_str(),
        tag: request.tag.map(Tag::as_str),
        groups: &captures.groups,
    };
    let mut name: RepositoryName = path.fill_path(&values)?;
    if upstream.as_str() == Registry::docker_hub().as_str() {
        // Docker Hub serves its official images under `library/` only.
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

/// The names under which a target may have an official image of Docker Hub.
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

/// An origin is the same for every tag.
fn without_tags(mut candidates: Vec<Candidate>) -> Vec<Candidate> {
    for candidate in &mut candidates {
        candidate.tag = None;
    }
    candidates
}

/// The first of each, in order; quadratic, but lists are as short as a rule's `to`.
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
