//! A row of the table of formats.

use super::{
    context::ImportContext,
    imported::Imported,
    rendering::{Mirror, Rendering},
};
use crate::{
    oci::Repository,
    platform::reading::{document::InputDocument, location::SourceText, syntax::Syntax},
};

/// A file format: how its files are recognised and read, and how the mirror is written in it.
/// Either side may be absent.
#[derive(Debug)]
pub struct Format {
    /// Its name on the command line and in `[[import]]`.
    pub name: &'static str,
    pub(in crate::platform) import: Option<Importer>,
    pub(in crate::platform) render: Option<Renderer>,
}

/// How files of a format are read.
#[derive(Debug)]
pub struct Importer {
    /// One line for `import --help`.
    pub about: &'static str,
    /// The caller's options that this format reads; the others ignore them.
    pub options: &'static [FormatOption],
    /// The syntax of a text in this format, given the one that it looks like.
    pub(in crate::platform) syntax: fn(&SourceText<'_>, Syntax) -> Syntax,
    /// Whether a document is in this format.
    pub(in crate::platform) detects: fn(&InputDocument<'_>) -> bool,
    /// Of several formats that detect a document, the lowest gets it; distinct in the table.
    pub(in crate::platform) precedence: u8,
    pub(in crate::platform) run: fn(&[InputDocument<'_>], &ImportContext<'_>, &mut Imported),
}

/// An option of the caller that only some formats read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FormatOption {
    /// [`baseline`](super::options::ImportOptions::baseline).
    Baseline,
    /// [`internal_registry`](super::options::ImportOptions::internal_registry).
    InternalRegistry,
}

/// How the mirror is written in a format.
#[derive(Debug)]
pub struct Renderer {
    /// One line for `render --help`.
    pub about: &'static str,
    /// What reads the files.
    pub configures: Configures,
    /// For formats that pin digests: the names that an image may have whose last element is this
    /// one. The caller looks up which of them the mirror keeps.
    pub pins: Option<fn(&str) -> Vec<Repository>>,
    pub(in crate::platform) run: fn(&Mirror) -> Rendering,
}

/// What reads the rendered files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Configures {
    /// The container runtime of each node.
    Nodes,
    /// A platform in the cluster.
    Platform,
}

/// By name, which the table has once: comparing functions means nothing.
impl PartialEq for Format {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}
