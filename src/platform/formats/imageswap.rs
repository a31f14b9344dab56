//! The map of the imageswap webhook.

pub(in crate::platform) mod import;
pub(in crate::platform) mod map;
pub(in crate::platform) mod render;
pub(in crate::platform) mod router;
#[cfg(test)]
mod vectors;
