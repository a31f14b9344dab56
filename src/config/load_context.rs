//! What a configuration is read among: the files that it names, and the environment.

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
use crate::{secret::Secret, upstream::ProxySettings};

/// The bits of a file's mode that let people read it who are neither its owner nor of its group.
const WORLD_READABLE: u32 = 0o004;

/// Hands in what the configuration names, so that reading it touches nothing by itself.
pub struct LoadContext<'s> {
    /// Reads a file. One that holds a secret should be refused if [`admit_secret_mode`] refuses it.
    pub read_file: &'s dyn Fn(&Path, FileSensitivity) -> io::Result<Vec<u8>>,
    /// Finds the files that a path, a folder or a glob means, in order.
    pub find_files: &'s dyn Fn(&Path) -> io::Result<Vec<PathBuf>>,
    /// The process's environment, as far as it counts.
    pub environment: &'s Environment,
}

/// What a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileSensitivity {
    /// What nobody else may read: a password, a token, a key.
    Secret,
    /// What everybody may read: a certificate.
    Public,
}

/// The variables that count. All are those of every other program: `HTTP_PROXY` and its kin.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environment {
    /// `http_proxy` or `HTTP_PROXY`.
    pub http_proxy: Option<Secret>,
    /// `https_proxy` or `HTTPS_PROXY`.
    pub https_proxy: Option<Secret>,
    /// `no_proxy` or `NO_PROXY`.
    pub no_proxy: Option<String>,
}

/// Everyone on the machine can read a file that holds a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("everyone on this machine can read the file (mode {mode:03o})")]
pub struct WorldReadable {
    /// The file's permissions.
    pub mode: u32,
}

/// Refuses the mode of a file that holds a secret, for the closure that reads it.
pub fn check_secret_mode(mode: u32) -> io::Result<()> {
    if mode & WORLD_READABLE == 0 {
        return Ok(());
    }
    Err(io::Error::other(WorldReadable { mode: mode & 0o777 }))
}

impl LoadContext<'_> {
    /// The text of a file that the configuration names; one that cannot be read is reported.
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
            // The error would keep the bytes.
            Err(error) => error.utf8_error(),
        };
        let error = io::Error::new(io::ErrorKind::InvalidData, invalid);
        report.problem(&file.location, unreadable(path, &file.location, &error));
        None
    }

    /// The content of a file that the key at `location` leads to; one that cannot be read is reported.
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

    /// The files that a path, a folder or a glob means; if there is none, that is reported.
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
    /// The proxies that it names.
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
            .debug_struct("Surroundings")
            .finish_non_exhaustive()
    }
}

/// What to say of a file that could not be read.
fn unreadable(path: &Path, location: &KeyLocation, error: &io::Error) -> ValueError {
    let value_error = ValueError::new(match &location.imported {
        Some(place) if Path::new(&*place.file) != path => {
            format!("the file {} cannot be used: {error}", path.display())
        }
        _ => format!("the file cannot be used: {error}"),
    });
    let is_open = <dyn Error + Send + Sync>::is::<WorldReadable>;
    if error.get_ref().is_some_and(is_open) {
        value_error.hint("chmod 600 FILE; in Kubernetes, defaultMode: 0440 on the volume")
    } else if error.kind() == io::ErrorKind::NotFound && path.is_relative() {
        value_error.hint("it is looked for below the folder that the mirror is started in")
    } else {
        value_error
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_read_says_what_to_do() {
        let absent = || io::Error::from(io::ErrorKind::NotFound);
        let rows = [
            ("a.pem", absent(), Some("it is looked for below the folder")),
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
