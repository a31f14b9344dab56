//! Parts of image names in platforms' files: a registry, a folder.

use super::{
    diagnostic::{Diagnostic, DiagnosticCode, mask_credentials},
    location::Location,
};
use crate::oci::Registry;

/// Path elements; extra slashes are removed, a scheme is an error.
pub(in crate::platform) fn name_part(
    text: &str,
    location: &Location,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<String> {
    match reject_scheme(text, location) {
        Ok(()) => Some(trim_slashes(text, location, diagnostics)),
        Err(diagnostic) => {
            diagnostics.push(diagnostic);
            None
        }
    }
}

/// Rejects a scheme.
pub(in crate::platform) fn reject_scheme(
    text: &str,
    location: &Location,
) -> Result<(), Diagnostic> {
    let Some((_, bare)) = text.split_once("://") else {
        return Ok(());
    };
    let message = "image and registry names have no scheme here";
    let diagnostic = Diagnostic::new(DiagnosticCode::Scheme, location, message).excerpt(text);
    let bare = mask_credentials(bare);
    Err(diagnostic.fix(format!("write {}", bare.trim_start_matches("…@"))))
}

/// Removes extra slashes, with a warning.
pub(in crate::platform) fn trim_slashes(
    text: &str,
    location: &Location,
    diagnostics: &mut Vec<Diagnostic>,
) -> String {
    let elements = text.split('/').filter(|element| !element.is_empty());
    let clean = elements.collect::<Vec<_>>().join("/");
    if clean != text {
        let message = "the extra slash is ignored";
        let diagnostic = Diagnostic::new(DiagnosticCode::Slash, location, message).excerpt(text);
        diagnostics.push(diagnostic.fix(format!("write {}", mask_credentials(&clean))));
    }
    clean
}

/// A registry, with or without folders; may be empty.
pub(in crate::platform) fn registry(
    text: &str,
    location: &Location,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<String> {
    let text = name_part(text, location, diagnostics)?;
    let first = text.split('/').next().unwrap_or_default();
    if text.is_empty() || Registry::looks_like(first) {
        return Some(text);
    }
    let message = "without a dot or a port, every runtime takes this for a folder of Docker Hub";
    let diagnostic = Diagnostic::new(DiagnosticCode::Reference, location, message).excerpt(&text);
    diagnostics.push(diagnostic.fix("write HOST.DOMAIN or HOST:PORT"));
    None
}
