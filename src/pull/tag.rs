//! Manifests by tag: fresh, revalidated, fetched, or stale when upstream fails.

use std::{slice, sync::Arc};

use jiff::Timestamp;
use tokio::time::Instant;

use super::{
    CacheStatus, ContentKey, ManifestAnswer, PullError, Puller,
    ask_in_order::retry_throttled,
    failure_tally::{FailureKind, FailureTally},
    freshness::{TagDecision, may_be_stale, tag_decision},
    resolve::{FetchSource, Resolution, TagKeys, origin_of, request_context, tag_at},
};
use crate::{
    oci::{Digest, Manifest, Origin, Reference, Tag},
    route::{Candidate, ImageName},
    store::{StoreError, TagRecord},
    upstream::UpstreamError,
};

impl Puller {
    pub(super) async fn manifest_by_tag(
        &self,
        named: &ImageName,
        tag: &Tag,
    ) -> Result<ManifestAnswer, PullError> {
        let lead = self.resolve(named, &Reference::Tag(tag.clone()))?;
        if let Some(pinned) = &lead.pin {
            return self.resolved_manifest(named, pinned, &lead).await;
        }
        if !self.0.settings.offline
            && let Some(fresh) = self.fresh_manifest(&lead).await?
        {
            return Ok(fresh);
        }
        // Boxed, or every hit would have room for a miss.
        Box::pin(self.refresh_tag(named, tag, lead)).await
    }

    async fn refresh_tag(
        &self,
        named: &ImageName,
        tag: &Tag,
        lead: Arc<Resolution>,
    ) -> Result<ManifestAnswer, PullError> {
        if self.0.settings.offline {
            return self.offline_manifest(named, tag, &lead).await;
        }
        if let Some(nobody) = lead.no_candidate() {
            return self.local_manifest(named, tag).await?.ok_or(nobody);
        }
        let (puller, asked_for) = (self.clone(), (named.clone(), tag.clone()));
        let key = (self.coalescing_key(named), Reference::Tag(tag.clone()));
        let work = move || async move {
            let (named, tag) = asked_for;
            // Another flight may have landed between the look above and the start of this one.
            if let Some(fresh) = puller.fresh_manifest(&lead).await? {
                return Ok(fresh);
            }
            let deadline = Instant::now() + puller.0.settings.manifest_max;
            retry_throttled(deadline, || {
                puller.ask_candidates(&named, &tag, &lead, deadline)
            })
            .await
        };
        self.0.manifests.run(key, work).await
    }

    /// The answer that needs no upstream: the first candidate that is not lately absent, if its
    /// record is fresh.
    async fn fresh_manifest(&self, lead: &Resolution) -> Result<Option<ManifestAnswer>, PullError> {
        for TagKeys { kept, absent } in &lead.tags {
            if self.0.absences.contains_key(absent) {
                continue;
            }
            // A disk that cannot be read has no record.
            let record = self.0.store.tag(&kept.0, &kept.1).await.unwrap_or_default();
            let confirmed = self.0.confirmed.get(kept);
            return match tag_decision(record, confirmed, Instant::now(), lead.policy) {
                TagDecision::Serve(digest) => {
                    self.kept_manifest(slice::from_ref(&kept.0), &digest).await
                }
                TagDecision::Revalidate => Ok(None),
            };
        }
        Ok(None)
    }

    /// Walks the candidates over their own records; a loaded bundle comes last.
    async fn ask_candidates(
        &self,
        named: &ImageName,
        tag: &Tag,
        lead: &Resolution,
        deadline: Instant,
    ) -> Result<ManifestAnswer, PullError> {
        let mut walk = FailureTally::default();
        for candidate in &lead.candidates {
            let there = tag_at(candidate, tag);
            let item = ContentKey::Manifest(Reference::Tag(there.clone()));
            let origin = origin_of(candidate);
            if self
                .0
                .absences
                .contains_key(&(origin.clone(), item.clone()))
            {
                continue;
            }
            let asked = self.source(candidate)?;
            let error = match self.ask_candidate(&asked, candidate, there, deadline).await {
                Ok(answer) => return Ok(answer),
                Err(CandidateFailure::Upstream(error)) => error,
                Err(CandidateFailure::Pull(error)) => return Err(error),
            };
            let is_upstreams_word = is_definitive(&error);
            let is_refused_login = error.is_refused_credentials();
            let text = error.to_string();
            let heard = self.record_failure(&asked, error, Some(&item), &mut walk);
            if heard == FailureKind::Absent
                && let Err(error) = self.0.store.forget_tag(&origin, there).await
            {
                tracing::error!(%origin, tag = %there, %error, "a tag was not forgotten");
            }
            // The network's word on what changed is missing, or our login is broken: what this
            // candidate last said beats what a later one says now.
            if !is_upstreams_word
                && let Some(stale) = self.stale_manifest(&origin, there, lead, &text).await?
            {
                if is_refused_login {
                    tracing::error!(%origin, tag = %there, why = text, "our login is refused");
                }
                return Ok(stale);
            }
            if heard == FailureKind::Refused {
                return Err(walk.verdict());
            }
        }
        self.local_manifest(named, tag)
            .await?
            .ok_or_else(|| walk.verdict())
    }

