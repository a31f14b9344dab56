//! Manifests by digest: stored for one of the name's origins, else fetched once and verified.

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
    /// A name's manifest.
    ///
    /// # Errors
    /// See [`PullError`]; all but "not found" and "denied" come only if nothing stale can be
    /// served.
    pub async fn manifest(
        &self,
        image: &ImageName,
        reference: &Reference,
    ) -> Result<ManifestAnswer, PullError> {
        match reference {
            Reference::Tag(tag) => self.manifest_by_tag(image, tag).await,
            Reference::Digest(digest) => self.manifest_by_digest(image, digest).await,
        }
    }

    pub(super) async fn manifest_by_digest(
        &self,
        image: &ImageName,
        digest: &Digest,
    ) -> Result<ManifestAnswer, PullError> {
        let reference = Reference::Digest(*digest);
        let resolution = self.resolve(image, &reference)?;
        self.resolved_manifest(image, digest, &resolution).await
    }

    /// As [`Puller::manifest_by_digest`], for a name that is resolved already.
    pub(super) async fn resolved_manifest(
        &self,
        image: &ImageName,
        digest: &Digest,
        resolution: &Resolution,
    ) -> Result<ManifestAnswer, PullError> {
        let origins = self.resolution_origins(image, resolution);
        match self.kept_manifest(origins, digest).await? {
            Some(kept) => Ok(kept),
            // Boxed so that the future of a hit stays small.
            None => Box::pin(self.missing_manifest(image, digest, resolution)).await,
        }
    }

    /// The manifest as stored for the first of these origins that has it; a disk error counts as
    /// "not stored".
    pub(super) async fn kept_manifest(
        &self,
        origins: &[Origin],
        digest: &Digest,
    ) -> Result<Option<ManifestAnswer>, PullError> {
        for origin in origins {
            let kept = self.0.store.manifest(origin, digest).await;
            let kept = kept.unwrap_or_else(|error| {
                tracing::error!(%origin, %digest, %error, "cannot read a stored manifest");
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
        image: &ImageName,
        digest: &Digest,
        resolution: &Resolution,
    ) -> Result<ManifestAnswer, PullError> {
        let origins = self.resolution_origins(image, resolution).to_vec();
        let content = ContentKey::Manifest(Reference::Digest(*digest));
        let candidates = self.sources(image, digest, &content, resolution).await?;
        let (puller, digest) = (self.clone(), *digest);
        let key = (self.coalescing_key(image), Reference::Digest(digest));
        self.0
            .manifests
            .run(key, move || async move {
                // Another task may have finished between the lookup above and the start of this
                // one.
                if let Some(kept) = puller.kept_manifest(&origins, &digest).await? {
                    return Ok(kept);
                }
                let deadline = Instant::now() + puller.0.settings.manifest_max;
                retry_throttled(deadline, || {
                    puller.fetch_digest(&candidates, digest, deadline)
                })
                .await
            })
            .await
    }

    async fn fetch_digest(
        &self,
        candidates: &[Candidate],
        digest: Digest,
        deadline: Instant,
    ) -> Result<ManifestAnswer, PullError> {
        let reference = &Reference::Digest(digest);
        let key = ContentKey::Manifest(reference.clone());
        let ask = |upstream: Upstream, candidate| async move {
            let context = request_context(candidate, &self.1, deadline);
            upstream.manifest(&context, reference).await
        };
        let (manifest, origin) = self.ask_in_order(candidates, Some(&key), ask).await?;
        self.store_manifest(manifest, origin).await
    }

    /// Stores a fetched manifest. If the disk fails, it is still served: the disk is an
    /// optimisation.
    pub(super) async fn store_manifest(
        &self,
        manifest: Manifest,
        origin: Origin,
    ) -> Result<ManifestAnswer, PullError> {
        let manifest = Arc::new(manifest);
        if let Err(error) = self.0.store.keep_manifest(&origin, &manifest).await {
            tracing::error!(%origin, digest = %manifest.digest(), %error, "cannot store a manifest");
        }
        Ok(ManifestAnswer {
            manifest,
            cache_status: CacheStatus::Miss,
            origin,
        })
    }
}
