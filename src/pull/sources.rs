//! Who may have what a name means.

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
    /// Asks the routes; a rule that denies ends it here, for kept content too.
    pub(super) fn resolve(
        &self,
        named: &ImageName,
        reference: &Reference,
    ) -> Result<Arc<Resolution>, PullError> {
        let tag = match reference {
            Reference::Tag(tag) => Some(tag.clone()),
            Reference::Digest(_) => None,
        };
        let decide = |(_, tag): &(_, Option<Tag>)| {
            let lead = self.decide(named, reference, tag.as_ref());
            lead.map(Arc::new)
        };
        self.0.resolutions.get_or_find((named.clone(), tag), decide)
    }

    fn decide(
        &self,
        named: &ImageName,
        reference: &Reference,
        tag: Option<&Tag>,
    ) -> Result<Resolution, PullError> {
        let settings = &self.0.settings;
        let policy = |fresh: Option<Duration>, stale_max: Option<Duration>| FreshnessPolicy {
            fresh: fresh.unwrap_or(settings.tag_fresh),
            stale_max: stale_max.unwrap_or(settings.tag_stale_max),
        };
        match self.0.table.decide(named, reference) {
            Decision::Deny { from, .. } => Err(PullError::Denied {
                rule: format!("the route from {from:?}"),
            }),
            Decision::Unmatched { reason } => {
                let nobody = PullError::Unmatched { reason };
                Ok(Resolution::new(
                    Vec::new(),
                    tag,
                    None,
                    policy(None, None),
                    nobody,
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
                let nobody = PullError::Denied { rule };
                Ok(Resolution::new(candidates, tag, pin, policy, nobody))
            }
        }
    }

    /// Every origin that may answer for a name. Loaded bundles come last: most names are in none,
    /// and looking there costs a question to the disk.
    pub(super) fn origins(&self, named: &ImageName) -> Vec<Origin> {
        let table = self.0.table.all_candidates(named);
        let upstream = table.iter().map(origin_of);
        upstream
            .chain(named.repositories().map(Origin::Local))
            .collect()
    }

    /// As [`Puller::origins`], found once.
    pub(super) fn resolution_origins<'l>(
        &self,
        named: &ImageName,
        lead: &'l Resolution,
    ) -> &'l [Origin] {
        lead.origins.get_or_init(|| self.origins(named))
    }

    /// Whom to ask for a digest now, or the reason why there is nobody. What a candidate lately did
    /// not have it is not asked for again, unless one of its manifests has come to name it.
    pub(super) async fn sources(
        &self,
        named: &ImageName,
        digest: &Digest,
        item: &ContentKey,
        lead: &Resolution,
    ) -> Result<Vec<Candidate>, PullError> {
        let order = self.candidates_for_digest(named, digest, lead).await?;
        if order.is_empty() {
            return Err(lead.no_candidate().unwrap_or(PullError::Absent));
        }
        let mut reachable = Vec::new();
        for candidate in order {
            let origin = origin_of(&candidate);
            let absent = self
                .0
                .absences
                .contains_key(&(origin.clone(), item.clone()));
            if !absent || self.0.store.provenance(digest, &origin).await? != Provenance::Unknown {
                reachable.push(candidate);
            }
        }
        if reachable.is_empty() || self.0.settings.offline {
            return Err(PullError::Absent);
        }
        Ok(reachable)
    }

    /// Whom to ask for a digest: the origins whose manifests name it, for a digest follows the tag
    /// that produced it, then the route's candidates.
    pub(super) async fn candidates_for_digest(
        &self,
        named: &ImageName,
        digest: &Digest,
        lead: &Resolution,
    ) -> Result<Vec<Candidate>, PullError> {
        let mut order: Vec<Candidate> = Vec::new();
        for candidate in self.0.table.all_candidates(named) {
            // A disk that cannot be read knows nobody.
            let standing = self
                .0
                .store
                .provenance(digest, &origin_of(&candidate))
                .await;
            if standing.is_ok_and(|standing| standing != Provenance::Unknown) {
                order.push(candidate);
            }
        }
        for candidate in &lead.candidates {
            if order
                .iter()
                .all(|known| origin_of(known) != origin_of(candidate))
            {
                order.push(candidate.clone());
            }
        }
        Ok(order)
    }
}
