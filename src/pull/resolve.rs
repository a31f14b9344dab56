//! The routes' decision for a name, as pulls use it.

use std::sync::{Arc, OnceLock};

use tokio::time::Instant;

use super::{
    ContentKey, PullError, failure_tally::RefusalMeaning, freshness::FreshnessPolicy, memo::Memo,
};
use crate::{
    oci::{Digest, Origin, Reference, Tag, Via},
    route::{Candidate, ImageName},
    upstream::{RequestContext, Upstream},
};

/// Resolutions by tag; all digests of a name share one (no tag).
pub(super) type ResolutionCache = Memo<(ImageName, Option<Tag>), Arc<Resolution>>;

/// A route's decision, with what is derived from it.
#[derive(Debug)]
pub(super) struct Resolution {
    /// The upstreams to contact, in order.
    pub(super) candidates: Vec<Candidate>,
    /// The tag's keys for each of them, in the same order; empty for a digest.
    pub(super) tags: Vec<TagKeys>,
    /// Every origin of the name's content; set by [`super::Puller::resolution_origins`] on first
    /// use.
    pub(super) origins: OnceLock<Vec<Origin>>,
    /// The digest that the tag is pinned to.
    pub(super) pin: Option<Digest>,
    /// How long a tag's record may be served.
    pub(super) policy: FreshnessPolicy,
    /// The error for an empty list of candidates.
    no_candidate: PullError,
}

/// The keys of a candidate's tag, built once because every hit needs them.
#[derive(Debug)]
pub(super) struct TagKeys {
    /// In the store and among the confirmations.
    pub(super) kept: (Origin, Tag),
    /// In the negative cache.
    pub(super) absent: (Origin, ContentKey),
}

/// What a route without candidates has no target for.
pub(super) fn kind_name(reference: &Reference) -> &'static str {
    match reference {
        Reference::Tag(_) => "tags",
        Reference::Digest(_) => "digests",
    }
}

impl TagKeys {
    fn new(candidate: &Candidate, tag: &Tag) -> Self {
        let (origin, tag) = (origin_of(candidate), tag_at(candidate, tag).clone());
        let key = ContentKey::Manifest(Reference::Tag(tag.clone()));
        Self {
            kept: (origin.clone(), tag),
            absent: (origin, key),
        }
    }
}

impl Resolution {
    pub(super) fn new(
        candidates: Vec<Candidate>,
        tag: Option<&Tag>,
        pin: Option<Digest>,
        policy: FreshnessPolicy,
        no_candidate: PullError,
    ) -> Self {
        let tags = tag.map(|tag| {
            candidates
                .iter()
                .map(|one| TagKeys::new(one, tag))
                .collect()
        });
        Self {
            tags: tags.unwrap_or_default(),
            candidates,
            origins: OnceLock::new(),
            pin,
            policy,
            no_candidate,
        }
    }

    /// The error for an empty list of candidates.
    pub(super) fn no_candidate(&self) -> Option<PullError> {
        self.candidates
            .is_empty()
            .then(|| self.no_candidate.clone())
    }
}

/// The origin of a candidate's content.
pub(super) fn origin_of(candidate: &Candidate) -> Origin {
    Origin::Upstream {
        upstream: candidate.upstream.clone(),
        name: candidate.name.clone(),
    }
}

/// The tag's name at a candidate, which a route may have changed.
pub(super) fn tag_at<'a>(candidate: &'a Candidate, tag: &'a Tag) -> &'a Tag {
    candidate.tag.as_ref().unwrap_or(tag)
}

/// The context of a request to a candidate.
pub(super) fn request_context<'a>(
    candidate: &'a Candidate,
    via: &'a Via,
    deadline: Instant,
) -> RequestContext<'a> {
    RequestContext {
        name: &candidate.name,
        registry: &candidate.registry,
        via,
        deadline,
    }
}

/// An upstream to fetch from.
#[derive(Clone, Debug)]
pub(super) struct FetchSource {
    /// The origin of what it sends.
    pub(super) origin: Origin,
    pub(super) upstream: Upstream,
    /// What its refusals mean.
    pub(super) refusal: RefusalMeaning,
}
