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

pub use formats::{import_choices, importable, renderable};
pub use import::import;
pub use model::{
    docker_auth::parse_docker_config,
    format::{Configures, Format, FormatOption, Renderer},
    imported::{
        CertificateAuthority, Imported, ImportedCredentials, ImportedUpstream, RegistryAlias,
    },
    options::{ImportOptions, SourceFallback},
    rendering::{DigestPin, Mirror, RenderedFile},
};
pub use reading::{
    diagnostic::{Diagnostic, DiagnosticCode, Severity, printable},
    input::{INPUT_BYTES_MAX, Input},
    location::Location,
};
pub use render::render;
pub use written::{WrittenConfig, write};
