//! Where a name leads: what the routes decide, in the words of this room.

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

/// What the routes decided of a name's tags, and of its digests, which all go one way.
pub(super) type ResolutionCache = Memo<(ImageName, Option<Tag>), Arc<Resolution>>;

/// A route's decision, ready to walk.
#[derive(Debug)]
pub(super) struct Resolution {
    /// Whom to ask, in order.
    pub(super) candidates: Vec<Candidate>,
    /// What the tag is remembered by for each of them, in their order; empty for a digest.
    pub(super) tags: Vec<TagKeys>,
    /// Every origin that may answer for the name, once somebody wants to know.
    pub(super) origins: OnceLock<Vec<Origin>>,
    /// What answers the tag whatever upstream says.
    pub(super) pin: Option<Digest>,
    /// How long a tag's record counts.
    pub(super) policy: FreshnessPolicy,
    /// What to say if there is nobody to ask.
    no_candidate: PullError,
}

/// What a candidate's tag is remembered by.
#[derive(Debug)]
pub(super) struct TagKeys {
    /// In what is kept and confirmed.
    pub(super) kept: (Origin, Tag),
    /// In what is lately absent.
    pub(super) absent: (Origin, ContentKey),
}

/// What a route without a candidate has no target for.
pub(super) fn kind_name(reference: &Reference) -> &'static str {
    match reference {
        Reference::Tag(_) => "tags",
        Reference::Digest(_) => "digests",
    }
}

impl TagKeys {
    fn new(candidate: &Candidate, tag: &Tag) -> Self {
        let (origin, tag) = (origin_of(candidate), tag_at(candidate, tag).clone());
        let item = ContentKey::Manifest(Reference::Tag(tag.clone()));
        Self {
            kept: (origin.clone(), tag),
            absent: (origin, item),
        }
    }
}

impl Resolution {
    pub(super) fn new(
        candidates: Vec<Candidate>,
        tag: Option<&Tag>,
        pin: Option<Digest>,
        policy: FreshnessPolicy,
        nobody: PullError,
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
            no_candidate: nobody,
        }
    }

    /// The error for a name whose candidates are none, if so.
    pub(super) fn no_candidate(&self) -> Option<PullError> {
        self.candidates
            .is_empty()
            .then(|| self.no_candidate.clone())
    }
}

/// What comes from a candidate belongs to this.
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

/// What to ask a candidate for.
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

/// An upstream that is being asked.
#[derive(Clone, Debug)]
pub(super) struct FetchSource {
    /// What comes from it belongs to this.
    pub(super) origin: Origin,
    pub(super) upstream: Upstream,
    /// How its refusals read.
    pub(super) refusal: RefusalMeaning,
}
