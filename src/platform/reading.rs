//! Texts into trees: locations, diagnostics, YAML, JSON and TOML, placeholders, and what Kubernetes
//! objects have in common. Knows no format.

pub(super) mod diagnostic;
pub(super) mod document;
pub(super) mod input;
pub(super) mod json;
pub(super) mod kube;
pub(super) mod location;
pub(super) mod name_part;
pub(super) mod node;
pub(super) mod placeholder;
pub(super) mod syntax;
pub(super) mod toml;
pub(super) mod yaml;
