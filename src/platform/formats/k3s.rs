//! k3s and RKE2: `registries.yaml`.

pub(in crate::platform) mod import;
pub(in crate::platform) mod render;
#[cfg(test)]
mod vectors;
