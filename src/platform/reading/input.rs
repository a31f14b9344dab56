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
    /// Its path, as it was named to us. Some formats say in it what the file is about.
    pub name: &'t str,
    /// What stands in it.
    pub bytes: &'t [u8],
    /// Whether it was asked for by its own path, and does not merely lie in a folder.
    pub is_named: bool,
}

/// The text of a file that can be read at all.
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
        let (sound, _) = bytes
            .split_at_checked(error.valid_up_to())
            .unwrap_or_default();
        let sound = String::from_utf8_lossy(sound);
        let location = SourceText::file(name, &sound).location_of_byte(sound.len());
        Diagnostic::new(DiagnosticCode::File, &location, "this is no UTF-8")
            .fix("save the file as UTF-8")
    })?;
    let text = SourceText::file(name, text);
    match text.text.find('\0') {
        Some(byte) => {
            let location = text.location_of_byte(byte);
            Err(Diagnostic::new(
                DiagnosticCode::File,
                &location,
                "there is a NUL: this is no text",
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
