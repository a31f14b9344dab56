//! `BuildKit`'s `buildkitd.toml`.

pub(in crate::platform) mod import;
pub(in crate::platform) mod render;
#[cfg(test)]
mod vectors;
