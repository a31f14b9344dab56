//! Blobs: stored, being fetched, or to be fetched; one fetch per digest for all clients.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, timeout, timeout_at};

use super::{
    BlobAnswer, BlobBody, CacheStatus, ContentKey, PullError, Puller,
    fill::{Fill, FillJob, ReadableBlob},
    resolve::{Resolution, origin_of, request_context},
};
use crate::{
    oci::{Digest, Reference},
    route::{Candidate, ImageName},
    upstream::Upstream,
    wire::GrowthState,
};

/// Most fills that one request joins before it gives up: each was another request's, and failed for
/// that request's candidates.
const JOINS_MAX: usize = 4;

impl Puller {
    /// A blob's bytes.
    ///
    /// # Errors
    /// See [`PullError`].
    pub async fn blob(&self, image: &ImageName, digest: &Digest) -> Result<BlobAnswer, PullError> {
        let resolution = self.resolve(image, &Reference::Digest(*digest))?;
        match self.kept_blob(image, digest, &resolution).await {
            Some(kept) => Ok(kept),
            // Boxed so that the future of a hit stays small.
            None => Box::pin(self.missing_blob(image, digest, &resolution)).await,
        }
    }

    async fn missing_blob(
        &self,
        image: &ImageName,
        digest: &Digest,
        resolution: &Resolution,
    ) -> Result<BlobAnswer, PullError> {
        let candidates = self
            .sources(image, digest, &ContentKey::Blob(*digest), resolution)
            .await?;
        if self.0.store.holds(digest).await.unwrap_or(false) && !self.0.fills.is_running(digest) {
            // A fill may have finished since the first lookup.
            if let Some(kept) = self.kept_blob(image, digest, resolution).await {
                return Ok(kept);
            }
            // Stored, but not for this name: served once the name's own upstream has confirmed it.
            self.confirm_blob(&candidates, digest).await?;
            if let Some(kept) = self.kept_blob(image, digest, resolution).await {
                return Ok(kept);
            }
        }
        self.join_fill(image, digest, candidates).await
    }

    /// A blob's size, without fetching it.
    ///
    /// # Errors
    /// See [`PullError`].
    pub async fn blob_size(
        &self,
        image: &ImageName,
        digest: &Digest,
    ) -> Result<BlobAnswer, PullError> {
        let resolution = self.resolve(image, &Reference::Digest(*digest))?;
        match self.kept_blob(image, digest, &resolution).await {
            Some(kept) => Ok(kept),
            None => Box::pin(self.missing_blob_size(image, digest, &resolution)).await,
        }
    }

    async fn missing_blob_size(
        &self,
        image: &ImageName,
        digest: &Digest,
        resolution: &Resolution,
    ) -> Result<BlobAnswer, PullError> {
        let candidates = self
            .sources(image, digest, &ContentKey::Blob(*digest), resolution)
            .await?;
        if self.0.fills.is_running(digest) {
            let found = self.join_fill(image, digest, candidates).await?;
            return Ok(with_size(found, self.0.settings.blob_head_max).await);
        }
        if let Some(size) = self.confirm_blob(&candidates, digest).await? {
            return Ok(BlobAnswer {
                body: BlobBody::SizeOnly { size },
                cache_status: CacheStatus::Miss,
                origin: None,
            });
        }
        let found = self.join_fill(image, digest, candidates).await?;
        Ok(with_size(found, self.0.settings.blob_head_max).await)
    }

    /// The stored blob, if this name may be served it; a disk error counts as "not stored".
    async fn kept_blob(
        &self,
        image: &ImageName,
        digest: &Digest,
        resolution: &Resolution,
    ) -> Option<BlobAnswer> {
        let found = async {
            if self
                .may_serve(self.resolution_origins(image, resolution), digest)
                .await?
            {
                return Ok(self.0.store.blob(digest).await?);
            }
            Ok::<_, PullError>(None)
        };
        let kept = found.await.unwrap_or_else(|error| {
            tracing::error!(%digest, %error, "cannot read a stored blob");
            None
        });
        kept.map(|kept| BlobAnswer {
            body: BlobBody::Kept(kept),
            cache_status: CacheStatus::Hit,
            origin: None,
        })
    }

