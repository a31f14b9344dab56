//! `EnMasse`: image overrides by component.

mod components;
pub(in crate::platform) mod import;
mod overrides;
pub(in crate::platform) mod render;
#[cfg(test)]
mod vectors;
