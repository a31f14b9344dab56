//! A store written by hand, as if all of it had been pulled once.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

use roadstead::internals::oci::{Algorithm, Digest};
use tempfile::TempDir;

use crate::Fallible;

/// The repository that has every blob, as the route and the store name it.
pub(crate) const REPOSITORY: &str = "growth";

/// A folder with a store in it, gone at the end.
pub(crate) struct Store {
    folder: TempDir,
    blobs: PathBuf,
    markers: PathBuf,
}

impl Store {
    pub(crate) fn new() -> Fallible<Self> {
        let folder = tempfile::tempdir()?;
        let root = folder.path().join("store");
        let blobs = root.join("blobs/sha256");
        let markers = root
            .join("origins/up")
            .join(REPOSITORY)
            .join("_blobs/sha256");
        fs::create_dir_all(&blobs)?;
        fs::create_dir_all(&markers)?;
        Ok(Self {
            folder,
            blobs,
            markers,
        })
    }

    /// The folder around it, for a configuration.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Keeps a blob; what to ask for to get it.
    pub(crate) fn keep(&self, bytes: &[u8]) -> Fallible<String> {
        let digest = Digest::of(Algorithm::Sha256, bytes);
        let hex = digest.hex();
        fs::write(self.blobs.join(&hex), bytes)?;
        drop(File::create(self.markers.join(&hex))?);
        Ok(format!(
            "/v2/{REPOSITORY}/blobs/{digest}?ns=registry.example"
        ))
    }

    /// Takes the index away, so that the next start finds what was kept meanwhile.
    pub(crate) fn forget(&self) -> Fallible<()> {
        match fs::remove_file(self.folder().join("store/index.redb")) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }
}
