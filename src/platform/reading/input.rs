//! The files of an import, and which of them are text.

use super::{
    diagnostic::{Diagnostic, DiagnosticCode},
    location::{Location, SourceText},
};

/// Longest file, in bytes.
pub const INPUT_BYTES_MAX: usize = 8 * 1024 * 1024;

/// A file.
#[derive(Clone, Copy, Debug)]
pub struct Input<'t> {
    /// Its path as given by the caller. In some formats the path has a meaning.
    pub name: &'t str,
    /// Its content.
    pub bytes: &'t [u8],
    /// Whether the caller named it by its own path, and not only its folder.
    pub is_named: bool,
}

/// Decodes a file as text.
pub(in crate::platform) fn decode_text<'t>(
    input: &Input<'t>,
) -> Result<SourceText<'t>, Diagnostic> {
    let Input { name, bytes, .. } = *input;
    let start = Location::start(name);
    if bytes.len() > INPUT_BYTES_MAX {
        let message = format!("the file is longer than {INPUT_BYTES_MAX} bytes");
        return Err(Diagnostic::new(DiagnosticCode::File, &start, message).fix("split it"));
    }
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let (valid, _) = bytes
            .split_at_checked(error.valid_up_to())
            .unwrap_or_default();
        let valid = String::from_utf8_lossy(valid);
        let location = SourceText::file(name, &valid).location_of_byte(valid.len());
        Diagnostic::new(DiagnosticCode::File, &location, "the file is not UTF-8")
            .fix("save the file as UTF-8")
    })?;
    let text = SourceText::file(name, text);
    match text.text.find('\0') {
        Some(byte) => {
            let location = text.location_of_byte(byte);
            Err(Diagnostic::new(
                DiagnosticCode::File,
                &location,
                "the file contains a NUL and is not text",
            ))
        }
        None if text.text.trim().is_empty() => Err(Diagnostic::new(
            DiagnosticCode::File,
            &start,
            "the file is empty",
        )),
        None => Ok(text),
    }
}
