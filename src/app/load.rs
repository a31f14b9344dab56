//! The interface between the command line's loader and the watcher.

use std::{collections::BTreeMap, io, path::PathBuf, sync::Arc};

use thiserror::Error;

use super::error::StartError;
use crate::{
    config::{ConfigProblem, ConfigProblems, Loaded},
    disk::Fingerprint,
    telemetry,
};

/// Fingerprints of all files that were read or looked for, taken just before.
pub type FileFingerprints = BTreeMap<PathBuf, Fingerprint>;

/// Loads the configuration and all files that it names; blocks. A given text replaces that of the
/// configuration's file.
pub type ConfigSource = Arc<dyn Fn(Option<&str>) -> LoadOutcome + Send + Sync>;

/// The outcome of loading the configuration.
#[derive(Debug)]
pub struct LoadOutcome {
    /// The configuration, if it is valid.
    pub loaded: Result<Loaded, LoadError>,
    /// What was read, valid or not.
    pub record: LoadRecord,
}

/// What was read, for comparison with the next time.
#[derive(Debug, Default)]
pub struct LoadRecord {
    /// The configuration's text.
    pub text: Option<String>,
    /// The files; none for the built-in defaults.
    pub fingerprints: FileFingerprints,
}

/// Why a configuration cannot be used.
#[derive(Debug, Error)]
pub enum LoadError {
    /// Its file cannot be read.
    #[error("cannot read the configuration {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// Its file has become empty. That is a valid configuration, but most likely an editor is about
    /// to write the file.
    #[error("the configuration file is empty: is it still being written?")]
    Empty,
    /// It is invalid.
    #[error(transparent)]
    Problems(#[from] ConfigProblems),
    /// It is valid, but cannot be applied now.
    #[error("cannot be applied: {}", telemetry::chain(.0))]
    Start(#[source] StartError),
}

impl LoadError {
    /// One line per problem.
    pub(super) fn lines(&self) -> Vec<String> {
        match self {
            Self::Problems(ConfigProblems { file, problems }) => {
                let line = |problem| problem_line(file, problem);
                problems.iter().map(line).collect()
            }
            Self::Unreadable { .. } | Self::Empty | Self::Start(_) => vec![self.to_string()],
        }
    }
}

fn problem_line(file: &str, problem: &ConfigProblem) -> String {
    let mut text = file.to_owned();
    if let Some(line) = problem.line {
        text = format!("{text}:{line}");
    }
    if !problem.key.is_empty() {
        text = format!("{text}: {}", problem.key);
    }
    if let Some(value) = &problem.value {
        text = format!("{text} = {value}");
    }
    text = format!("{text}: {}", problem.reason);
    match &problem.hint {
        Some(hint) => format!("{text}; {hint}"),
        None => text,
    }
}
