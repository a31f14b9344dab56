//! Watches the configuration's files, reloads them on a change, and logs the outcome.
//!
//! One mechanism for everything that may change: the configuration's file and every file that it
//! names, passwords and certificates included, are loaded together.

use std::{mem, path::PathBuf, sync::Arc, time::Duration};

use tokio::{select, task::spawn_blocking, time::sleep};

use super::{
    load::{ConfigSource, FileFingerprints, LoadError, LoadOutcome, LoadRecord},
    reload::{ReloadSummary, Reloader},
};
use crate::{config::Loaded, disk, server::Hangups, telemetry::Reload};

/// The interval between checks of the files.
const LOOK_PAUSE: Duration = Duration::from_secs(1);
/// Files that change one after the other are loaded once, when none has changed for this long.
const SETTLE_PAUSE: Duration = Duration::from_millis(100);
/// How often that wait is repeated at most.
const SETTLE_TRIES_MAX: usize = 10;

/// Why the configuration is reloaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ReloadTrigger {
    Signal,
    Change,
}

#[derive(Debug)]
struct ConfigWatcher {
    reloader: Reloader,
    /// The last text that was applied.
    last_good: Option<String>,
    fingerprints: FileFingerprints,
    /// The notes that are already in the log.
    notes: Vec<String>,
    errors: Vec<String>,
}

impl Reloader {
    /// Reloads the configuration when a file of it changes and on SIGHUP, until the stop begins.
    /// `first` and `notes` are those of the running one.
    pub fn watch(
        &self,
        source: ConfigSource,
        first: LoadRecord,
        notes: Vec<String>,
        hangups: Hangups,
    ) {
        let watcher = ConfigWatcher {
            reloader: self.clone(),
            last_good: first.text,
            fingerprints: first.fingerprints,
            notes,
            errors: Vec::new(),
        };
        let work = watcher.run(source, hangups);
        drop(self.0.background.spawn("reload", work));
    }
}

impl ConfigWatcher {
    async fn run(mut self, source: ConfigSource, mut hangups: Hangups) {
        let stop = self.reloader.0.context.stop.clone();
        loop {
            let trigger = select! {
                () = stop.begun() => return,
                () = hangups.next() => ReloadTrigger::Signal,
                () = changed(&self.fingerprints) => ReloadTrigger::Change,
            };
            if self.fingerprints.is_empty() {
                tracing::info!("running without a configuration file: nothing to reload");
            } else {
                self.reload(&source, trigger).await;
            }
        }
    }

    async fn reload(&mut self, source: &ConfigSource, trigger: ReloadTrigger) {
        let Some(LoadOutcome { loaded, record }) = load(source, None).await else {
            return;
        };
        self.fingerprints = record.fingerprints;
        let loaded = match loaded {
            Ok(_) if is_emptied(self.last_good.as_deref(), record.text.as_deref()) => {
                Err(LoadError::Empty)
            }
            loaded => loaded,
        };
        match self.apply(loaded).await {
            Ok((summary, notes)) => {
                self.last_good = record.text;
                self.report_applied(&summary, notes);
            }
            Err(error) => {
                let mut errors = error.lines();
                if self.last_good != record.text {
                    let more = self.reload_last_good(source).await;
                    errors.extend(more.into_iter().flat_map(|error| error.lines()));
                }
                self.report_rejected(errors, trigger);
            }
        }
    }

    /// Reloads the last valid text with its current files: although the new text is invalid, a
    /// certificate or a password may have been renewed. Returns its error, if any.
    async fn reload_last_good(&mut self, source: &ConfigSource) -> Option<LoadError> {
        let good = self.last_good.clone()?;
        let LoadOutcome { loaded, record } = load(source, Some(good)).await?;
        for (path, fingerprint) in record.fingerprints {
            self.fingerprints.entry(path).or_insert(fingerprint);
        }
        match self.apply(loaded).await {
            Ok((summary, _notes)) if summary.is_any() => {
                summary.log("the last valid configuration was reloaded with its current files");
                None
            }
            Ok(_nothing) => None,
            Err(error) => Some(error),
        }
    }

