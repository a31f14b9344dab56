//! Real container clients, each with its own configuration and state in a temporary folder.

mod containerd;
mod docker;
mod podman;
mod skopeo;

pub(crate) use containerd::Containerd;
pub(crate) use docker::Docker;
pub(crate) use podman::Podman;
pub(crate) use skopeo::Skopeo;

use std::{fs, net::SocketAddr, path::Path, time::Duration};

const READY_MAX: Duration = Duration::from_mins(1);
const PULL_MAX: Duration = Duration::from_mins(2);

/// How a client that is no daemon talks to the mirror.
pub(crate) enum Way<'a> {
    /// Without TLS.
    Plain,
    /// With the certificates of a folder: `*.crt` to trust, `*.cert` and `*.key` to show.
    Tls(&'a Path),
}

/// A `registries.conf` whose `docker.io` lives behind `location` only.
fn registries_conf(location: &str, way: &Way<'_>) -> String {
    let insecure = matches!(way, Way::Plain);
    format!(
        "[[registry]]\nprefix = \"docker.io\"\nlocation = \"127.0.0.1:1/nowhere\"\ninsecure = true\n\
         [[registry.mirror]]\nlocation = \"{location}\"\ninsecure = {insecure}\n"
    )
}

/// The `registries.conf`, a policy that takes unsigned images, and no login.
fn write_containers_files(folder: &Path, registries: &str) {
    let policy = r#"{"default": [{"type": "insecureAcceptAnything"}]}"#;
    fs::write(folder.join("policy.json"), policy).unwrap();
    fs::write(folder.join("registries.conf"), registries).unwrap();
    fs::write(folder.join("auth.json"), "{}").unwrap();
}

/// Where `registries.conf` finds Docker Hub on a mirror, with or without a path.
pub(crate) fn location(mirror: SocketAddr, path: &str) -> String {
    if path.is_empty() {
        mirror.to_string()
    } else {
        format!("{mirror}/{path}")
    }
}
