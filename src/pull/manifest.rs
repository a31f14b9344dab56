//! Manifests by digest: kept by one of the name's origins, else fetched once and verified.

use std::sync::Arc;

use tokio::time::Instant;

use super::{
    CacheStatus, ContentKey, ManifestAnswer, PullError, Puller,
    ask_in_order::retry_throttled,
    resolve::{Resolution, request_context},
};
use crate::{
    oci::{Digest, Manifest, Origin, Reference},
    route::{Candidate, ImageName},
    upstream::Upstream,
};

impl Puller {
    /// The manifest that a reference means under a name.
    ///
    /// # Errors
    /// See [`PullError`]; stale content is preferred to any of them but "not found" and "denied".
    pub async fn manifest(
        &self,
        named: &ImageName,
        reference: &Reference,
    ) -> Result<ManifestAnswer, PullError> {
        match reference {
            Reference::Tag(tag) => self.manifest_by_tag(named, tag).await,
            Reference::Digest(digest) => self.manifest_by_digest(named, digest).await,
        }
    }

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

    /// Whether this name may be served `digest` from what is kept.
    pub(super) async fn kept_manifest(
        &self,
        origins: &[Origin],
        digest: &Digest,
    ) -> Result<Option<ManifestAnswer>, PullError> {
        for origin in origins {
            let kept = self.0.store.manifest(origin, digest).await;
            let kept = kept.unwrap_or_else(|error| {
                tracing::error!(%origin, %digest, %error, "a kept manifest cannot be read");
                None
            });
            if let Some(manifest) = kept {
                let origin = origin.clone();
                return Ok(Some(ManifestAnswer {
                    manifest,
                    cache_status: CacheStatus::Hit,
                    origin,
                }));
            }
        }
        Ok(None)
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
}
