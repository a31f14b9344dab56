//! Which upstreams and origins may have a name's content.

use std::{sync::Arc, time::Duration};

use super::{
    ContentKey, PullError, Puller,
    freshness::FreshnessPolicy,
    resolve::{Resolution, kind_name, origin_of},
};
use crate::{
    oci::{Digest, Origin, Reference, Tag},
    route::{Candidate, Decision, ImageName},
    store::Provenance,
};

impl Puller {
    /// Asks the routes; one that denies ends the pull here, for stored content too.
    pub(super) fn resolve(
        &self,
        image: &ImageName,
        reference: &Reference,
    ) -> Result<Arc<Resolution>, PullError> {
        let tag = match reference {
            Reference::Tag(tag) => Some(tag.clone()),
            Reference::Digest(_) => None,
        };
        let decide = |(_, tag): &(_, Option<Tag>)| {
            let resolution = self.decide(image, reference, tag.as_ref());
            resolution.map(Arc::new)
        };
        self.0.resolutions.get_or_find((image.clone(), tag), decide)
    }

    fn decide(
        &self,
        image: &ImageName,
        reference: &Reference,
        tag: Option<&Tag>,
    ) -> Result<Resolution, PullError> {
        let settings = &self.0.settings;
        let policy = |fresh: Option<Duration>, stale_max: Option<Duration>| FreshnessPolicy {
            fresh: fresh.unwrap_or(settings.tag_fresh),
            stale_max: stale_max.unwrap_or(settings.tag_stale_max),
        };
        match self.0.table.decide(image, reference) {
            Decision::Deny { from, .. } => Err(PullError::Denied {
                rule: format!("the route from {from:?}"),
            }),
            Decision::Unmatched { reason } => {
                let no_candidate = PullError::Unmatched { reason };
                Ok(Resolution::new(
                    Vec::new(),
                    tag,
                    None,
                    policy(None, None),
                    no_candidate,
                ))
            }
            Decision::Route {
                from,
                candidates,
                pin,
                tag_fresh,
                tag_stale_max,
                ..
            } => {
                let kind = kind_name(reference);
                let rule = format!("the route from {from:?}, which has no target for {kind}");
                let policy = policy(tag_fresh, tag_stale_max);
                let no_candidate = PullError::Denied { rule };
                Ok(Resolution::new(candidates, tag, pin, policy, no_candidate))
            }
        }
    }

    /// Every origin of a name's content. Loaded bundles come last: few names are in one, and each
    /// lookup costs a disk access.
    pub(super) fn origins(&self, image: &ImageName) -> Vec<Origin> {
        let candidates = self.0.table.all_candidates(image);
        let upstream = candidates.iter().map(origin_of);
        upstream
            .chain(image.repositories().map(Origin::Local))
            .collect()
    }

    /// As [`Puller::origins`], computed once per resolution.
    pub(super) fn resolution_origins<'l>(
        &self,
        image: &ImageName,
        resolution: &'l Resolution,
    ) -> &'l [Origin] {
        resolution.origins.get_or_init(|| self.origins(image))
    }

    /// The upstreams to contact for a digest now, or why there are none. A candidate that recently
    /// did not have it is left out, unless one of its manifests references it by now.
    pub(super) async fn sources(
        &self,
        image: &ImageName,
        digest: &Digest,
        key: &ContentKey,
        resolution: &Resolution,
    ) -> Result<Vec<Candidate>, PullError> {
        let candidates = self
            .candidates_for_digest(image, digest, resolution)
            .await?;
        if candidates.is_empty() {
            return Err(resolution.no_candidate().unwrap_or(PullError::Absent));
        }
        let mut reachable = Vec::new();
        for candidate in candidates {
            let origin = origin_of(&candidate);
            let absent = self.0.absences.contains_key(&(origin.clone(), key.clone()));
            if !absent || self.0.store.provenance(digest, &origin).await? != Provenance::Unknown {
                reachable.push(candidate);
            }
        }
        if reachable.is_empty() || self.0.settings.offline {
            return Err(PullError::Absent);
        }
        Ok(reachable)
    }

    /// The upstreams to contact for a digest: those whose stored manifests reference it, for a
    /// digest follows the tag that produced it, then the route's candidates.
    pub(super) async fn candidates_for_digest(
        &self,
        image: &ImageName,
        digest: &Digest,
        resolution: &Resolution,
    ) -> Result<Vec<Candidate>, PullError> {
        let mut candidates: Vec<Candidate> = Vec::new();
        for candidate in self.0.table.all_candidates(image) {
            // A disk error counts as "unknown".
            let provenance = self
                .0
                .store
                .provenance(digest, &origin_of(&candidate))
                .await;
            if provenance.is_ok_and(|provenance| provenance != Provenance::Unknown) {
                candidates.push(candidate);
            }
        }
        for candidate in &resolution.candidates {
            if candidates
                .iter()
                .all(|known| origin_of(known) != origin_of(candidate))
            {
                candidates.push(candidate.clone());
            }
        }
        Ok(candidates)
    }
}
