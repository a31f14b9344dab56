//! Configuration files of other programs: read as our configuration, and written from it.
//!
//! Promises: pure functions from text to [`Imported`] and back; each diagnostic has a location, a
//! reason and advice, and never repeats a secret; memory is bounded for every text. Called by
//! `config` and the command line. Never opens a file.

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
