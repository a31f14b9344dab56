//! What the importers of all formats share.

use std::fmt;

use super::{
    options::{ImportOptions, SourceFallback},
    pull_secrets::PullSecrets,
};
use crate::platform::reading::document::InputDocument;

/// What importers use besides their own documents.
pub(in crate::platform) struct ImportContext<'c> {
    pub(in crate::platform) options: &'c ImportOptions<'c>,
    /// The pull Secrets among all files.
    pub(in crate::platform) pull_secrets: &'c PullSecrets,
    /// Whether a document is in another format than the one that runs.
    pub(in crate::platform) is_foreign: &'c dyn Fn(&InputDocument<'_>) -> bool,
}

impl ImportContext<'_> {
    /// Whether names are also pulled from their own registry although the file does not say so.
    pub(in crate::platform) fn adds_source(&self) -> bool {
        self.options.fallback == SourceFallback::Source
    }

    /// Whether names are also pulled from their own registry where the file says so.
    pub(in crate::platform) fn keeps_source(&self) -> bool {
        self.options.fallback != SourceFallback::Deny
    }
}

impl fmt::Debug for ImportContext<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ImportContext")
            .finish_non_exhaustive()
    }
}
