//! Wires the rooms together; the only room that knows them all.
//!
//! Promises: everything that was started is stopped, in an order that loses no data. Called by the
//! command line and by tests. Never takes a room's decision.

mod error;
mod listeners;
mod load;
mod reload;
mod watch;

use std::{sync::Arc, time::Duration};

use http::request::Parts;
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
        BoundListener, ConnectionLimit, ListenAddress, LiveSettings, LiveTls, RequestLimit,
        ServerContext, Stop,
    },
    store::Store,
    tasks::Tasks,
    telemetry::Metrics,
};

/// How long connections may take to close after the last response.
const CLOSING_MAX: Duration = Duration::from_secs(5);

/// How long fetches without a waiting client may take to end by themselves.
const FETCHES_END_MAX: Duration = Duration::from_millis(500);

/// A running mirror.
#[derive(Debug)]
pub struct RunningMirror {
    admin: ListenAddress,
    /// Fetches, which do not belong to a connection.
    pull_tasks: Tasks,
    /// The context of probes and metrics, which answer until everything else has ended.
    admin_context: ServerContext,
    reloader: Reloader,
}

/// Starts a mirror with these settings, on the files of `disk`.
///
/// # Errors
/// See [`StartError`]; nothing is left running then.
pub async fn start(settings: Settings, disk: Arc<dyn Disk>) -> Result<RunningMirror, StartError> {
    let metrics = Metrics::new().map_err(|error| StartError::Metrics(Box::new(error)))?;
    let metrics = Arc::new(metrics);
    let tasks = || Tasks::new(Arc::clone(&metrics));
    let (pulls, background) = (tasks(), tasks());
    let restart_only = RestartOnly::of(&settings);
    let control = ListenAddress::Unix(settings.store.path.join("control.sock"));
    let live = LiveSettings::new(settings.server);
    let context = server_context(&live, &metrics);
    let admin_context = server_context(&live, &metrics);
    // Addresses first: a second process must fail before it changes anything.
    let admin = bind(&settings.admin)?;
    let prepared = PreparedListeners::first(settings.listeners)?;

    let store = Store::open(
        settings.store,
        disk,
        background.clone(),
        Arc::clone(&metrics),
    )
    .await?;
    let directory = UpstreamDirectory::new(
        settings.upstreams,
        settings.upstream_defaults,
        Arc::clone(&metrics),
        None,
    )?;
    // A start makes a new instance; a reload does not.
    let instance = Instance::new(getrandom::u64().map_err(StartError::Random)?);
    let puller = Puller::new(
        settings.pull,
        settings.table,
        directory,
        store.clone(),
        instance,
        pulls.clone(),
        Arc::clone(&metrics),
    );
    let control = bind(&control)?;

    let mut listeners = Listeners::new(context.clone(), puller.clone());
    let _all_added = listeners.replace(prepared, &puller);
    serve_control(control, &context, &store);
    let admin_address = admin.address().clone();
    tracing::info!(address = %admin_address, "probes and metrics");
    let last_error = LastReloadError::default();
    let status = probe_status(&context.stop, &last_error);
    serve_admin(
        admin,
        &admin_context,
        Admin::new(status, Arc::clone(&metrics)),
    );
    metrics.configuration_loaded();
    let listeners = Mutex::new(listeners);
    Ok(RunningMirror {
        admin: admin_address,
        pull_tasks: pulls,
        admin_context,
        reloader: Reloader(Arc::new(AppState {
            listeners,
            context,
            store,
            restart_only,
            background,
            metrics,
            last_error,
        })),
    })
}

impl RunningMirror {
    /// The mirror's addresses, in the configuration's order, with actual ports.
    pub fn mirrors(&self) -> Vec<ListenAddress> {
        self.reloader.mirrors()
    }

    /// The address of probes and metrics.
    pub fn admin(&self) -> &ListenAddress {
        &self.admin
    }

    /// The store.
    pub fn store(&self) -> &Store {
        &self.reloader.0.store
    }

    /// Begins and ends the stop.
    pub fn stop(&self) -> &Stop {
        &self.reloader.0.context.stop
    }

    /// Applies new settings.
    pub fn reloader(&self) -> &Reloader {
        &self.reloader
    }

    /// Waits for the stop, lets running responses finish, and closes the store.
    pub async fn finish(self) {
        self.stop().draining().await;
        self.drain().await;
        // A fill without a waiting client ends here, unless it is almost done: a later fetch
        // resumes what it has written.
        if !self.pull_tasks.wait(FETCHES_END_MAX).await {
            end_tasks(&self.pull_tasks).await;
        }
        self.store().close().await;
        end_tasks(&self.reloader.0.background).await;
        self.admin_context.stop.end();
        tracing::info!("stopped");
    }

    /// Waits for running responses, at most until the deadline.
    async fn drain(&self) {
        let context = &self.reloader.0.context;
        let drain_max = context.settings.now().drain_max;
        let left = tokio::select! {
            _ended = context.tasks.wait(drain_max + CLOSING_MAX) => context.tasks.running(),
            () = context.stop.ended() => context.tasks.running(),
        };
        if left > 0 {
            tracing::warn!(left, "stopped before all connections had ended");
        }
    }
}

/// Serves the store's socket, which shares the mirror's connection limit.
fn serve_control(bound: BoundListener, context: &ServerContext, store: &Store) {
    let control = Control::new(store.clone());
    let requests = RequestLimit::new(context.settings.now().requests_max);
    let answer = move |parts| {
        let control = control.clone();
        async move { control.answer(parts).await }
    };
    drop(serve(bound, LiveTls::default(), context, &requests, answer));
}

/// Serves probes and metrics.
fn serve_admin(bound: BoundListener, context: &ServerContext, admin: Admin) {
    let requests = RequestLimit::new(context.settings.now().requests_max);
    let answer = move |parts: Parts| std::future::ready(admin.answer(&parts));
    drop(serve(bound, LiveTls::default(), context, &requests, answer));
}

/// The status for probes: ready until the stop begins.
fn probe_status(
    stop: &Stop,
    last_error: &LastReloadError,
) -> impl Fn() -> ProbeStatus + Clone + Send + Sync + 'static {
    let (stop, last_error) = (stop.clone(), Arc::clone(last_error));
    move || ProbeStatus {
        readiness: if stop.has_begun() {
            Readiness::Draining
        } else {
            Readiness::Ready
        },
        reload_error: last_error.lock().clone(),
    }
}

/// Ends the remaining tasks.
async fn end_tasks(tasks: &Tasks) {
    tasks.end();
    tasks.wait(CLOSING_MAX).await;
}

/// The context of a group of listeners; each group has its own limit and its own end.
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
