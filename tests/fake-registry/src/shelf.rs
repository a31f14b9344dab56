//! The content of the registry.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::content::Content;

/// All repositories, and the plain paths a redirect may point to.
#[derive(Debug, Default)]
pub(crate) struct Shelf {
    pub(crate) repositories: BTreeMap<String, Repository>,
    pub(crate) paths: BTreeMap<String, Content>,
}

/// One repository.
#[derive(Debug, Default)]
pub(crate) struct Repository {
    pub(crate) blobs: BTreeMap<String, Content>,
    pub(crate) manifests: BTreeMap<String, Content>,
    pub(crate) tags: BTreeMap<String, String>,
}

impl Shelf {
    /// The repository of that name, created if needed.
    pub(crate) fn repository(&mut self, name: &str) -> &mut Repository {
        self.repositories.entry(name.to_owned()).or_default()
    }
}

impl Repository {
    /// By tag or by digest.
    pub(crate) fn manifest(&self, reference: &str) -> Option<&Content> {
        let digest = self.tags.get(reference).map_or(reference, String::as_str);
        self.manifests.get(digest)
    }

    /// Descriptors of the manifests whose subject is `digest`.
    pub(crate) fn referrers(&self, digest: &str, artifact_type: Option<&str>) -> Vec<Value> {
        self.manifests
            .values()
            .filter_map(|manifest| referrer(manifest, digest))
            .filter(|descriptor| {
                artifact_type.is_none_or(|kind| descriptor["artifactType"] == kind)
            })
            .collect()
    }
}

fn referrer(manifest: &Content, subject: &str) -> Option<Value> {
    let document: Value = serde_json::from_slice(&manifest.bytes).ok()?;
    if document.pointer("/subject/digest")? != subject {
        return None;
    }
    let mut descriptor = manifest.descriptor();
    let kind = document
        .get("artifactType")
        .or_else(|| document.pointer("/config/mediaType"));
    for (key, value) in [
        ("artifactType", kind),
        ("annotations", document.get("annotations")),
    ] {
        if let (Some(value), Some(fields)) = (value, descriptor.as_object_mut()) {
            fields.insert(key.to_owned(), json!(value));
        }
    }
    Some(descriptor)
}
