//! A running mirror takes another configuration, in one step or not at all.

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

/// How long a listener that is no longer configured may take to free its address.
const RELEASE_MAX: Duration = Duration::from_secs(1);

/// Gives a running mirror new settings; clones are the same mirror's.
#[derive(Clone, Debug)]
pub struct Reloader(pub(super) Arc<AppState>);

/// What of a running mirror a reload may change, and what it needs for that.
#[derive(Debug)]
pub(super) struct AppState {
    pub(super) listeners: Mutex<Listeners>,
    /// What the listeners share.
    pub(super) context: ServerContext,
    pub(super) store: Store,
    pub(super) restart_only: RestartOnly,
    /// What runs beside requests.
    pub(super) background: Tasks,
    pub(super) metrics: Arc<Metrics>,
    pub(super) last_error: LastReloadError,
}

/// Why the configuration on disk is not the one in use, in one line; none: it is.
pub(super) type LastReloadError = Arc<Mutex<Option<Arc<str>>>>;

/// What a reload changed, in kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReloadSummary {
    /// Addresses that we did not listen on before.
    pub listeners_added: usize,
    /// Addresses that we no longer listen on.
    pub listeners_removed: usize,
    /// Kept ones with another certificate or other authorities.
    pub listeners_changed: usize,
    /// Configured upstreams that there were not before.
    pub upstreams_new: usize,
    /// Those with other settings, a login's new password included; they connect anew.
    pub upstreams_changed: usize,
    /// Those that are no longer configured.
    pub upstreams_gone: usize,
    /// How many routes there are now.
    pub routes: usize,
    /// The keys that differ from what the process was started with, and wait for its next start.
    pub restart_needed: Vec<&'static str>,
}

/// What only a start can change.
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
    /// Takes new settings. New addresses are bound first; then everything is swapped in one step
    /// that each request sees wholly or not at all. Requests that run finish under the old settings.
    ///
    /// # Errors
    /// See [`StartError`]; nothing has changed then.
    pub async fn apply(&self, settings: Settings) -> Result<ReloadSummary, StartError> {
        let house = &*self.0;
        let (server, store, log) = (settings.server, settings.store.clone(), settings.log);
        let (change, removed) = house.swap(settings)?;
        house.context.settings.set(server);
        house.context.stop.set_grace(server.grace);
        log::apply(&log);
        house.store.set_bounds(&store).await;
        for listener in removed {
            // Late or not, it accepts nobody who is not in the kernel's queue already.
            let _late = timeout(RELEASE_MAX, listener).await.is_err();
        }
        Ok(change)
    }

    /// Where the mirror listens now, in the configuration's order, with real ports.
    pub fn mirrors(&self) -> Vec<ListenAddress> {
        self.0.listeners.lock().addresses()
    }
}

impl AppState {
    /// The swap itself. Whoever else comes with new settings meanwhile waits, which takes no longer
    /// than preparing clients and binding addresses does.
    fn swap(&self, settings: Settings) -> Result<(ReloadSummary, ClosingListeners), StartError> {
        let later = self.restart_only.differing(&settings);
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
        let turned = listeners.replace(prepared, &puller);
        let change = ReloadSummary {
            listeners_added: turned.added,
            listeners_removed: turned.removed.len(),
            listeners_changed: turned.tls_changed,
            upstreams_new: new,
            upstreams_changed: changed,
            upstreams_gone: gone,
            routes,
            restart_needed: later,
        };
        Ok((change, turned.removed))
    }
}

/// Listeners that are closing.
type ClosingListeners = Vec<tokio::task::JoinHandle<Option<()>>>;

impl ReloadSummary {
    /// Whether anything is other than before, but the number of routes.
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
    /// What this start decides.
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

    /// The keys whose values are other ones now.
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
