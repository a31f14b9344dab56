//! Texts into trees: where something stands, what is wrong with it, YAML, JSON and TOML, and what
//! Kubernetes objects have in common. Knows no format.

pub(super) mod diagnostic;
pub(super) mod json;
pub(super) mod kube;
pub(super) mod location;
pub(super) mod name_part;
pub(super) mod node;
pub(super) mod toml;
pub(super) mod yaml;
