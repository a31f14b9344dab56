//! The files that the rules are about.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// A file: its path from the crate's folder, and its text.
pub(super) struct Source {
    pub(super) path: String,
    pub(super) text: String,
}

impl Source {
    pub(super) fn new(path: &str, text: &str) -> Self {
        let (path, text) = (path.to_owned(), text.to_owned());
        Self { path, text }
    }
}

/// Every Rust file below a crate's `src`, tests included.
pub(super) fn sources(root: &Path) -> Vec<Source> {
    let paths = files(&root.join("src"), &["rs"]);
    assert!(!paths.is_empty(), "no sources below {}", root.display());
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).unwrap();
        let path = path.strip_prefix(root).unwrap();
        Source::new(path.to_str().unwrap(), &text)
    };
    paths.into_iter().map(read).collect()
}

/// Every file of these kinds below a folder, sorted.
pub(super) fn files(folder: &Path, kinds: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let kind = path.extension().and_then(|kind| kind.to_str());
        if path.is_dir() {
            found.extend(files(&path, kinds));
        } else if kind.is_some_and(|kind| kinds.contains(&kind)) {
            found.push(path);
        }
    }
    found.sort();
    found
}
