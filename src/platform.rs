//! Others' formats: what platforms and tools write, in our words, and ours in theirs.
//!
//! Promises: pure functions from text to [`Imported`] and back; whatever is wrong says where, why
//! and what to do, and never repeats a secret; no text takes more memory than its bounds. Called
//! by `config` and the command line. Never opens a file.

mod formats;
mod import;
mod model;
mod reading;
mod render;
#[cfg(test)]
mod vectors;
mod written;

use std::fmt;

pub use formats::ImportFormat;
pub use import::{INPUT_BYTES_MAX, Input, import};
pub use model::{
    docker_auth::{DockerConfigError, parse_docker_config},
    imported::{
        CertificateAuthority, Imported, ImportedCredentials, ImportedUpstream, RegistryAlias,
    },
};
pub use reading::{
    diagnostic::{Diagnostic, DiagnosticCode, Severity, printable},
    location::{InvalidLocation, Location},
};
pub use render::{DigestPin, Mirror, RenderFormat, RenderedFile, Rendering, render};
pub use written::{SecretFile, WrittenConfig, write};

use crate::oci::Registry;

/// What the files do not say.
#[derive(Clone, Copy)]
pub struct ImportOptions<'o> {
    /// The images that a platform uses without its override, for formats that only name
    /// components; none: those that are built in.
    pub baseline: Option<Input<'o>>,
    /// The registry that image streams are in, `HOST[:PORT]`.
    pub internal_registry: Option<&'o str>,
    /// Whether images may be had from their own registries as well.
    pub fallback: SourceFallback,
    /// Whether a registry is the mirror itself.
    pub own: &'o dyn Fn(&Registry) -> bool,
    /// Whether `own` knows the usual addresses only, since nobody said where the mirror listens:
    /// then a folder there may be another registry's, which is a warning.
    pub is_own_guessed: bool,
}

/// Whether images that a file leads elsewhere may be had from their own registries as well.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SourceFallback {
    /// As the format has it; not where it describes a site without the Internet.
    #[default]
    Auto,
    /// Never.
    Deny,
    /// Always, last.
    Source,
}

impl fmt::Debug for ImportOptions<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Options").finish_non_exhaustive()
    }
}
