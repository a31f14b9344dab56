//! Parts of image names, as platforms' files have them: a registry, a folder.

use super::{
    diagnostic::{Diagnostic, DiagnosticCode, mask_credentials},
    location::Location,
};
use crate::oci::Registry;

/// Elements between slashes; a slash too many is left out, a scheme is an error.
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

/// Refuses a scheme.
pub(in crate::platform) fn reject_scheme(
    text: &str,
    location: &Location,
) -> Result<(), Diagnostic> {
    let Some((_, bare)) = text.split_once("://") else {
        return Ok(());
    };
    let message = "names of images and registries have no scheme here";
    let diagnostic = Diagnostic::new(DiagnosticCode::Scheme, location, message).excerpt(text);
    let bare = mask_credentials(bare);
    Err(diagnostic.fix(format!("write {}", bare.trim_start_matches("…@"))))
}

/// Leaves slashes out that are too many.
pub(in crate::platform) fn trim_slashes(
    text: &str,
    location: &Location,
    diagnostics: &mut Vec<Diagnostic>,
) -> String {
    let elements = text.split('/').filter(|element| !element.is_empty());
    let clean = elements.collect::<Vec<_>>().join("/");
    if clean != text {
        let message = "there is a slash too many; it is left out";
        let diagnostic = Diagnostic::new(DiagnosticCode::Slash, location, message).excerpt(text);
        diagnostics.push(diagnostic.fix(format!("write {}", mask_credentials(&clean))));
    }
    clean
}

/// A registry, and perhaps folders of it; or nothing.
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
    let message = "without a dot or a port this is a folder of Docker Hub to every runtime";
    let diagnostic = Diagnostic::new(DiagnosticCode::Reference, location, message).excerpt(&text);
    diagnostics.push(diagnostic.fix("write HOST.DOMAIN or HOST:PORT"));
    None
}
