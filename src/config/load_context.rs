//! What the configuration is read with: access to the files that it names, and the environment.

use std::{
    error::Error,
    fmt, io,
    path::{Path, PathBuf},
};

use thiserror::Error;

use super::{
    problem::ValueError,
    report::{KeyLocation, ProblemReport},
    value::ConfigText,
};
use crate::{connect::ProxySettings, secret::Secret};

/// The bit of a file's mode that lets others read it.
const WORLD_READABLE: u32 = 0o004;

/// Gives access to the files that the configuration names, so that this room opens none itself.
pub struct LoadContext<'s> {
    /// Reads a file. One with a secret must pass `check_secret_mode`.
    pub read_file: &'s dyn Fn(&Path, FileSensitivity) -> io::Result<Vec<u8>>,
    /// Lists the files of a path, a folder or a glob, in order.
    pub find_files: &'s dyn Fn(&Path) -> io::Result<Vec<PathBuf>>,
    /// The variables of the process's environment that the configuration uses.
    pub environment: &'s Environment,
}

/// Whether a file holds secrets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileSensitivity {
    /// It does, so it must not be world-readable: a password, a token, a key.
    Secret,
    /// It does not: a certificate.
    Public,
}

/// The environment variables in use: the conventional ones for proxies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environment {
    /// `http_proxy` or `HTTP_PROXY`.
    pub http_proxy: Option<Secret>,
    /// `https_proxy` or `HTTPS_PROXY`.
    pub https_proxy: Option<Secret>,
    /// `no_proxy` or `NO_PROXY`.
    pub no_proxy: Option<String>,
}

/// A file with a secret is world-readable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("it is world-readable (mode {mode:03o})")]
pub struct WorldReadable {
    /// The file's permissions.
    pub mode: u32,
}

/// Refuses the mode of a world-readable file with a secret; for the closure that reads it.
pub fn check_secret_mode(mode: u32) -> io::Result<()> {
    if mode & WORLD_READABLE == 0 {
        return Ok(());
    }
    Err(io::Error::other(WorldReadable { mode: mode & 0o777 }))
}

impl LoadContext<'_> {
    /// Reads a text file that the configuration names; reports one that cannot be read.
    pub(super) fn read_text(
        &self,
        report: &ProblemReport<'_>,
        file: &ConfigText,
        content: FileSensitivity,
    ) -> Option<String> {
        let path = Path::new(&file.text);
        let bytes = self.read_bytes(report, path, &file.location, content)?;
        let invalid = match String::from_utf8(bytes) {
            Ok(text) => return Some(text),
            // The whole error would keep the bytes, which may be a secret.
            Err(error) => error.utf8_error(),
        };
        let error = io::Error::new(io::ErrorKind::InvalidData, invalid);
        report.problem(&file.location, unreadable(path, &file.location, &error));
        None
    }

    /// Reads a file for the key at `location`; reports one that cannot be read.
    pub(super) fn read_bytes(
        &self,
        report: &ProblemReport<'_>,
        path: &Path,
        location: &KeyLocation,
        content: FileSensitivity,
    ) -> Option<Vec<u8>> {
        let read = (self.read_file)(path, content);
        let report_error = |error| report.problem(location, unreadable(path, location, &error));
        read.map_err(report_error).ok()
    }

    /// Lists the files of a path, a folder or a glob; reports it if there are none.
    pub(super) fn find_files(
        &self,
        report: &ProblemReport<'_>,
        pattern: &ConfigText,
    ) -> Option<Vec<PathBuf>> {
        let path = Path::new(&pattern.text);
        let found = (self.find_files)(path);
        let report_error = |error| {
            report.problem(
                &pattern.location,
                unreadable(path, &pattern.location, &error),
            );
        };
        found.map_err(report_error).ok()
    }
}

impl Environment {
    /// The proxies.
    pub(super) fn proxy(&self) -> ProxySettings {
        ProxySettings {
            http: self.http_proxy.clone(),
            https: self.https_proxy.clone(),
            no_proxy: Some(self.no_proxy.clone().unwrap_or_default()),
        }
    }
}

impl fmt::Debug for LoadContext<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("LoadContext")
            .finish_non_exhaustive()
    }
}

/// The error for a file that cannot be read.
fn unreadable(path: &Path, location: &KeyLocation, error: &io::Error) -> ValueError {
    let value_error = ValueError::new(match &location.imported {
        Some(imported) if Path::new(&*imported.file) != path => {
            format!("cannot use the file {}: {error}", path.display())
        }
        _ => format!("cannot use the file: {error}"),
    });
    let is_open = <dyn Error + Send + Sync>::is::<WorldReadable>;
    if error.get_ref().is_some_and(is_open) {
        value_error.hint("chmod 600 FILE; in Kubernetes, defaultMode: 0440 on the volume")
    } else if error.kind() == io::ErrorKind::NotFound && path.is_relative() {
        value_error.hint("relative paths start at the mirror's working directory")
    } else {
        value_error
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unreadable_files_have_hints() {
        let absent = || io::Error::from(io::ErrorKind::NotFound);
        let rows = [
            ("a.pem", absent(), Some("relative paths start at")),
            ("/a.pem", absent(), None),
            (
                "a.pem",
                check_secret_mode(0o644).unwrap_err(),
                Some("chmod 600"),
            ),
            ("a.pem", io::ErrorKind::PermissionDenied.into(), None),
        ];
        for (path, error, want) in rows {
            let hint = unreadable(Path::new(path), &KeyLocation::absent(""), &error).hint;
            let fits = |want: &str| hint.as_deref().is_some_and(|hint| hint.starts_with(want));
            assert!(
                want.map_or_else(|| hint.is_none(), fits),
                "{path}: {hint:?}"
            );
        }
    }
}
