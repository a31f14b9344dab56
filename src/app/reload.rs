//! Applies a configuration to a running mirror, in one step or not at all.

use std::{path::PathBuf, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::time::timeout;

use super::{error::StartError, listeners::Listeners};
use crate::{
    config::Settings,
    pull::UpstreamDirectory,
    server::{ListenAddress, ServerContext},
    store::Store,
    tasks::Tasks,
    telemetry::{Metrics, log},
};

/// How long a removed listener may take to free its address.
const RELEASE_MAX: Duration = Duration::from_secs(1);

/// Applies new settings to a running mirror; clones refer to the same one.
#[derive(Clone, Debug)]
pub struct Reloader(pub(super) Arc<AppState>);

/// The state of a running mirror that a reload changes or needs.
#[derive(Debug)]
pub(super) struct AppState {
    pub(super) listeners: Mutex<Listeners>,
    /// Shared by the listeners.
    pub(super) context: ServerContext,
    pub(super) store: Store,
    pub(super) restart_only: RestartOnly,
    /// Tasks that do not belong to a request.
    pub(super) background: Tasks,
    pub(super) metrics: Arc<Metrics>,
    pub(super) last_error: LastReloadError,
}

/// Why the configuration on disk is not in use, in one line; `None`: it is.
pub(super) type LastReloadError = Arc<Mutex<Option<Arc<str>>>>;

/// What a reload changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReloadSummary {
    /// Listeners that were opened.
    pub listeners_added: usize,
    /// Listeners that were closed.
    pub listeners_removed: usize,
    /// Open listeners with another certificate or other authorities.
    pub listeners_changed: usize,
    /// Configured upstreams that are new.
    pub upstreams_new: usize,
    /// Upstreams with other settings or a new password; they reconnect.
    pub upstreams_changed: usize,
    /// Upstreams that are not configured any more.
    pub upstreams_gone: usize,
    /// The number of routes now.
    pub routes: usize,
    /// The keys that differ from those at the process's start; they take effect at the next one.
    pub restart_needed: Vec<&'static str>,
}

/// The settings that take effect at a start only.
#[derive(Debug)]
pub(super) struct RestartOnly {
    store: PathBuf,
    admin: ListenAddress,
    format: log::LogFormat,
    connections_max: usize,
    requests_max: usize,
    small_bodies_max: u64,
}

impl Reloader {
    /// Applies new settings. New addresses are bound first; then everything is swapped in one step,
    /// which each request sees as a whole or not at all. Running requests finish under the old ones.
    ///
    /// # Errors
    /// See [`StartError`]; nothing has changed then.
    pub async fn apply(&self, settings: Settings) -> Result<ReloadSummary, StartError> {
        let state = &*self.0;
        let (server, store, log) = (settings.server, settings.store.clone(), settings.log);
        let (summary, removed) = state.swap(settings)?;
        state.context.settings.set(server);
        state.context.stop.set_grace(server.grace);
        log::apply(&log);
        state.store.set_bounds(&store).await;
        for listener in removed {
            // Even if it is late, it accepts only connections of the kernel's queue.
            let _late = timeout(RELEASE_MAX, listener).await.is_err();
        }
        Ok(summary)
    }

    /// The mirror's current addresses, in the configuration's order, with actual ports.
    pub fn mirrors(&self) -> Vec<ListenAddress> {
        self.0.listeners.lock().addresses()
    }
}

impl AppState {
    /// The swap itself. A concurrent reload waits, at most until clients are prepared and addresses
    /// bound.
    fn swap(&self, settings: Settings) -> Result<(ReloadSummary, ClosingListeners), StartError> {
        let restart_needed = self.restart_only.differing(&settings);
        let routes = settings.table.routes();
        let mut listeners = self.listeners.lock();
        let old = listeners.puller();
        let prepared = listeners.prepare(settings.listeners)?;
        let directory = UpstreamDirectory::new(
            settings.upstreams,
            settings.upstream_defaults,
            Arc::clone(&self.metrics),
            Some(old.directory()),
        )?;
        let (new, changed, gone) = directory.changes_since(old.directory());
        let puller = old.reconfigured(settings.pull, settings.table, directory);
        let replaced = listeners.replace(prepared, &puller);
        let summary = ReloadSummary {
            listeners_added: replaced.added,
            listeners_removed: replaced.removed.len(),
            listeners_changed: replaced.tls_changed,
            upstreams_new: new,
            upstreams_changed: changed,
            upstreams_gone: gone,
            routes,
            restart_needed,
        };
        Ok((summary, replaced.removed))
    }
}

/// Listeners that are closing.
type ClosingListeners = Vec<tokio::task::JoinHandle<Option<()>>>;

impl ReloadSummary {
    /// Whether anything changed, apart from the number of routes.
    pub(super) fn is_any(&self) -> bool {
        let same = Self {
            routes: self.routes,
            restart_needed: self.restart_needed.clone(),
            ..Self::default()
        };
        *self != same
    }

    /// Writes it to the log.
    pub(super) fn log(&self, title: &'static str) {
        tracing::info!(
            listeners_added = self.listeners_added,
            listeners_removed = self.listeners_removed,
            listeners_changed = self.listeners_changed,
            upstreams_new = self.upstreams_new,
            upstreams_changed = self.upstreams_changed,
            upstreams_gone = self.upstreams_gone,
            routes = self.routes,
            "{title}"
        );
    }
}

impl RestartOnly {
    /// The values of `settings`.
    pub(super) fn of(settings: &Settings) -> Self {
        Self {
            store: settings.store.path.clone(),
            admin: settings.admin.clone(),
            format: settings.log.format,
            connections_max: settings.server.connections_max,
            requests_max: settings.server.requests_max,
            small_bodies_max: settings.store.small_bodies_max,
        }
    }

    /// The keys whose values differ.
    fn differing(&self, settings: &Settings) -> Vec<&'static str> {
        let new = Self::of(settings);
        let keys = [
            ("store.path", self.store == new.store),
            ("admin.listen", self.admin == new.admin),
            ("log.format", self.format == new.format),
            (
                "limits.connections_max",
                self.connections_max == new.connections_max,
            ),
            ("limits.requests_max", self.requests_max == new.requests_max),
            (
                "limits.small_bodies_max",
                self.small_bodies_max == new.small_bodies_max,
            ),
        ];
        let differing = keys.into_iter().filter(|(_key, is_same)| !is_same);
        differing.map(|(key, _is_same)| key).collect()
    }
}
