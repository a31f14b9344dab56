//! Where the operator takes Calico's images from.

use crate::platform::model::context::ImportContext;

/// The registries that the operator's releases take Calico's images from: equals.
pub(super) const SOURCES: [&str; 2] = ["quay.io", "docker.io"];
/// The folders that they lie in there.
pub(super) const FOLDERS: [&str; 2] = ["calico", "tigera"];

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
