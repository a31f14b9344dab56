//! Others' formats: what platforms and tools write, in our words, and ours in theirs.
//!
//! Promises: pure functions from text to [`Imported`] and back; whatever is wrong says where, why
//! and what to do, and never repeats a secret; no text takes more memory than its bounds. Called
//! by `config` and the command line. Never opens a file.

mod astronomer;
mod auth;
mod calico;
mod containerd;
mod docker;
mod docker_config;
mod endpoint;
mod enmasse;
mod finish;
mod format;
mod from_toml;
mod hosts_toml;
mod imageswap;
mod import;
mod imported;
mod json;
mod k3s;
mod k8ssandra;
mod kube;
mod mirrors;
mod name_part;
mod node;
mod openshift;
mod palette;
mod registries_conf;
mod remark;
mod render;
mod spot;
mod talos;
#[cfg(test)]
mod vectors;
mod written;
mod yaml;

use std::fmt;

pub use docker_config::{Flaw, docker_config};
pub use format::Format;
pub use import::{INPUT_BYTES_MAX, Input, import};
pub use imported::{Alias, Authority, Imported, Login, Upstream};
pub use remark::{Code, Level, Remark, printable};
pub use render::{Mirror, Pin, Rendered, Rendering, Target, render};
pub use spot::{InvalidSpot, Spot};
pub use written::{SecretFile, Written, write};

use crate::oci::Registry;

/// What the files do not say.
#[derive(Clone, Copy)]
pub struct Options<'o> {
    /// The images that a platform uses without its override, for formats that only name
    /// components; none: those that are built in.
    pub baseline: Option<Input<'o>>,
    /// The registry that image streams are in, `HOST[:PORT]`.
    pub internal_registry: Option<&'o str>,
    /// Whether images may be had from their own registries as well.
    pub fallback: Fallback,
    /// Whether a registry is the mirror itself.
    pub own: &'o dyn Fn(&Registry) -> bool,
    /// Whether `own` knows the usual addresses only, since nobody said where the mirror listens:
    /// then a folder there may be another registry's, which is a warning.
    pub is_own_guessed: bool,
}

/// Whether images that a file leads elsewhere may be had from their own registries as well.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fallback {
    /// As the format has it; not where it describes a site without the Internet.
    #[default]
    Auto,
    /// Never.
    Deny,
    /// Always, last.
    Source,
}

impl fmt::Debug for Options<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Options").finish_non_exhaustive()
    }
}
