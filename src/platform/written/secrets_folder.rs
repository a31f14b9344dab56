//! The files of an import's secrets: their names and texts.

use std::{collections::HashSet, path::Path};

use crate::secret::Secret;

/// A file that only its owner may read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretFile {
    /// Its name in the folder.
    pub name: String,
    /// Its content.
    pub text: Secret,
}

/// The folder for secrets, if there is one.
pub(super) struct SecretsFolder<'f> {
    path: Option<&'f str>,
    pub(super) files: Vec<SecretFile>,
    names: HashSet<String>,
}

/// Longest file name before its ending, in characters; file systems allow 255 bytes.
const STEM_CHARS_MAX: usize = 200;

impl<'f> SecretsFolder<'f> {
    pub(super) fn new(path: Option<&'f str>) -> Self {
        Self {
            path,
            files: Vec::new(),
            names: HashSet::new(),
        }
    }

    /// Adds a file that is named after its subject; returns its path, if there is a folder.
    pub(super) fn add(&mut self, subject: &str, ending: &str, text: &str) -> Option<String> {
        let path = self.path?;
        let safe = |letter: char| match letter {
            letter if letter.is_ascii_alphanumeric() || ".-".contains(letter) => letter,
            _ => '_',
        };
        let stem: String = subject.chars().take(STEM_CHARS_MAX).map(safe).collect();
        let mut name = format!("{stem}{ending}");
        let mut count = 1;
        while !self.names.insert(name.clone()) {
            count += 1;
            name = format!("{stem}-{count}{ending}");
        }
        let whole = Path::new(path).join(&name);
        let text = Secret::new(text);
        self.files.push(SecretFile { name, text });
        Some(whole.display().to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_have_names_of_their_own() {
        let mut folder = SecretsFolder::new(Some("s"));
        let long = "a/../*:".repeat(100);
        let mut add = |subject: &str| folder.add(subject, ".x", "").unwrap();
        assert_eq!(
            [add("a:1"), add("a/1"), add("..")],
            ["s/a_1.x", "s/a_1-2.x", "s/...x"]
        );
        assert!(add(&long).len() < 255);
    }
}
