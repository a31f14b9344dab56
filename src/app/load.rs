//! What the command line's loader produces and the watcher takes.

use std::{collections::BTreeMap, io, path::PathBuf, sync::Arc};

use thiserror::Error;

use super::error::StartError;
use crate::{
    config::{ConfigProblem, ConfigProblems, Loaded},
    disk::Fingerprint,
    telemetry,
};

/// Every file that was read or looked for, as it was just before.
pub type FileFingerprints = BTreeMap<PathBuf, Fingerprint>;

/// Reads the configuration and all files that it names, and blocks meanwhile. Given a text, it
/// reads that as the configuration's.
pub type ConfigSource = Arc<dyn Fn(Option<&str>) -> LoadOutcome + Send + Sync>;

/// What came of reading the configuration.
#[derive(Debug)]
pub struct LoadOutcome {
    /// What it says, if it holds.
    pub loaded: Result<Loaded, LoadError>,
    /// What is known besides.
    pub record: LoadRecord,
}

/// What a configuration that was read leaves behind, for comparison.
#[derive(Debug, Default)]
pub struct LoadRecord {
    /// Its text.
    pub text: Option<String>,
    /// The files; none where the built-in defaults hold.
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
        /// The system's word.
        source: io::Error,
    },
    /// There is nothing in its file any more. That would be a valid configuration, but one that
    /// nobody means who had another: an editor is about to write it.
    #[error("the configuration's file is empty: is it still being written?")]
    Empty,
    /// It does not hold.
    #[error(transparent)]
    Problems(#[from] ConfigProblems),
    /// It holds, but not here and now.
    #[error("cannot be taken: {}", telemetry::chain(.0))]
    Start(#[source] StartError),
}

impl LoadError {
    /// One line a problem.
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
