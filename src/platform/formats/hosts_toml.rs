//! containerd's `certs.d` folder.

pub(in crate::platform) mod import;
pub(in crate::platform) mod render;
#[cfg(test)]
mod vectors;
