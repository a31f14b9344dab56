//! The map of the imageswap webhook.

pub(in crate::platform) mod import;
mod map;
pub(in crate::platform) mod render;
mod router;
#[cfg(test)]
mod vectors;
