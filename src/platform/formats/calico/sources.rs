//! The sources of Calico's images in the operator's releases.

use crate::{
    oci::{Registry, Repository},
    platform::model::context::ImportContext,
};

/// The registries of Calico's images, which are equal.
pub(super) const SOURCES: [&str; 2] = ["quay.io", "docker.io"];
/// The folders of the images in these registries.
pub(super) const FOLDERS: [&str; 2] = ["calico", "tigera"];
/// The image of the second folder, for sites that have merged both.
const OPERATOR: &str = "operator";

/// The targets of a name of `source`, with `to` first.
pub(super) fn candidates(to: String, source: &str, context: &ImportContext<'_>) -> Vec<String> {
    let mut candidates = vec![to];
    if context.adds_source() {
        let others = SOURCES.iter().filter(|other| **other != source);
        candidates.push("source".to_owned());
        candidates.extend(others.map(|other| format!("{other}/{{repository}}")));
        candidates.dedup();
    }
    candidates
}

/// The names that an image may have in its sources, the default first.
pub(in crate::platform) fn likely_names(image: &str) -> Vec<Repository> {
    let mut folders = FOLDERS;
    if image == OPERATOR {
        folders.reverse();
    }
    let repository = |(registry, folder): (&str, &str)| {
        let registry: Registry = registry.parse().ok()?;
        let name = format!("{folder}/{image}").parse().ok()?;
        Some(Repository { registry, name })
    };
    let all = SOURCES
        .into_iter()
        .flat_map(|source| folders.map(|folder| (source, folder)));
    all.filter_map(repository).collect()
}
