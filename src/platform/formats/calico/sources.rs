//! Where the operator takes Calico's images from.

use crate::{
    oci::{Registry, Repository},
    platform::model::context::ImportContext,
};

/// The registries that the operator's releases take Calico's images from: equals.
pub(super) const SOURCES: [&str; 2] = ["quay.io", "docker.io"];
/// The folders that they lie in there.
pub(super) const FOLDERS: [&str; 2] = ["calico", "tigera"];
/// The one that is at home in the second folder, where a site has put both into one.
const OPERATOR: &str = "operator";

/// Where a name of `source` leads, first of all to `to`.
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

/// The names that an operator's image may have in its sources, the usual one first.
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
