//! Configuration in front of several registries.

use fake_registry::{FakeRegistry, bare::Reply};

use crate::mirror::Mirror;

/// An upstream without credentials.
pub(crate) fn upstream(name: &str, registry: &FakeRegistry) -> String {
    format!("[upstream.\"{name}\"]\nurl = \"{}\"\n", registry.url())
}

/// An upstream with credentials: its content is not served under every name.
pub(crate) fn private(name: &str, registry: &FakeRegistry) -> String {
    let login = "username = \"robot\"\npassword_file = \"password\"\n";
    format!("{}{login}", upstream(name, registry))
}

/// A route; `more` holds further keys.
pub(crate) fn route(from: &str, to: &str, more: &str) -> String {
    format!("[[route]]\nfrom = \"{from}\"\nto = [{to}]\n{more}\n")
}

/// `docker.io` from two registries, `one` and then `two`, under the same names.
pub(crate) fn two(one: &FakeRegistry, two: &FakeRegistry) -> String {
    upstream("one", one)
        + &upstream("two", two)
        + &route("docker.io", "\"one\", \"two\"", "library = \"keep\"")
}

/// The answer to a manifest of `registry`'s.
pub(crate) async fn manifest_of(
    mirror: &Mirror,
    registry: &str,
    repository: &str,
    reference: &str,
) -> Reply {
    let target = format!("/v2/{repository}/manifests/{reference}?ns={registry}");
    mirror.get(&target).reply().await
}

/// The answer to a blob of `registry`'s.
pub(crate) async fn blob_of(
    mirror: &Mirror,
    registry: &str,
    repository: &str,
    digest: &str,
) -> Reply {
    let target = format!("/v2/{repository}/blobs/{digest}?ns={registry}");
    mirror.get(&target).reply().await
}

/// The paths that were asked for, in order and without repetition.
pub(crate) fn paths(registry: &FakeRegistry) -> Vec<String> {
    let mut paths: Vec<_> = registry
        .requests()
        .into_iter()
        .map(|one| one.path)
        .collect();
    paths.dedup();
    paths
}
