//! cass-operator's `ImageConfig`.

mod built_in;
mod image_config;
pub(in crate::platform) mod import;
pub(in crate::platform) mod render;
mod routes;
mod v1beta1;
mod v1beta2;
#[cfg(test)]
mod vectors;
mod versions;
