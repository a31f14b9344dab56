//! Tags and referrers: passed through online, made from what is kept offline.

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
/// Most kept manifests that are read to find referrers.
const REFERRERS_MAX: usize = 10_000;

/// Which stretch of a tag list is wanted (distribution-spec, "Listing Tags").
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagListPage {
    /// At most so many tags, up to [`TAGS_PER_PAGE_MAX`].
    pub count: u64,
    /// Only tags after this one.
    pub after: Option<String>,
}

/// A stretch of a tag list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagList {
    /// The tags, in upstream's order.
    pub tags: Vec<String>,
    /// Whether there are more.
    pub more: bool,
}

/// Which stretch of the referrers of a digest is wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReferrersPage {
    /// Only those of this type.
    pub artifact_type: Option<String>,
    /// What the page before named as the next one, in upstream's own words; none: the first.
    pub next: Option<String>,
}

impl Puller {
    /// A repository's tags: the first candidate that knows the repository speaks, and a loaded
    /// bundle after all of them.
    ///
    /// # Errors
    /// See [`PullError`]; an upstream that fails is never an empty list.
    pub async fn tags(&self, named: &ImageName, page: &TagListPage) -> Result<TagList, PullError> {
        let lead = self.resolve(named, &Reference::Tag(Tag::any()))?;
        if page.count == 0 {
            return Ok(TagList {
                tags: Vec::new(),
                more: false,
            });
        }
        if self.0.settings.offline || lead.candidates.is_empty() {
            return self.kept_tags(named, page, &lead).await;
        }
        let deadline = Instant::now() + self.0.settings.manifest_max;
        let wanted = &TagPageRequest {
            n: Some(page.count),
            last: page.after.clone(),
        };
        let asking = |upstream: Upstream, candidate| async move {
            let ask = request_context(candidate, &self.1, deadline);
            upstream.tags(&ask, wanted).await
        };
        match self.ask_in_order(&lead.candidates, None, asking).await {
            Ok((list, _origin)) => Ok(TagList {
                tags: list.names,
                more: list.more,
            }),
            Err(PullError::Absent) => self.kept_tags(named, page, &lead).await,
            Err(error) => Err(error),
        }
    }

    /// What is kept: all origins' tags offline, a loaded bundle's online.
    async fn kept_tags(
        &self,
        named: &ImageName,
        page: &TagListPage,
        lead: &Resolution,
    ) -> Result<TagList, PullError> {
        let mut found = BTreeSet::new();
        for origin in self.kept_origins(named) {
            found.extend(self.0.store.tags(&origin).await?);
        }
        if found.is_empty() {
            return Err(lead.no_candidate().unwrap_or(PullError::Absent));
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

    /// What refers to a digest: the first candidate that keeps referrers speaks.
    ///
    /// # Errors
    /// [`PullError::NoReferrers`] if none does, so that clients look for tags instead.
    pub async fn referrers(
        &self,
        named: &ImageName,
        digest: &Digest,
        page: &ReferrersPage,
    ) -> Result<Referrers, PullError> {
        let artifact_type = page.artifact_type.as_deref();
        let lead = self.resolve(named, &Reference::Digest(*digest))?;
        let order = self.candidates_for_digest(named, digest, &lead).await?;
        if self.0.settings.offline || order.is_empty() {
            let kept = self.kept_referrers(named, digest, artifact_type).await;
            return match (kept, lead.no_candidate()) {
                (Err(PullError::NoReferrers), Some(nobody)) => Err(nobody),
                (kept, _) => kept,
            };
        }
        let deadline = Instant::now() + self.0.settings.manifest_max;
        let asking = |upstream: Upstream, candidate| async move {
            let ask = request_context(candidate, &self.1, deadline);
            match &page.next {
                None => upstream.referrers(&ask, digest, artifact_type).await,
                Some(next) => upstream.referrers_next(&ask, digest, next).await,
            }
        };
        match self.ask_in_order(&order, None, asking).await {
            Ok((found, _origin)) => Ok(found),
            // What is kept is no continuation of what an upstream began to list.
            Err(PullError::Absent) if page.next.is_none() => {
                self.kept_referrers(named, digest, artifact_type).await
            }
            Err(error) => Err(error),
        }
    }

    /// An index of the kept manifests whose subject is `digest`. Only origins that keep the
    /// subject itself may say that it has none.
    async fn kept_referrers(
        &self,
        named: &ImageName,
        digest: &Digest,
        artifact_type: Option<&str>,
    ) -> Result<Referrers, PullError> {
        let mut known = false;
        let mut found = Vec::new();
        for origin in self.kept_origins(named) {
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

    fn kept_origins(&self, named: &ImageName) -> Vec<Origin> {
        let mut origins = self.origins(named);
        if !self.0.settings.offline {
            origins.retain(|origin| matches!(origin, Origin::Local(_)));
        }
        origins
    }
}

/// What of a manifest makes it a referrer.
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

/// The descriptor of a manifest that refers to `subject`, if it does and has the type wanted.
fn referrer_descriptor(
    manifest: &Manifest,
    subject: &Digest,
    artifact_type: Option<&str>,
) -> Option<Descriptor> {
    let referring: ReferrerManifest = serde_json::from_slice(manifest.bytes()).ok()?;
    if referring.subject?.digest != subject.to_string() {
        return None;
    }
    let kind = referring
        .artifact_type
        .or_else(|| referring.config.map(|config| config.media_type));
    if artifact_type.is_some() && artifact_type != kind.as_deref() {
        return None;
    }
    let size = u64::try_from(manifest.bytes().len()).ok()?;
    let digest: oci_spec::image::Digest = manifest.digest().to_string().parse().ok()?;
    let mut found = Descriptor::new(manifest.media_type().as_str().into(), size, digest);
    found.set_artifact_type(kind.map(|kind| kind.as_str().into()));
    found.set_annotations(referring.annotations);
    Some(found)
}
