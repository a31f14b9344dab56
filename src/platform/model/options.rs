//! What the caller of an import adds to the files.

use std::fmt;

use crate::{oci::Registry, platform::reading::input::Input};

/// What the files do not contain.
#[derive(Clone, Copy)]
pub struct ImportOptions<'o> {
    /// The images that a platform uses without its override, for formats that only name components;
    /// `None`: the built-in list.
    pub baseline: Option<Input<'o>>,
    /// The registry that image streams are in, `HOST[:PORT]`.
    pub internal_registry: Option<&'o str>,
    /// Whether images are also pulled from their own registries.
    pub fallback: SourceFallback,
    /// Whether a registry is the mirror itself.
    pub own: &'o dyn Fn(&Registry) -> bool,
    /// Whether `own` knows the default addresses only, because the mirror's configuration was not
    /// given: a folder there may then be another registry's, and is a warning.
    pub is_own_guessed: bool,
}

/// Whether images that a file reroutes are also pulled from their own registries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SourceFallback {
    /// As in the file; not for formats of sites without the Internet.
    #[default]
    Auto,
    /// Never.
    Deny,
    /// Always, last.
    Source,
}

impl SourceFallback {
    /// The words for it, in `--fallback` and `fallback = `.
    pub const WORDS: [(&'static str, Self); 3] = [
        ("auto", Self::Auto),
        ("deny", Self::Deny),
        ("source", Self::Source),
    ];
}

impl fmt::Debug for ImportOptions<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ImportOptions")
            .finish_non_exhaustive()
    }
}
