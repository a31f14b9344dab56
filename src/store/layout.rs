//! The paths of the store: only this file builds them, and only from parsed values.

use std::path::{Path, PathBuf};

use crate::oci::{Algorithm, Digest, Origin, Registry, Repository, Tag};

/// Subfolders of an origin start with `_`, which no element of a repository name does.
const LOCAL: &str = "_local";
const MANIFESTS: &str = "_manifests";
const TAGS: &str = "_tags";
const BLOBS: &str = "_blobs";

/// The paths below one store's folder.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    root: PathBuf,
}

impl Layout {
    pub(super) fn new(root: PathBuf) -> Self {
        Self { root }
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn lock(&self) -> PathBuf {
        self.root.join("lock")
    }

    pub(super) fn index(&self) -> PathBuf {
        self.root.join("index.redb")
    }

    /// Holds small files until they get their name; swept at start.
    pub(super) fn temporary(&self) -> PathBuf {
        self.root.join("temporary")
    }

    pub(super) fn blobs(&self, algorithm: Algorithm) -> PathBuf {
        self.root.join("blobs").join(algorithm.as_str())
    }

    pub(super) fn blob(&self, digest: &Digest) -> PathBuf {
        self.blobs(digest.algorithm()).join(digest.hex())
    }

    pub(super) fn partials(&self, algorithm: Algorithm) -> PathBuf {
        self.root.join("partial").join(algorithm.as_str())
    }

    pub(super) fn partial(&self, digest: &Digest) -> PathBuf {
        self.partials(digest.algorithm()).join(digest.hex())
    }

    pub(super) fn origins(&self) -> PathBuf {
        self.root.join("origins")
    }

    pub(super) fn origin(&self, origin: &Origin) -> PathBuf {
        self.origins().join(origin_text(origin))
    }

    pub(super) fn manifests(&self, origin: &Origin, algorithm: Algorithm) -> PathBuf {
        self.origin(origin).join(MANIFESTS).join(algorithm.as_str())
    }

    pub(super) fn manifest(&self, origin: &Origin, digest: &Digest) -> PathBuf {
        self.manifests(origin, digest.algorithm())
            .join(digest.hex())
    }

    pub(super) fn tags(&self, origin: &Origin) -> PathBuf {
        self.origin(origin).join(TAGS)
    }

    pub(super) fn tag(&self, origin: &Origin, tag: &Tag) -> PathBuf {
        self.tags(origin).join(tag.as_str())
    }

    pub(super) fn markers(&self, origin: &Origin, algorithm: Algorithm) -> PathBuf {
        self.origin(origin).join(BLOBS).join(algorithm.as_str())
    }

    pub(super) fn marker(&self, origin: &Origin, digest: &Digest) -> PathBuf {
        self.markers(origin, digest.algorithm()).join(digest.hex())
    }
}

/// An origin as the path of its folder below `origins/`, which is also its name in the index.
pub(super) fn origin_text(origin: &Origin) -> String {
    match origin {
        Origin::Upstream { upstream, name } => format!("{upstream}/{name}"),
        Origin::Local(Repository { registry, name }) => format!("{LOCAL}/{registry}/{name}"),
    }
}

/// The inverse of [`origin_text`]; `None` for other text.
pub(super) fn origin_from_text(text: &str) -> Option<Origin> {
    let (first, rest) = text.split_once('/')?;
    if first == LOCAL {
        let (registry, name) = rest.split_once('/')?;
        let registry: Registry = registry.parse().ok()?;
        let name = name.parse().ok()?;
        return Some(Origin::Local(Repository { registry, name }));
    }
    Some(Origin::Upstream {
        upstream: first.parse().ok()?,
        name: rest.parse().ok()?,
    })
}

/// Whether a folder of this name makes its parent folder an origin.
pub(super) fn is_origin_subfolder(folder: &str) -> bool {
    [MANIFESTS, TAGS, BLOBS].contains(&folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_and_their_folders_are_inverses() {
        for text in [
            "harbor.example.org:8443/airgap/docker.io/library/nginx",
            "[::1]:5000/a",
            "_local/docker.io/library/nginx",
            "_local/localhost:5000/a/b",
        ] {
            let origin = origin_from_text(text).unwrap();
            assert_eq!(origin_text(&origin), text);
        }
        for none in [
            "", "a", "_local", "_local/a", "a/_tags", "a/..", "../a", "a//b",
        ] {
            assert_eq!(origin_from_text(none), None, "{none}");
        }
    }

    #[test]
    fn every_path_stays_below_the_root() {
        let layout = Layout::new("/s".into());
        let digest = Digest::of(Algorithm::Sha512, b"");
        let origin = origin_from_text("u/a/b").unwrap();
        let tag: Tag = "..1".parse().unwrap_or_else(|_| "_1..".parse().unwrap());
        for (path, start) in [
            (layout.blob(&digest), "/s/blobs/sha512/cf83"),
            (layout.partial(&digest), "/s/partial/sha512/cf83"),
            (
                layout.manifest(&origin, &digest),
                "/s/origins/u/a/b/_manifests/sha512/cf83",
            ),
            (layout.tag(&origin, &tag), "/s/origins/u/a/b/_tags/_1.."),
            (
                layout.marker(&origin, &digest),
                "/s/origins/u/a/b/_blobs/sha512/cf83",
            ),
        ] {
            assert!(path.to_str().unwrap().starts_with(start), "{path:?}");
        }
    }
}
