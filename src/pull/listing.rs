//! Tags and referrers: upstream's online, built from stored content offline.

use std::collections::BTreeSet;

use bytes::Bytes;
use oci_spec::image::{Descriptor, ImageIndexBuilder};
use serde::Deserialize;
use tokio::time::Instant;

use super::{
    PullError, Puller,
    resolve::{Resolution, request_context},
};
use crate::{
    oci::{Digest, Manifest, Origin, Reference, Tag},
    route::ImageName,
    upstream::{Referrers, TagPageRequest, Upstream},
};

/// Most tags of one answer.
pub const TAGS_PER_PAGE_MAX: u64 = 1000;
/// Most stored manifests that are read to find referrers.
const REFERRERS_MAX: usize = 10_000;

/// The requested page of a tag list (distribution-spec, "Listing Tags").
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagListPage {
    /// Most tags, up to [`TAGS_PER_PAGE_MAX`].
    pub count: u64,
    /// Only tags after this one.
    pub after: Option<String>,
}

/// A page of a tag list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagList {
    /// The tags, in upstream's order.
    pub tags: Vec<String>,
    /// Whether there are more.
    pub more: bool,
}

/// The requested page of a digest's referrers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReferrersPage {
    /// Only those of this type.
    pub artifact_type: Option<String>,
    /// The link to this page in the previous one, as upstream wrote it; none for the first.
    pub next: Option<String>,
}

impl Puller {
    /// A repository's tags, from the first candidate that knows the repository, and after all of
    /// them from a loaded bundle.
    ///
    /// # Errors
    /// See [`PullError`]; an upstream that fails is never an empty list.
    pub async fn tags(&self, image: &ImageName, page: &TagListPage) -> Result<TagList, PullError> {
        let resolution = self.resolve(image, &Reference::Tag(Tag::any()))?;
        if page.count == 0 {
            return Ok(TagList {
                tags: Vec::new(),
                more: false,
            });
        }
        if self.0.settings.offline || resolution.candidates.is_empty() {
            return self.kept_tags(image, page, &resolution).await;
        }
        let deadline = Instant::now() + self.0.settings.manifest_max;
        let wanted = &TagPageRequest {
            n: Some(page.count),
            last: page.after.clone(),
        };
        let ask = |upstream: Upstream, candidate| async move {
            let context = request_context(candidate, &self.1, deadline);
            upstream.tags(&context, wanted).await
        };
        match self.ask_in_order(&resolution.candidates, None, ask).await {
            Ok((list, _origin)) => Ok(TagList {
                tags: list.names,
                more: list.more,
            }),
            Err(PullError::Absent) => self.kept_tags(image, page, &resolution).await,
            Err(error) => Err(error),
        }
    }

    /// Stored tags: those of all origins offline, a loaded bundle's online.
    async fn kept_tags(
        &self,
        image: &ImageName,
        page: &TagListPage,
        resolution: &Resolution,
    ) -> Result<TagList, PullError> {
        let mut found = BTreeSet::new();
        for origin in self.kept_origins(image) {
            found.extend(self.0.store.tags(&origin).await?);
        }
        if found.is_empty() {
            return Err(resolution.no_candidate().unwrap_or(PullError::Absent));
        }
        let after = |tag: &&Tag| page.after.as_deref().is_none_or(|last| tag.as_str() > last);
        let mut rest = found.iter().filter(after).map(ToString::to_string);
        let count = usize::try_from(page.count).unwrap_or(usize::MAX);
        let tags = rest.by_ref().take(count).collect();
        Ok(TagList {
            tags,
            more: rest.next().is_some(),
        })
    }

