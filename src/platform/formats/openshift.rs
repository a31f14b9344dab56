//! `OpenShift`: image streams and mirror sets.

pub(in crate::platform) mod image_stream;
pub(in crate::platform) mod import;
mod mirror_set;
mod order;
pub(in crate::platform) mod render;
pub(in crate::platform) mod route;
#[cfg(test)]
mod vectors;
