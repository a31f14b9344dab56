//! Loads the configuration and the files that it names, once or repeatedly.

use std::{
    cell::RefCell,
    path::{Path, PathBuf},
    sync::Arc,
};

use clap::Args;

use super::{exit::Exit, output::eprint_error};
use crate::{
    app::{ConfigSource, FileFingerprints, LoadError, LoadOutcome, LoadRecord},
    config::{self, ConfigProblems, Environment, FileSensitivity, LoadContext, Loaded, Overrides},
    disk,
    secret::Secret,
};

/// The option that names the configuration.
#[derive(Args, Debug)]
pub(super) struct ConfigArguments {
    /// The configuration file; without it, the built-in defaults apply.
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
}

/// Loads the configuration in its current state, each time.
#[derive(Clone, Debug)]
pub(super) struct ConfigLoader {
    /// `None`: the built-in defaults.
    file: Option<PathBuf>,
    overrides: Overrides,
    environment: Environment,
}

impl ConfigArguments {
    /// Loads the configuration; prints its problems.
    pub(super) fn load(&self, overrides: &Overrides) -> Result<Loaded, Exit> {
        self.read(overrides).map_err(|problems| {
            eprint_error(problems);
            Exit::BadConfiguration
        })?
    }

    /// As [`Self::load`], but returns the problems.
    pub(super) fn read(
        &self,
        overrides: &Overrides,
    ) -> Result<Result<Loaded, Exit>, ConfigProblems> {
        match ConfigLoader::new(self.config.as_ref(), overrides)
            .read(None)
            .loaded
        {
            Ok(loaded) => Ok(Ok(loaded)),
            Err(LoadError::Problems(problems)) => Err(problems),
            Err(error) => {
                eprint_error(error);
                Ok(Err(Exit::BadConfiguration))
            }
        }
    }
}

impl ConfigLoader {
    pub(super) fn new(file: Option<&PathBuf>, overrides: &Overrides) -> Self {
        Self {
            file: file.cloned(),
            overrides: overrides.clone(),
            environment: environment(),
        }
    }

    /// For the reloader.
    pub(super) fn into_source(self) -> ConfigSource {
        Arc::new(move |text| self.read(text))
    }

    /// Loads it. Each file's fingerprint is taken before the file is read, so that a concurrent
    /// change is noticed later.
    pub(super) fn read(&self, text: Option<&str>) -> LoadOutcome {
        let seen = RefCell::new(FileFingerprints::new());
        let look = |path: &Path| {
            let fingerprint = disk::fingerprint(path);
            seen.borrow_mut()
                .entry(path.to_owned())
                .or_insert(fingerprint);
        };
        let Some(path) = &self.file else {
            return LoadOutcome {
                loaded: config::defaults(&self.overrides, &self.environment)
                    .map_err(LoadError::from),
                record: LoadRecord::default(),
            };
        };
        let text = text.map_or_else(
            || {
                look(path);
                disk::read_text(path)
            },
            |text| Ok(text.to_owned()),
        );
        let files = |path: &Path, content| {
            look(path);
            match content {
                FileSensitivity::Secret => disk::read_bytes(path, config::check_secret_mode),
                FileSensitivity::Public => disk::read_bytes(path, |_mode| Ok(())),
            }
        };
        let context = LoadContext {
            read_file: &files,
            find_files: &|path| disk::gather(path, &look),
            environment: &self.environment,
        };
        let (loaded, text) = match text {
            Ok(text) => {
                let name = path.display().to_string();
                let loaded = config::read(&text, &name, &self.overrides, &context);
                (loaded.map_err(LoadError::from), Some(text))
            }
            Err(source) => {
                let path = path.clone();
                (Err(LoadError::Unreadable { path, source }), None)
            }
        };
        let seen = seen.into_inner();
        LoadOutcome {
            loaded,
            record: LoadRecord {
                text,
                fingerprints: seen,
            },
        }
    }
}

/// The conventional variables for proxies; `proxy = "env"` means these.
fn environment() -> Environment {
    #[expect(
        clippy::disallowed_methods,
        reason = "proxies are conventionally set there"
    )]
    let variable = |name: &str| {
        let found = [name.to_owned(), name.to_uppercase()].into_iter();
        let mut found = found.filter_map(|name| std::env::var(name).ok());
        found.find(|value| !value.is_empty())
    };
    Environment {
        http_proxy: variable("http_proxy").map(Secret::new),
        https_proxy: variable("https_proxy").map(Secret::new),
        no_proxy: variable("no_proxy"),
    }
}
