//! The keys of `auths` and `credHelpers`: hosts, URLs and paths.

use crate::platform::reading::node::{Node, Scalar};

/// Plain keys before those with a scheme: of equal registries the plain key takes effect.
pub(super) fn sorted(object: &Node) -> Vec<(&Scalar, &Node)> {
    let mut fields: Vec<_> = object.entries().collect();
    fields.sort_by_key(|(key, _)| (key.text.contains("://"), &key.text));
    fields
}

/// A key's path for messages, without credentials that the key may contain.
pub(super) fn display_path(prefix: &str, key: &str) -> String {
    let shown = match key.rsplit_once('@') {
        Some((_, host)) => format!("…@{host}"),
        None => key.to_owned(),
    };
    let shown = format!("{shown:?}");
    if prefix.is_empty() {
        shown
    } else {
        format!("{prefix}.{shown}")
    }
}

/// A key without scheme, API version and trailing slashes: `https://index.docker.io/v1/`.
pub(super) fn bare(key: &str) -> String {
    let rest = ["https://", "http://"]
        .iter()
        .find_map(|scheme| key.strip_prefix(scheme))
        .unwrap_or(key);
    let rest = rest.trim_end_matches('/');
    match rest.split_once('/') {
        Some((host, "v1" | "v2")) => host.to_owned(),
        Some((host, path)) => {
            let below = ["v1/", "v2/"].iter().find_map(|api| path.strip_prefix(api));
            format!("{host}/{}", below.unwrap_or(path))
        }
        None => rest.to_owned(),
    }
}

/// The server name that a helper is called with.
pub(super) fn host(key: &str) -> &str {
    let rest = key.split_once("://").map_or(key, |(_, rest)| rest);
    rest.split('/').next().unwrap_or(rest)
}
