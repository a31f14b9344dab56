//! Where a name leads: what the routes decide, in the words of this room.

use std::time::Duration;

use tokio::time::Instant;

use super::{Item, PullError, Puller, freshness::Policy};
use crate::{
    oci::{Digest, Origin, Reference, Via},
    route::{Candidate, Decision, Named},
    store::Standing,
    upstream::Ask,
};

/// A route's decision, ready to walk.
#[derive(Debug)]
pub(super) struct Lead {
    /// Whom to ask, in order.
    pub(super) candidates: Vec<Candidate>,
    /// What answers the tag whatever upstream says.
    pub(super) pin: Option<Digest>,
    /// How long a tag's record counts.
    pub(super) policy: Policy,
    /// What to say if there is nobody to ask.
    nobody: PullError,
}

/// What a route without a candidate has no target for.
pub(super) fn kind(reference: &Reference) -> &'static str {
    match reference {
        Reference::Tag(_) => "tags",
        Reference::Digest(_) => "digests",
    }
}

impl Lead {
    /// The error for a name whose candidates are none, if so.
    pub(super) fn nobody(&self) -> Option<PullError> {
        self.candidates.is_empty().then(|| self.nobody.clone())
    }
}

impl Puller {
    /// Asks the routes; a rule that denies ends it here, for kept content too.
    pub(super) fn lead(&self, named: &Named, reference: &Reference) -> Result<Lead, PullError> {
        let settings = &self.0.settings;
        let policy = |fresh: Option<Duration>, stale_max: Option<Duration>| Policy {
            fresh: fresh.unwrap_or(settings.tag_fresh),
            stale_max: stale_max.unwrap_or(settings.tag_stale_max),
        };
        match self.0.table.decide(named, reference) {
            Decision::Deny { from, .. } => Err(PullError::Denied {
                rule: format!("the route from {from:?}"),
            }),
            Decision::Unmatched { reason } => Ok(Lead {
                candidates: Vec::new(),
                pin: None,
                policy: policy(None, None),
                nobody: PullError::Unmatched { reason },
            }),
            Decision::Route {
                from,
                candidates,
                pin,
                tag_fresh,
                tag_stale_max,
                ..
            } => {
                let kind = kind(reference);
                let rule = format!("the route from {from:?}, which has no target for {kind}");
                Ok(Lead {
                    candidates,
                    pin,
                    policy: policy(tag_fresh, tag_stale_max),
                    nobody: PullError::Denied { rule },
                })
            }
        }
    }

    /// Every origin that may answer for a name. Loaded bundles come last: most names are in none,
    /// and looking there costs a question to the disk.
    pub(super) fn origins(&self, named: &Named) -> Vec<Origin> {
        let table = self.0.table.origins(named);
        let upstream = table.iter().map(origin);
        upstream
            .chain(named.repositories().map(Origin::Local))
            .collect()
    }

    /// Whom to ask for a digest now, or the reason why there is nobody. What a candidate lately did
    /// not have it is not asked for again, unless one of its manifests has come to name it.
    pub(super) async fn reachable(
        &self,
        named: &Named,
        digest: &Digest,
        item: &Item,
        lead: &Lead,
    ) -> Result<Vec<Candidate>, PullError> {
        let order = self.order(named, digest, lead).await?;
        if order.is_empty() {
            return Err(lead.nobody().unwrap_or(PullError::Absent));
        }
        let mut reachable = Vec::new();
        for candidate in order {
            let origin = origin(&candidate);
            let absent = self.0.absent.contains_key(&(origin.clone(), item.clone()));
            if !absent || self.0.store.standing(digest, &origin).await? != Standing::Stranger {
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
    pub(super) async fn order(
        &self,
        named: &Named,
        digest: &Digest,
        lead: &Lead,
    ) -> Result<Vec<Candidate>, PullError> {
        let mut order: Vec<Candidate> = Vec::new();
        for candidate in self.0.table.origins(named) {
            // A disk that cannot be read knows nobody.
            let standing = self.0.store.standing(digest, &origin(&candidate)).await;
            if standing.is_ok_and(|standing| standing != Standing::Stranger) {
                order.push(candidate);
            }
        }
        for candidate in &lead.candidates {
            if order.iter().all(|known| origin(known) != origin(candidate)) {
                order.push(candidate.clone());
            }
        }
        Ok(order)
    }
}

/// What comes from a candidate belongs to this.
pub(super) fn origin(candidate: &Candidate) -> Origin {
    Origin::Upstream {
        upstream: candidate.upstream.clone(),
        name: candidate.name.clone(),
    }
}

/// What to ask a candidate for.
pub(super) fn ask<'a>(candidate: &'a Candidate, via: &'a Via, deadline: Instant) -> Ask<'a> {
    Ask {
        name: &candidate.name,
        registry: &candidate.registry,
        via,
        deadline,
    }
}
