//! `OpenShift`: image streams and mirror sets.

mod image_stream;
pub(in crate::platform) mod import;
mod mirror_set;
mod order;
pub(in crate::platform) mod render;
#[cfg(test)]
mod vectors;
