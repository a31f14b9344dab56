//! The `registries.conf` of podman, skopeo and CRI-O.

pub(in crate::platform) mod import;
mod pattern;
pub(in crate::platform) mod render;
#[cfg(test)]
mod vectors;
