//! The Tigera operator: `Installation` and `ImageSet`.

mod image_set;
pub(in crate::platform) mod import;
mod installation;
pub(in crate::platform) mod render;
pub(in crate::platform) mod sources;
#[cfg(test)]
mod vectors;
