//! The Tigera operator: `Installation` and `ImageSet`.

mod image_set;
pub(in crate::platform) mod import;
mod installation;
pub(in crate::platform) mod render;
mod sources;
#[cfg(test)]
mod vectors;
