//! Astronomer: Helm values with a private registry.

mod credentials;
pub(in crate::platform) mod import;
mod registry_block;
pub(in crate::platform) mod render;
#[cfg(test)]
mod vectors;
