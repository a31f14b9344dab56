//! Wires the rooms together; the only place that knows them all.
//!
//! Promises: what has started stops completely, in the order that loses nothing. Called by the
//! command line and by tests. Never decides anything that a room could decide.

mod error;
mod listeners;
mod load;
mod reload;
mod watch;

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;

pub use self::{
    error::StartError,
    load::{ConfigSource, FileFingerprints, LoadError, LoadOutcome, LoadRecord},
    reload::{ReloadSummary, Reloader},
};
use self::{
    listeners::{Listeners, PreparedListeners, bind, serve},
    reload::{AppState, LastReloadError, RestartOnly},
};
use crate::{
    admin::{Admin, ProbeStatus, Readiness},
    config::Settings,
    control::Control,
    disk::Disk,
    oci::Instance,
    pull::{Puller, UpstreamDirectory},
    server::{
        ConnectionLimit, ListenAddress, LiveSettings, LiveTls, RequestLimit, ServerContext, Stop,
    },
    store::Store,
    tasks::Tasks,
    telemetry::Metrics,
};

/// How long connections may take to close after the last answer.
const CLOSING_MAX: Duration = Duration::from_secs(5);

/// How long fetches that nobody waits for may take to end by themselves.
const FETCHES_END_MAX: Duration = Duration::from_millis(500);

/// A running mirror.
#[derive(Debug)]
pub struct RunningMirror {
    admin: ListenAddress,
    /// Fetches that belong to nobody's connection.
    pull_tasks: Tasks,
    /// What the probes and metrics share; they answer until all else has ended.
    admin_context: ServerContext,
    reloader: Reloader,
}

/// Starts everything that the settings name, with the files of `disk`.
///
/// # Errors
/// See [`StartError`]; nothing is left running then.
pub async fn start(settings: Settings, disk: Arc<dyn Disk>) -> Result<RunningMirror, StartError> {
    let metrics = Metrics::new().map_err(|error| StartError::Metrics(Box::new(error)))?;
    let metrics = Arc::new(metrics);
    let tasks = || Tasks::new(Arc::clone(&metrics));
    let (pulls, chores) = (tasks(), tasks());
    let fixed = RestartOnly::of(&settings);
    let control = ListenAddress::Unix(settings.store.path.join("control.sock"));
    let live = LiveSettings::new(settings.server);
    let doors = server_context(&live, &metrics);
    let probes = server_context(&live, &metrics);
    // Addresses first: a second copy of us must fail before it touches anything.
    let admin = bind(&settings.admin)?;
    let prepared = PreparedListeners::first(settings.listeners)?;

    let store = Store::open(settings.store, disk, chores.clone(), Arc::clone(&metrics)).await?;
    let directory = UpstreamDirectory::new(
        settings.upstreams,
        settings.upstream_defaults,
        Arc::clone(&metrics),
        None,
    )?;
    // Another start is another instance; a reload is not.
    let instance = Instance::new(getrandom::u64().map_err(StartError::Random)?);
    let puller = Puller::new(
        settings.pull,
        settings.table,
        directory,
        store.clone(),
        (instance, pulls.clone(), Arc::clone(&metrics)),
    );
    let control = bind(&control)?;

    let mut listeners = Listeners::new(doors.clone(), puller.clone());
    let _all_added = listeners.replace(prepared, &puller);
    let answers = Control::new(store.clone());
    let own = || RequestLimit::new(live.now().requests_max);
    drop(serve(
        control,
        LiveTls::default(),
        &doors,
        &own(),
        move |parts| {
            let answers = answers.clone();
            async move { answers.answer(parts).await }
        },
    ));
    let admin_address = admin.address().clone();
    tracing::info!(address = %admin_address, "probes and metrics");
    let refused = LastReloadError::default();
    let answers = Admin::new(probe_status(&doors.stop, &refused), Arc::clone(&metrics));
    drop(serve(
        admin,
        LiveTls::default(),
        &probes,
        &own(),
        move |parts| std::future::ready(answers.answer(&parts)),
    ));
    metrics.configuration_loaded();
    let listeners = Mutex::new(listeners);
    Ok(RunningMirror {
        admin: admin_address,
        pull_tasks: pulls,
        admin_context: probes,
        reloader: Reloader(Arc::new(AppState {
            listeners,
            context: doors,
            store,
            restart_only: fixed,
            background: chores,
            metrics,
            last_error: refused,
        })),
    })
}

impl RunningMirror {
    /// Where the mirror listens, in the configuration's order, with real ports.
    pub fn mirrors(&self) -> Vec<ListenAddress> {
        self.reloader.mirrors()
    }

    /// Where the probes and metrics are.
    pub fn admin(&self) -> &ListenAddress {
        &self.admin
    }

    /// What is kept.
    pub fn store(&self) -> &Store {
        &self.reloader.0.store
    }

    /// What begins and ends the stop.
    pub fn stop(&self) -> &Stop {
        &self.reloader.0.context.stop
    }

    /// What gives it new settings.
    pub fn reloader(&self) -> &Reloader {
        &self.reloader
    }

    /// Waits for the stop, lets running answers finish, and closes the store.
    pub async fn finish(self) {
        self.stop().draining().await;
        self.drain().await;
        // A fill that nobody waits for stops here, unless it is about to end: what it has written
        // is resumed some day.
        if !self.pull_tasks.wait(FETCHES_END_MAX).await {
            end_tasks(&self.pull_tasks).await;
        }
        self.store().close().await;
        end_tasks(&self.reloader.0.background).await;
        self.admin_context.stop.end();
        tracing::info!("stopped");
    }

    /// Waits for the running answers, until they have ended or must.
    async fn drain(&self) {
        let doors = &self.reloader.0.context;
        let drain_max = doors.settings.now().drain_max;
        let left = tokio::select! {
            _ended = doors.tasks.wait(drain_max + CLOSING_MAX) => doors.tasks.running(),
            () = doors.stop.ended() => doors.tasks.running(),
        };
        if left > 0 {
            tracing::warn!(left, "stopped before all connections had ended");
        }
    }
}

/// What the probes are told of us: we are ready until the stop begins.
fn probe_status(
    stop: &Stop,
    refused: &LastReloadError,
) -> impl Fn() -> ProbeStatus + Clone + Send + Sync + 'static {
    let (stop, refused) = (stop.clone(), Arc::clone(refused));
    move || ProbeStatus {
        readiness: if stop.has_begun() {
            Readiness::Draining
        } else {
            Readiness::Ready
        },
        reload_error: refused.lock().clone(),
    }
}

/// Ends what is left of some tasks.
async fn end_tasks(tasks: &Tasks) {
    tasks.end();
    tasks.wait(CLOSING_MAX).await;
}

/// What a group of listeners shares; each group has its own limit and its own end.
fn server_context(settings: &LiveSettings, metrics: &Arc<Metrics>) -> ServerContext {
    let now = settings.now();
    ServerContext {
        connections: ConnectionLimit::new(now.connections_max),
        settings: settings.clone(),
        stop: Stop::new(now.grace),
        tasks: Tasks::new(Arc::clone(metrics)),
        metrics: Arc::clone(metrics),
    }
}