    /// The referrers of a digest, from the first candidate with a referrers API.
    ///
    /// # Errors
    /// [`PullError::NoReferrers`] if there is none, so that clients fall back to tags.
    pub async fn referrers(
        &self,
        image: &ImageName,
        digest: &Digest,
        page: &ReferrersPage,
    ) -> Result<Referrers, PullError> {
        let artifact_type = page.artifact_type.as_deref();
        let resolution = self.resolve(image, &Reference::Digest(*digest))?;
        let candidates = self
            .candidates_for_digest(image, digest, &resolution)
            .await?;
        if self.0.settings.offline || candidates.is_empty() {
            let kept = self.kept_referrers(image, digest, artifact_type).await;
            return match (kept, resolution.no_candidate()) {
                (Err(PullError::NoReferrers), Some(no_candidate)) => Err(no_candidate),
                (kept, _) => kept,
            };
        }
        let deadline = Instant::now() + self.0.settings.manifest_max;
        let ask = |upstream: Upstream, candidate| async move {
            let context = request_context(candidate, &self.1, deadline);
            match &page.next {
                None => upstream.referrers(&context, digest, artifact_type).await,
                Some(next) => upstream.referrers_next(&context, digest, next).await,
            }
        };
        match self.ask_in_order(&candidates, None, ask).await {
            Ok((found, _origin)) => Ok(found),
            // Stored referrers cannot continue an upstream's list.
            Err(PullError::Absent) if page.next.is_none() => {
                self.kept_referrers(image, digest, artifact_type).await
            }
            Err(error) => Err(error),
        }
    }

    /// An index of the stored manifests whose subject is `digest`. It may be empty only if the
    /// subject itself is stored.
    async fn kept_referrers(
        &self,
        image: &ImageName,
        digest: &Digest,
        artifact_type: Option<&str>,
    ) -> Result<Referrers, PullError> {
        let mut known = false;
        let mut found = Vec::new();
        for origin in self.kept_origins(image) {
            known |= self.0.store.manifest(&origin, digest).await?.is_some();
            for manifest in self.0.store.manifests(&origin, REFERRERS_MAX).await? {
                found.extend(referrer_descriptor(&manifest, digest, artifact_type));
            }
        }
        found.sort_by_key(|one| one.digest().to_string());
        found.dedup_by_key(|one| one.digest().to_string());
        if !known && found.is_empty() {
            return Err(PullError::NoReferrers);
        }
        let index = ImageIndexBuilder::default()
            .schema_version(2_u32)
            .media_type("application/vnd.oci.image.index.v1+json")
            .manifests(found)
            .build()
            .ok()
            .and_then(|index| serde_json::to_vec(&index).ok());
        let bytes = Bytes::from(index.ok_or(PullError::Abandoned)?);
        Ok(Referrers {
            bytes,
            filtered: artifact_type.is_some(),
            next: None,
        })
    }

    fn kept_origins(&self, image: &ImageName) -> Vec<Origin> {
        let mut origins = self.origins(image);
        if !self.0.settings.offline {
            origins.retain(|origin| matches!(origin, Origin::Local(_)));
        }
        origins
    }
}

/// The fields of a manifest that make it a referrer.
#[derive(Deserialize)]
struct ReferrerManifest {
    subject: Option<SubjectDescriptor>,
    #[serde(rename = "artifactType")]
    artifact_type: Option<String>,
    config: Option<ConfigDescriptor>,
    annotations: Option<std::collections::HashMap<String, String>>,
}

#[derive(Deserialize)]
struct SubjectDescriptor {
    digest: String,
}

#[derive(Deserialize)]
struct ConfigDescriptor {
    #[serde(rename = "mediaType")]
    media_type: String,
}

/// The descriptor of a manifest, if it refers to `subject` and has the requested type.
fn referrer_descriptor(
    manifest: &Manifest,
    subject: &Digest,
    artifact_type: Option<&str>,
) -> Option<Descriptor> {
    let referrer: ReferrerManifest = serde_json::from_slice(manifest.bytes()).ok()?;
    if referrer.subject?.digest != subject.to_string() {
        return None;
    }
    let kind = referrer
        .artifact_type
        .or_else(|| referrer.config.map(|config| config.media_type));
    if artifact_type.is_some() && artifact_type != kind.as_deref() {
        return None;
    }
    let size = u64::try_from(manifest.bytes().len()).ok()?;
    let digest: oci_spec::image::Digest = manifest.digest().to_string().parse().ok()?;
    let mut found = Descriptor::new(manifest.media_type().as_str().into(), size, digest);
    found.set_artifact_type(kind.map(|kind| kind.as_str().into()));
    found.set_annotations(referrer.annotations);
    Some(found)
}
