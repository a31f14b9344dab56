//! Manifests by digest: kept by one of the name's origins, else fetched once and verified.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep};

use super::{
    CacheStatus, ContentKey, ManifestAnswer, PullError, Puller,
    failure_tally::{FailureKind, FailureTally, RefusalMeaning},
    resolve::{Resolution, origin_of, request_context},
};
use crate::{
    oci::{Digest, Manifest, Origin, Reference},
    route::{Candidate, ImageName},
    upstream::{Upstream, UpstreamError},
};

/// Pause after a 429 that does not say for how long; the upstream's gate knows it when asked again.
const RETRY_AFTER_DEFAULT: Duration = Duration::from_millis(50);

impl Puller {
    pub(super) async fn manifest_by_digest(
        &self,
        named: &ImageName,
        digest: &Digest,
    ) -> Result<ManifestAnswer, PullError> {
        let reference = Reference::Digest(*digest);
        let lead = self.resolve(named, &reference)?;
        self.resolved_manifest(named, digest, &lead).await
    }

    /// As [`Puller::by_digest`], for a lead that is known already.
    pub(super) async fn resolved_manifest(
        &self,
        named: &ImageName,
        digest: &Digest,
        lead: &Resolution,
    ) -> Result<ManifestAnswer, PullError> {
        let origins = self.resolution_origins(named, lead);
        match self.kept_manifest(origins, digest).await? {
            Some(kept) => Ok(kept),
            // Boxed, or every hit would have room for a miss.
            None => Box::pin(self.missing_manifest(named, digest, lead)).await,
        }
    }

    async fn missing_manifest(
        &self,
        named: &ImageName,
        digest: &Digest,
        lead: &Resolution,
    ) -> Result<ManifestAnswer, PullError> {
        let origins = self.resolution_origins(named, lead).to_vec();
        let item = ContentKey::Manifest(Reference::Digest(*digest));
        let candidates_for_digest = self.sources(named, digest, &item, lead).await?;
        let (puller, digest) = (self.clone(), *digest);
        let key = (self.coalescing_key(named), Reference::Digest(digest));
        self.0
            .manifests
            .run(key, move || async move {
                // Another flight may have landed between the look above and the start of this one.
                if let Some(kept) = puller.kept_manifest(&origins, &digest).await? {
                    return Ok(kept);
                }
                let deadline = Instant::now() + puller.0.settings.manifest_max;
                retry_throttled(deadline, || {
                    puller.fetch_digest(&candidates_for_digest, digest, deadline)
                })
                .await
            })
            .await
    }

    async fn fetch_digest(
        &self,
        order: &[Candidate],
        digest: Digest,
        deadline: Instant,
    ) -> Result<ManifestAnswer, PullError> {
        let reference = &Reference::Digest(digest);
        let item = ContentKey::Manifest(reference.clone());
        let asking = |upstream: Upstream, candidate| async move {
            let ask = request_context(candidate, &self.1, deadline);
            upstream.manifest(&ask, reference).await
        };
        let (manifest, origin) = self.ask_in_order(order, Some(&item), asking).await?;
        self.store_manifest(manifest, origin).await
    }

    /// Asks one candidate after the other, up to the first that has an answer or refuses us. The
    /// absence of an `item` is remembered.
    pub(super) async fn ask_in_order<'o, T, F>(
        &self,
        order: &'o [Candidate],
        item: Option<&ContentKey>,
        asking: impl Fn(Upstream, &'o Candidate) -> F,
    ) -> Result<(T, Origin), PullError>
    where
        F: Future<Output = Result<T, UpstreamError>>,
    {
        let mut walk = FailureTally::default();
        for candidate in order {
            let asked = self.source(candidate)?;
            match asking(asked.upstream.clone(), candidate).await {
                Ok(answer) => return Ok((answer, asked.origin)),
                Err(error) => {
                    if self.record_failure(&asked, error, item, &mut walk) == FailureKind::Refused {
                        break;
                    }
                }
            }
        }
        Err(walk.verdict())
    }

    /// Keeps a manifest that was just fetched. If the disk fails, it is still served: the disk is
    /// an optimisation.
    pub(super) async fn store_manifest(
        &self,
        manifest: Manifest,
        origin: Origin,
    ) -> Result<ManifestAnswer, PullError> {
        let manifest = Arc::new(manifest);
        if let Err(error) = self.0.store.keep_manifest(&origin, &manifest).await {
            tracing::error!(%origin, digest = %manifest.digest(), %error, "a manifest was not kept");
        }
        Ok(ManifestAnswer {
            manifest,
            cache_status: CacheStatus::Miss,
            origin,
        })
    }

    /// Sorts a candidate's failure, remembers an absence, and notes the rest for the verdict.
    pub(super) fn record_failure(
        &self,
        asked: &FetchSource,
        error: UpstreamError,
        item: Option<&ContentKey>,
        walk: &mut FailureTally,
    ) -> FailureKind {
        let error = Arc::new(error);
        let heard = FailureKind::of(&error, asked.refusal);
        if heard != FailureKind::Absent {
            tracing::debug!(origin = %asked.origin, %error, "asked in vain");
        } else if let Some(item) = item {
            let absent = (asked.origin.clone(), item.clone());
            self.0.absences.insert(absent, ());
        }
        walk.note(heard, &error);
        heard
    }

    /// The upstream behind a candidate.
    pub(super) fn source(&self, candidate: &Candidate) -> Result<FetchSource, PullError> {
        let known = self.0.directory.find(&candidate.upstream, &self.0.table).map_err(|error| {
            tracing::error!(upstream = %candidate.upstream, %error, "no client for an upstream");
            PullError::Abandoned
        })?;
        let upstream = known.upstream;
        let policy = candidate.refused.unwrap_or(known.refused);
        let names = [upstream.name().as_str(), &upstream.authority()];
        let refusal = RefusalMeaning::of(policy, names);
        Ok(FetchSource {
            origin: origin_of(candidate),
            upstream,
            refusal,
        })
    }
}

/// Walks again as often as an upstream's 429 allows it before the deadline: a client that is told to
/// come back comes back at once.
pub(super) async fn retry_throttled<F>(
    deadline: Instant,
    walk: impl Fn() -> F,
) -> Result<ManifestAnswer, PullError>
where
    F: Future<Output = Result<ManifestAnswer, PullError>>,
{
    loop {
        let outcome = walk().await;
        let Err(PullError::Throttled { retry_after, .. }) = &outcome else {
            return outcome;
        };
        let wait = retry_after.unwrap_or(RETRY_AFTER_DEFAULT);
        if Instant::now() + wait >= deadline {
            return outcome;
        }
        sleep(wait).await;
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