    /// Asks a name's own candidates for a blob, and records the first that has it. Returns the size
    /// that it, or one of its manifests, states.
    async fn confirm_blob(
        &self,
        candidates: &[Candidate],
        digest: &Digest,
    ) -> Result<Option<u64>, PullError> {
        let deadline = Instant::now() + self.0.settings.blob_head_max;
        let blob = ContentKey::Blob(*digest);
        let ask = |upstream: Upstream, candidate| async move {
            let context = request_context(candidate, &self.1, deadline);
            upstream.blob_head(&context, digest).await
        };
        let (size, origin) = self.ask_in_order(candidates, Some(&blob), ask).await?;
        if let Err(error) = self.0.store.confirm(digest, &origin).await {
            tracing::error!(%digest, %origin, %error, "cannot store a confirmation");
        }
        Ok(match size {
            Some(size) => Some(size),
            None => self.0.store.referenced_size(digest, &origin).await,
        })
    }

    /// Joins the fill of this digest, or starts one.
    async fn join_fill(
        &self,
        image: &ImageName,
        digest: &Digest,
        candidates: Vec<Candidate>,
    ) -> Result<BlobAnswer, PullError> {
        let deadline = Instant::now() + self.0.settings.blob_head_max;
        let mut last = PullError::Abandoned;
        for _ in 0..JOINS_MAX {
            let fill = self
                .0
                .fills
                .join(*digest, || self.fill_job(*digest, &candidates));
            match timeout_at(deadline, fill.readable()).await {
                Err(_late) => return Err(PullError::TimedOut(None)),
                Ok(Err(error)) if fill.speaks_for(&candidates, self.0.generation) => {
                    return Err(error);
                }
                // It failed for another request's candidates, not for ours.
                Ok(Err(error)) => last = error,
                Ok(Ok(readable)) => {
                    return self.serve_fill(image, &candidates, &fill, readable).await;
                }
            }
        }
        Err(last)
    }

    /// Serves what a fill fetches, if this name may be served it.
    async fn serve_fill(
        &self,
        image: &ImageName,
        candidates: &[Candidate],
        fill: &Arc<Fill>,
        readable: ReadableBlob,
    ) -> Result<BlobAnswer, PullError> {
        let digest = fill.digest();
        let is_own = candidates
            .iter()
            .any(|candidate| origin_of(candidate) == readable.origin);
        if !is_own && !self.may_serve(&self.origins(image), &digest).await? {
            self.confirm_blob(candidates, &digest).await?;
        }
        Ok(BlobAnswer {
            body: readable.body,
            cache_status: CacheStatus::Miss,
            origin: Some(readable.origin),
        })
    }

    /// The job of a fill for this request.
    fn fill_job(&self, digest: Digest, candidates: &[Candidate]) -> FillJob {
        let sources = candidates.iter().filter_map(|candidate| {
            let source = self.source(candidate).ok()?;
            Some((candidate.clone(), source))
        });
        FillJob {
            digest,
            sources: sources.collect(),
            via: self.1.clone(),
            head_max: self.0.settings.blob_head_max,
            generation: self.0.generation,
        }
    }
}

/// Without a stated size, waits for the end of the blob, which may come soon enough.
async fn with_size(mut found: BlobAnswer, wait_max: Duration) -> BlobAnswer {
    if let BlobBody::Arriving { file, size } = &mut found.body
        && size.is_none()
        && let Ok(watermark) = timeout(wait_max, file.wait_readable(u64::MAX)).await
        && watermark.state == GrowthState::Whole
    {
        *size = Some(watermark.readable);
    }
    found
}