    /// Asks one candidate what a tag means now, and makes sure that we have it.
    async fn ask_candidate(
        &self,
        asked: &FetchSource,
        candidate: &Candidate,
        tag: &Tag,
        deadline: Instant,
    ) -> Result<ManifestAnswer, CandidateFailure> {
        let reference = Reference::Tag(tag.clone());
        let ask = request_context(candidate, &self.1, deadline);
        let origin = origin_of(candidate);
        if let Some(digest) = asked.upstream.manifest_head(&ask, &reference).await? {
            let kept = self.0.store.manifest(&origin, &digest).await;
            if let Some(manifest) = kept.unwrap_or_default() {
                self.record_tag(&origin, tag, digest).await?;
                return Ok(ManifestAnswer {
                    manifest,
                    cache_status: CacheStatus::Revalidated,
                    origin,
                });
            }
            match asked
                .upstream
                .manifest(&ask, &Reference::Digest(digest))
                .await
            {
                Ok(manifest) => return self.store_tagged(manifest, origin, tag).await,
                // A registry that knows the tag but not its own digest: ask by tag.
                Err(UpstreamError::Absent { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let manifest = asked.upstream.manifest(&ask, &reference).await?;
        self.store_tagged(manifest, origin, tag).await
    }

    async fn store_tagged(
        &self,
        manifest: Manifest,
        origin: Origin,
        tag: &Tag,
    ) -> Result<ManifestAnswer, CandidateFailure> {
        let answer = self.store_manifest(manifest, origin).await?;
        self.record_tag(&answer.origin, tag, answer.manifest.digest())
            .await?;
        Ok(answer)
    }

    /// Remembers what a tag means. A disk that fails costs only the memory of it.
    async fn record_tag(
        &self,
        origin: &Origin,
        tag: &Tag,
        digest: Digest,
    ) -> Result<(), PullError> {
        self.0
            .confirmed
            .insert((origin.clone(), tag.clone()), Instant::now());
        let record = TagRecord {
            digest,
            checked: Timestamp::now(),
        };
        if let Err(error) = self.0.store.keep_tag(origin, tag, record).await {
            tracing::error!(%origin, %tag, %error, "a tag was not kept");
        }
        Ok(())
    }

    /// What a candidate last said, if that is not too long ago.
    async fn stale_manifest(
        &self,
        origin: &Origin,
        tag: &Tag,
        lead: &Resolution,
        why: &str,
    ) -> Result<Option<ManifestAnswer>, PullError> {
        let Some(record) = self.0.store.tag(origin, tag).await? else {
            return Ok(None);
        };
        if !may_be_stale(record, Timestamp::now(), lead.policy) {
            return Ok(None);
        }
        let Some(manifest) = self.0.store.manifest(origin, &record.digest).await? else {
            return Ok(None);
        };
        tracing::warn!(%origin, %tag, digest = %record.digest, why, "serving a stale tag");
        Ok(Some(ManifestAnswer {
            manifest,
            cache_status: CacheStatus::Stale,
            origin: origin.clone(),
        }))
    }

    /// With no upstream at all: a loaded bundle first, then what any candidate last said, however
    /// long ago.
    async fn offline_manifest(
        &self,
        named: &ImageName,
        tag: &Tag,
        lead: &Resolution,
    ) -> Result<ManifestAnswer, PullError> {
        if let Some(answer) = self.local_manifest(named, tag).await? {
            return Ok(answer);
        }
        for candidate in &lead.candidates {
            if let Some(answer) = self
                .recorded_manifest(origin_of(candidate), tag_at(candidate, tag))
                .await?
            {
                return Ok(answer);
            }
        }
        Err(lead.no_candidate().unwrap_or(PullError::Absent))
    }

    /// What a loaded bundle says.
    async fn local_manifest(
        &self,
        named: &ImageName,
        tag: &Tag,
    ) -> Result<Option<ManifestAnswer>, PullError> {
        for repository in named.repositories() {
            if let Some(answer) = self
                .recorded_manifest(Origin::Local(repository), tag)
                .await?
            {
                return Ok(Some(answer));
            }
        }
        Ok(None)
    }

    async fn recorded_manifest(
        &self,
        origin: Origin,
        tag: &Tag,
    ) -> Result<Option<ManifestAnswer>, PullError> {
        match self.0.store.tag(&origin, tag).await? {
            Some(record) => self.kept_manifest(&[origin], &record.digest).await,
            None => Ok(None),
        }
    }
}

/// Why one candidate gave no answer: its own doing, or ours.
enum CandidateFailure {
    Upstream(UpstreamError),
    Pull(PullError),
}

impl From<UpstreamError> for CandidateFailure {
    fn from(error: UpstreamError) -> Self {
        Self::Upstream(error)
    }
}

impl From<PullError> for CandidateFailure {
    fn from(error: PullError) -> Self {
        Self::Pull(error)
    }
}

impl From<StoreError> for CandidateFailure {
    fn from(error: StoreError) -> Self {
        Self::Pull(error.into())
    }
}

/// Whether a failure is what the upstream has to say about the tag: that it is not there, or not
/// for everyone. A login that is refused is a fault, and says nothing of the tag.
fn is_definitive(error: &UpstreamError) -> bool {
    match error {
        UpstreamError::Absent { .. } => true,
        UpstreamError::Refused { .. } => !error.is_refused_credentials(),
        _ => false,
    }
}