    async fn apply(
        &self,
        loaded: Result<Loaded, LoadError>,
    ) -> Result<(ReloadSummary, Vec<String>), LoadError> {
        let Loaded { settings, notes } = loaded?;
        let summary = self
            .reloader
            .apply(settings)
            .await
            .map_err(LoadError::Start)?;
        Ok((summary, notes))
    }

    fn report_applied(&mut self, summary: &ReloadSummary, mut notes: Vec<String>) {
        self.reloader.0.metrics.reloaded(Reload::Applied);
        *self.reloader.0.last_error.lock() = None;
        summary.log("configuration reloaded");
        let restart_needed = summary.restart_needed.iter();
        notes.extend(restart_needed.map(|key| format!("{key}: takes effect at the next start")));
        for note in notes.iter().filter(|note| !self.notes.contains(note)) {
            tracing::warn!("{note}");
        }
        self.notes = notes;
        self.errors.clear();
    }

    fn report_rejected(&mut self, errors: Vec<String>, trigger: ReloadTrigger) {
        if trigger == ReloadTrigger::Change && errors == self.errors {
            return;
        }
        self.reloader.0.metrics.reloaded(Reload::Failed);
        for error in &errors {
            tracing::error!("{error}");
        }
        tracing::error!(
            problems = errors.len(),
            "the configuration was not reloaded; the last valid one stays in use"
        );
        let first = errors.first().map(|first| first.replace('\n', " "));
        let more = match errors.len() {
            0 | 1 => String::new(),
            several => format!(" (and {} more)", several - 1),
        };
        let line = first.unwrap_or_default() + &more;
        *self.reloader.0.last_error.lock() = Some(line.into());
        self.errors = errors;
    }
}

/// Whether a text has become blank.
fn is_emptied(before: Option<&str>, now: Option<&str>) -> bool {
    let is_blank = |text: &str| text.trim().is_empty();
    now.is_some_and(is_blank) && before.is_some_and(|text| !is_blank(text))
}

/// Waits until a file has changed, and then until none changes any more.
async fn changed(seen: &FileFingerprints) {
    let paths: Arc<[PathBuf]> = seen.keys().cloned().collect();
    loop {
        sleep(LOOK_PAUSE).await;
        let mut now = fingerprints(&paths).await;
        if now == *seen {
            continue;
        }
        for _try in 0..SETTLE_TRIES_MAX {
            sleep(SETTLE_PAUSE).await;
            let then = mem::replace(&mut now, fingerprints(&paths).await);
            if then == now {
                break;
            }
        }
        return;
    }
}

async fn fingerprints(paths: &Arc<[PathBuf]>) -> FileFingerprints {
    let paths = Arc::clone(paths);
    let looked = spawn_blocking(move || {
        let one = |path: &PathBuf| (path.clone(), disk::fingerprint(path));
        paths.iter().map(one).collect()
    });
    looked.await.unwrap_or_default()
}

/// Loads on the blocking pool; a panic there is a bug that must not end the watcher.
async fn load(source: &ConfigSource, text: Option<String>) -> Option<LoadOutcome> {
    let source = Arc::clone(source);
    let reading = spawn_blocking(move || source(text.as_deref())).await;
    reading
        .inspect_err(
            |error| tracing::error!(%error, "reading the configuration failed; this is a bug"),
        )
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_becomes_blank_only_once() {
        for (before, now, want) in [
            (Some("[log]"), Some(""), true),
            (Some("[log]"), Some(" \n\t"), true),
            (Some("[log]"), Some("#"), false),
            (Some(""), Some("\n"), false),
            (Some("[log]"), None, false),
            (None, Some(""), false),
        ] {
            assert_eq!(is_emptied(before, now), want, "{before:?} {now:?}");
        }
    }
}
