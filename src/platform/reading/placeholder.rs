//! Placeholders: values that a template's author meant to be replaced.

use super::{
    diagnostic::{Diagnostic, DiagnosticCode},
    location::Location,
    node::{Node, NodeKind},
};

/// Docker's user name for a password that is a refresh token.
pub(in crate::platform) const TOKEN_USERNAME: &str = "<token>";

/// Reports `E-PLACEHOLDER` for every placeholder in a tree.
pub(in crate::platform) fn placeholders(node: &Node, diagnostics: &mut Vec<Diagnostic>) {
    placeholders_at("", node, diagnostics);
}

fn placeholders_at(key: &str, node: &Node, diagnostics: &mut Vec<Diagnostic>) {
    match &node.kind {
        // Docker's user name for tokens looks like a placeholder.
        NodeKind::Scalar(scalar) if key == "username" && scalar.text == TOKEN_USERNAME => {}
        NodeKind::Scalar(scalar) => {
            diagnostics.extend(placeholder_value(key, &scalar.text, &scalar.start));
        }
        NodeKind::Sequence(items) => {
            for item in items {
                placeholders_at(key, item, diagnostics);
            }
        }
        NodeKind::Mapping(entries) => {
            for (key, value) in entries {
                placeholders_at(&key.text, value, diagnostics);
            }
        }
        NodeKind::Null => {}
    }
}

/// `E-PLACEHOLDER`, if the text at a key is one. Values of secret keys are not shown, because they
/// might be odd passwords.
pub(in crate::platform) fn placeholder_value(
    key: &str,
    text: &str,
    location: &Location,
) -> Option<Diagnostic> {
    let diagnostic = placeholder(text, location)?;
    let key = key.to_ascii_lowercase();
    let secrets = ["password", "token", "auth"];
    let is_secret = secrets.iter().any(|word| key.ends_with(word));
    Some(Diagnostic {
        excerpt: diagnostic.excerpt.filter(|_| !is_secret),
        ..diagnostic
    })
}

/// `E-PLACEHOLDER`, if the text is one.
pub(in crate::platform) fn placeholder(text: &str, location: &Location) -> Option<Diagnostic> {
    let diagnostic = || {
        Diagnostic::new(
            DiagnosticCode::Placeholder,
            location,
            "this is a placeholder",
        )
    };
    is_placeholder(text).then(|| diagnostic().excerpt(text).fix("write the real value"))
}

/// Whether a text is a placeholder.
pub(in crate::platform) fn is_placeholder(text: &str) -> bool {
    let marks = ["REPLACE_WITH_", "<your-", "OCI_URL", "<Contact"];
    let is_marked = marks.iter().any(|mark| text.contains(mark));
    let inside = text
        .strip_prefix('<')
        .and_then(|text| text.strip_suffix('>'));
    let is_word = |letter: char| letter.is_ascii_alphanumeric() || " -_".contains(letter);
    let is_bracketed =
        inside.is_some_and(|inside| !inside.is_empty() && inside.chars().all(is_word));
    // Several lines, or JSON, are an embedded file, which is read on its own.
    let is_file = text.contains('\n') || text.trim_start().starts_with('{');
    (is_marked && !is_file) || is_bracketed
}
