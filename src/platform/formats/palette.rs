//! Palette: the registry override of Spectro Cloud.

mod edge;
pub(in crate::platform) mod import;
mod parts;
mod registry;
pub(in crate::platform) mod render;
#[cfg(test)]
mod vectors;
