//! Blobs: kept, arriving, or to be fetched; one fetch a digest, whoever asks.

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

/// Most flights one request joins before it gives up: each one is somebody else's that failed for
/// reasons of its own.
const JOINS_MAX: usize = 4;

impl Puller {
    /// A blob's bytes.
    ///
    /// # Errors
    /// See [`PullError`].
    pub async fn blob(&self, named: &ImageName, digest: &Digest) -> Result<BlobAnswer, PullError> {
        let lead = self.resolve(named, &Reference::Digest(*digest))?;
        match self.kept_blob(named, digest, &lead).await {
            Some(kept) => Ok(kept),
            // Boxed, or every hit would have room for a miss.
            None => Box::pin(self.missing_blob(named, digest, &lead)).await,
        }
    }

    async fn missing_blob(
        &self,
        named: &ImageName,
        digest: &Digest,
        lead: &Resolution,
    ) -> Result<BlobAnswer, PullError> {
        let order = self
            .sources(named, digest, &ContentKey::Blob(*digest), lead)
            .await?;
        if self.0.store.holds(digest).await.unwrap_or(false) && !self.0.fills.is_running(digest) {
            // A fill may have landed since the first look.
            if let Some(kept) = self.kept_blob(named, digest, lead).await {
                return Ok(kept);
            }
            // Kept, but not for this name: it is served once its own upstream has confirmed it.
            self.confirm_blob(&order, digest).await?;
            if let Some(kept) = self.kept_blob(named, digest, lead).await {
                return Ok(kept);
            }
        }
        self.join_fill(named, digest, order).await
    }

    /// A blob's size, without fetching it.
    ///
    /// # Errors
    /// See [`PullError`].
    pub async fn blob_size(
        &self,
        named: &ImageName,
        digest: &Digest,
    ) -> Result<BlobAnswer, PullError> {
        let lead = self.resolve(named, &Reference::Digest(*digest))?;
        match self.kept_blob(named, digest, &lead).await {
            Some(kept) => Ok(kept),
            None => Box::pin(self.missing_blob_size(named, digest, &lead)).await,
        }
    }

    async fn missing_blob_size(
        &self,
        named: &ImageName,
        digest: &Digest,
        lead: &Resolution,
    ) -> Result<BlobAnswer, PullError> {
        let order = self
            .sources(named, digest, &ContentKey::Blob(*digest), lead)
            .await?;
        if self.0.fills.is_running(digest) {
            let found = self.join_fill(named, digest, order).await?;
            return Ok(with_size(found, self.0.settings.blob_head_max).await);
        }
        if let Some(size) = self.confirm_blob(&order, digest).await? {
            return Ok(BlobAnswer {
                body: BlobBody::SizeOnly { size },
                cache_status: CacheStatus::Miss,
                origin: None,
            });
        }
        let found = self.join_fill(named, digest, order).await?;
        Ok(with_size(found, self.0.settings.blob_head_max).await)
    }

    /// A disk that cannot be read has nothing.
    async fn kept_blob(
        &self,
        named: &ImageName,
        digest: &Digest,
        lead: &Resolution,
    ) -> Option<BlobAnswer> {
        let found = async {
            if self
                .may_serve(self.resolution_origins(named, lead), digest)
                .await?
            {
                return Ok(self.0.store.blob(digest).await?);
            }
            Ok::<_, PullError>(None)
        };
        let kept = found.await.unwrap_or_else(|error| {
            tracing::error!(%digest, %error, "a kept blob cannot be read");
            None
        });
        kept.map(|kept| BlobAnswer {
            body: BlobBody::Kept(kept),
            cache_status: CacheStatus::Hit,
            origin: None,
        })
    }

    /// Asks a name's own candidates whether they have a blob, and remembers the first that has.
    /// The size that it, or one of its manifests, tells.
    async fn confirm_blob(
        &self,
        order: &[Candidate],
        digest: &Digest,
    ) -> Result<Option<u64>, PullError> {
        let deadline = Instant::now() + self.0.settings.blob_head_max;
        let blob = ContentKey::Blob(*digest);
        let asking = |upstream: Upstream, candidate| async move {
            let ask = request_context(candidate, &self.1, deadline);
            upstream.blob_head(&ask, digest).await
        };
        let (size, origin) = self.ask_in_order(order, Some(&blob), asking).await?;
        if let Err(error) = self.0.store.confirm(digest, &origin).await {
            tracing::error!(%digest, %origin, %error, "a confirmation was not kept");
        }
        Ok(match size {
            Some(size) => Some(size),
            None => self.0.store.referenced_size(digest, &origin).await,
        })
    }

    /// Joins the fill that brings this digest, or starts one.
    async fn join_fill(
        &self,
        named: &ImageName,
        digest: &Digest,
        order: Vec<Candidate>,
    ) -> Result<BlobAnswer, PullError> {
        let deadline = Instant::now() + self.0.settings.blob_head_max;
        let mut last = PullError::Abandoned;
        for _ in 0..JOINS_MAX {
            let fill = self
                .0
                .fills
                .join(*digest, || self.fill_job(*digest, &order));
            match timeout_at(deadline, fill.readable()).await {
                Err(_late) => return Err(PullError::TimedOut(None)),
                Ok(Err(error)) if fill.speaks_for(&order, self.0.generation) => return Err(error),
                // It failed for somebody else's candidates, not for ours.
                Ok(Err(error)) => last = error,
                Ok(Ok(arrival)) => return self.serve_fill(named, &order, &fill, arrival).await,
            }
        }
        Err(last)
    }

    /// Hands out what a fill brings, if this name may see it.
    async fn serve_fill(
        &self,
        named: &ImageName,
        order: &[Candidate],
        fill: &Arc<Fill>,
        arrival: ReadableBlob,
    ) -> Result<BlobAnswer, PullError> {
        let digest = fill.digest();
        let mine = order
            .iter()
            .any(|candidate| origin_of(candidate) == arrival.origin);
        if !mine && !self.may_serve(&self.origins(named), &digest).await? {
            self.confirm_blob(order, &digest).await?;
        }
        Ok(BlobAnswer {
            body: arrival.body,
            cache_status: CacheStatus::Miss,
            origin: Some(arrival.origin),
        })
    }

    /// What a fill needs to know.
    fn fill_job(&self, digest: Digest, order: &[Candidate]) -> FillJob {
        let sources = order.iter().filter_map(|candidate| {
            let asked = self.source(candidate).ok()?;
            Some((candidate.clone(), asked))
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

/// A size that nobody tells is known when all is here, which may be soon enough.
async fn with_size(mut found: BlobAnswer, wait_max: Duration) -> BlobAnswer {
    if let BlobBody::Arriving { file, size } = &mut found.body
        && size.is_none()
        && let Ok(level) = timeout(wait_max, file.wait_readable(u64::MAX)).await
        && level.state == GrowthState::Whole
    {
        *size = Some(level.readable);
    }
    found
}
