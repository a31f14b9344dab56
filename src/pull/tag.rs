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
        image: &ImageName,
        tag: &Tag,
    ) -> Result<ManifestAnswer, PullError> {
        let resolution = self.resolve(image, &Reference::Tag(tag.clone()))?;
        if let Some(pinned) = &resolution.pin {
            return self.resolved_manifest(image, pinned, &resolution).await;
        }
        if !self.0.settings.offline
            && let Some(fresh) = self.fresh_manifest(&resolution).await?
        {
            return Ok(fresh);
        }
        // Boxed so that the future of a hit stays small.
        Box::pin(self.refresh_tag(image, tag, resolution)).await
    }

    async fn refresh_tag(
        &self,
        image: &ImageName,
        tag: &Tag,
        resolution: Arc<Resolution>,
    ) -> Result<ManifestAnswer, PullError> {
        if self.0.settings.offline {
            return self.offline_manifest(image, tag, &resolution).await;
        }
        if let Some(no_candidate) = resolution.no_candidate() {
            return self.local_manifest(image, tag).await?.ok_or(no_candidate);
        }
        let (puller, wanted) = (self.clone(), (image.clone(), tag.clone()));
        let key = (self.coalescing_key(image), Reference::Tag(tag.clone()));
        let work = move || async move {
            let (image, tag) = wanted;
            // Another task may have finished between the lookup above and the start of this one.
            if let Some(fresh) = puller.fresh_manifest(&resolution).await? {
                return Ok(fresh);
            }
            let deadline = Instant::now() + puller.0.settings.manifest_max;
            retry_throttled(deadline, || {
                puller.ask_candidates(&image, &tag, &resolution, deadline)
            })
            .await
        };
        self.0.manifests.run(key, work).await
    }

    /// The answer without upstream: that of the first candidate without a recent "not found", if
    /// its record is fresh.
    async fn fresh_manifest(
        &self,
        resolution: &Resolution,
    ) -> Result<Option<ManifestAnswer>, PullError> {
        for TagKeys { kept, absent } in &resolution.tags {
            if self.0.absences.contains_key(absent) {
                continue;
            }
            // A disk error counts as "no record".
            let record = self.0.store.tag(&kept.0, &kept.1).await.unwrap_or_default();
            let confirmed = self.0.confirmed.get(kept);
            return match tag_decision(record, confirmed, Instant::now(), resolution.policy) {
                TagDecision::Serve(digest) => {
                    self.kept_manifest(slice::from_ref(&kept.0), &digest).await
                }
                TagDecision::Revalidate => Ok(None),
            };
        }
        Ok(None)
    }

    /// Asks the candidates in order, each before its own stale record; a loaded bundle comes last.
    async fn ask_candidates(
        &self,
        image: &ImageName,
        tag: &Tag,
        resolution: &Resolution,
        deadline: Instant,
    ) -> Result<ManifestAnswer, PullError> {
        let mut failures = FailureTally::default();
        for candidate in &resolution.candidates {
            let upstream_tag = tag_at(candidate, tag);
            let key = ContentKey::Manifest(Reference::Tag(upstream_tag.clone()));
            let origin = origin_of(candidate);
            if self.0.absences.contains_key(&(origin.clone(), key.clone())) {
                continue;
            }
            let source = self.source(candidate)?;
            let error = match self
                .ask_candidate(&source, candidate, upstream_tag, deadline)
                .await
            {
                Ok(answer) => return Ok(answer),
                Err(CandidateFailure::Upstream(error)) => error,
                Err(CandidateFailure::Pull(error)) => return Err(error),
            };
            let is_definitive = is_definitive(&error);
            let is_refused_credentials = error.is_refused_credentials();
            let text = error.to_string();
            let kind = self.record_failure(&source, error, Some(&key), &mut failures);
            if kind == FailureKind::Absent
                && let Err(error) = self.0.store.forget_tag(&origin, upstream_tag).await
            {
                tracing::error!(%origin, tag = %upstream_tag, %error, "cannot forget a tag");
            }
            // Upstream is down or refuses our credentials, so the tag may be as it was: this
            // candidate's last answer takes precedence over a later candidate's current one.
            if !is_definitive
                && let Some(stale) = self
                    .stale_manifest(&origin, upstream_tag, resolution, &text)
                    .await?
            {
                if is_refused_credentials {
                    tracing::error!(%origin, tag = %upstream_tag, why = text, "upstream refused the configured credentials");
                }
                return Ok(stale);
            }
            if kind == FailureKind::Refused {
                return Err(failures.verdict());
            }
        }
        self.local_manifest(image, tag)
            .await?
            .ok_or_else(|| failures.verdict())
    }

    /// Asks one candidate for a tag's digest, and fetches the manifest unless it is stored.
    async fn ask_candidate(
        &self,
        source: &FetchSource,
        candidate: &Candidate,
        tag: &Tag,
        deadline: Instant,
    ) -> Result<ManifestAnswer, CandidateFailure> {
        let reference = Reference::Tag(tag.clone());
        let context = request_context(candidate, &self.1, deadline);
        let origin = origin_of(candidate);
        if let Some(digest) = source.upstream.manifest_head(&context, &reference).await? {
            let kept = self.0.store.manifest(&origin, &digest).await;
            if let Some(manifest) = kept.unwrap_or_default() {
                self.record_tag(&origin, tag, digest).await?;
                return Ok(ManifestAnswer {
                    manifest,
                    cache_status: CacheStatus::Revalidated,
                    origin,
                });
            }
            match source
                .upstream
                .manifest(&context, &Reference::Digest(digest))
                .await
            {
                Ok(manifest) => return self.store_tagged(manifest, origin, tag).await,
                // Some registries know the tag but not its digest: ask by tag.
                Err(UpstreamError::Absent { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let manifest = source.upstream.manifest(&context, &reference).await?;
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

    /// Records a tag's digest. A disk error costs only the record.
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
            tracing::error!(%origin, %tag, %error, "cannot store a tag");
        }
        Ok(())
    }

    /// A candidate's last answer, if it is not too old.
    async fn stale_manifest(
        &self,
        origin: &Origin,
        tag: &Tag,
        resolution: &Resolution,
        why: &str,
    ) -> Result<Option<ManifestAnswer>, PullError> {
        let Some(record) = self.0.store.tag(origin, tag).await? else {
            return Ok(None);
        };
        if !may_be_stale(record, Timestamp::now(), resolution.policy) {
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

    /// The answer offline: a loaded bundle's, else a candidate's last one, of any age.
    async fn offline_manifest(
        &self,
        image: &ImageName,
        tag: &Tag,
        resolution: &Resolution,
    ) -> Result<ManifestAnswer, PullError> {
        if let Some(answer) = self.local_manifest(image, tag).await? {
            return Ok(answer);
        }
        for candidate in &resolution.candidates {
            if let Some(answer) = self
                .recorded_manifest(origin_of(candidate), tag_at(candidate, tag))
                .await?
            {
                return Ok(answer);
            }
        }
        Err(resolution.no_candidate().unwrap_or(PullError::Absent))
    }

    /// A loaded bundle's answer.
    async fn local_manifest(
        &self,
        image: &ImageName,
        tag: &Tag,
    ) -> Result<Option<ManifestAnswer>, PullError> {
        for repository in image.repositories() {
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

/// Why one candidate gave no answer: upstream's failure, or our own.
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

/// Whether a failure is an answer about the tag: it does not exist, or not for everyone. Refused
/// credentials are a fault, and say nothing about the tag.
fn is_definitive(error: &UpstreamError) -> bool {
    match error {
        UpstreamError::Absent { .. } => true,
        UpstreamError::Refused { .. } => !error.is_refused_credentials(),
        _ => false,
    }
}
