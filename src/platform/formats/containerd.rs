//! containerd's older `config.toml`, with mirrors and credentials in it.

pub(in crate::platform) mod import;
pub(in crate::platform) mod render;
#[cfg(test)]
mod vectors;
