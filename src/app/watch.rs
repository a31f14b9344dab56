//! Sees that the configuration changed, has it read anew, and tells what came of it.
//!
//! There is one mechanism for all that may change: the configuration's file and every file that it
//! names, passwords and certificates too, are read together.

use std::{mem, path::PathBuf, sync::Arc, time::Duration};

use tokio::{select, task::spawn_blocking, time::sleep};

use super::{
    load::{ConfigSource, FileFingerprints, LoadError, LoadOutcome, LoadRecord},
    reload::{ReloadSummary, Reloader},
};
use crate::{config::Loaded, disk, server::Hangups, telemetry::Reload};

/// How often the files are looked at.
const LOOK_PAUSE: Duration = Duration::from_secs(1);
/// Files that change one after the other are read once, when none has changed for this long.
const SETTLE_PAUSE: Duration = Duration::from_millis(100);
/// But they are not waited for longer than this many times.
const SETTLE_TRIES_MAX: usize = 10;

/// Why the configuration is read anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ReloadTrigger {
    Signal,
    Change,
}

#[derive(Debug)]
struct ConfigWatcher {
    reloader: Reloader,
    /// The last text that was taken.
    last_good: Option<String>,
    fingerprints: FileFingerprints,
    /// What has been said of the configuration already.
    notes: Vec<String>,
    errors: Vec<String>,
}

impl Reloader {
    /// Reads the configuration anew whenever a file of it changes or somebody hangs up, until the
    /// stop begins. `first` and `notes` are what the running one left.
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
            let occasion = select! {
                () = stop.begun() => return,
                () = hangups.next() => ReloadTrigger::Signal,
                () = changed(&self.fingerprints) => ReloadTrigger::Change,
            };
            if self.fingerprints.is_empty() {
                tracing::info!("no configuration file was named, so there is nothing to read anew");
            } else {
                self.reload(&source, occasion).await;
            }
        }
    }

    async fn reload(&mut self, source: &ConfigSource, occasion: ReloadTrigger) {
        let Some(LoadOutcome {
            loaded,
            record: traces,
        }) = load(source, None).await
        else {
            return;
        };
        self.fingerprints = traces.fingerprints;
        let loaded = match loaded {
            Ok(_) if is_emptied(self.last_good.as_deref(), traces.text.as_deref()) => {
                Err(LoadError::Empty)
            }
            loaded => loaded,
        };
        match self.apply(loaded).await {
            Ok((change, notes)) => {
                self.last_good = traces.text;
                self.report_applied(&change, notes);
            }
            Err(unfit) => {
                let mut complaints = unfit.lines();
                if self.last_good != traces.text {
                    let more = self.reload_last_good(source).await;
                    complaints.extend(more.into_iter().flat_map(|unfit| unfit.lines()));
                }
                self.report_rejected(complaints, occasion);
            }
        }
    }

    /// Whatever is wrong with the new text, a certificate or a password may have been renewed: reads
    /// the last text that held, with its files as they are now. What is wrong with that, if anything.
    async fn reload_last_good(&mut self, source: &ConfigSource) -> Option<LoadError> {
        let good = self.last_good.clone()?;
        let LoadOutcome {
            loaded,
            record: traces,
        } = load(source, Some(good)).await?;
        for (path, fingerprint) in traces.fingerprints {
            self.fingerprints.entry(path).or_insert(fingerprint);
        }
        match self.apply(loaded).await {
            Ok((change, _notes)) if change.is_any() => {
                change.log(
                    "the last configuration that held was read with its files as they are now",
                );
                None
            }
            Ok(_nothing) => None,
            Err(unfit) => Some(unfit),
        }
    }

    async fn apply(
        &self,
        loaded: Result<Loaded, LoadError>,
    ) -> Result<(ReloadSummary, Vec<String>), LoadError> {
        let Loaded { settings, notes } = loaded?;
        let change = self
            .reloader
            .apply(settings)
            .await
            .map_err(LoadError::Start)?;
        Ok((change, notes))
    }

    fn report_applied(&mut self, change: &ReloadSummary, mut notes: Vec<String>) {
        self.reloader.0.metrics.reloaded(Reload::Applied);
        *self.reloader.0.last_error.lock() = None;
        change.log("configuration reloaded");
        let later = change.restart_needed.iter();
        notes.extend(later.map(|key| format!("{key}: takes effect at the next start")));
        for note in notes.iter().filter(|note| !self.notes.contains(note)) {
            tracing::warn!("{note}");
        }
        self.notes = notes;
        self.errors.clear();
    }

    fn report_rejected(&mut self, complaints: Vec<String>, occasion: ReloadTrigger) {
        if occasion == ReloadTrigger::Change && complaints == self.errors {
            return;
        }
        self.reloader.0.metrics.reloaded(Reload::Failed);
        for complaint in &complaints {
            tracing::error!("{complaint}");
        }
        tracing::error!(
            problems = complaints.len(),
            "the configuration was not reloaded; the last one that held stays"
        );
        let first = complaints.first().map(|first| first.replace('\n', " "));
        let more = match complaints.len() {
            0 | 1 => String::new(),
            several => format!(" (and {} more)", several - 1),
        };
        let line = first.unwrap_or_default() + &more;
        *self.reloader.0.last_error.lock() = Some(line.into());
        self.errors = complaints;
    }
}

/// Whether a text is gone that was there.
fn is_emptied(before: Option<&str>, now: Option<&str>) -> bool {
    let is_blank = |text: &str| text.trim().is_empty();
    now.is_some_and(is_blank) && before.is_some_and(|text| !is_blank(text))
}

/// Waits until a file is no longer what it was, and all of them rest.
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

/// Reads on the blocking pool; a panic there is a bug that must not end the watching.
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
    fn only_who_had_a_text_can_lose_it() {
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
