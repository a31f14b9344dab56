//! Wires the rooms together; the only place that knows them all.
//!
//! Promises: what has started stops completely, in the order that loses nothing. Called by the
//! command line and by tests. Never decides anything that a room could decide.

use std::{future::Future, io, sync::Arc, time::Duration};

use http::{Response, request::Parts};
use thiserror::Error;

use crate::{
    admin::{Admin, Readiness},
    api::{Api, ApiError},
    config::Settings,
    control::Control,
    disk::Disk,
    pull::{Directory, Puller},
    server::{self, Address, BadRequest, Bound, ConnectionLimit, Failures, Shared, Stop},
    store::{Store, StoreError},
    tasks::Tasks,
    telemetry::Metrics,
    upstream::BuildError,
    wire::Body,
};

/// How long connections may take to close after the last answer.
const CLOSING_MAX: Duration = Duration::from_secs(5);

/// How long fetches that nobody waits for may take to end by themselves.
const LANDING_MAX: Duration = Duration::from_millis(500);

/// A running mirror.
#[derive(Debug)]
pub struct Running {
    mirrors: Vec<Address>,
    admin: Address,
    store: Store,
    /// Fetches that belong to nobody's connection.
    pulls: Tasks,
    /// What the store does beside requests.
    chores: Tasks,
    /// What the mirror's listeners share; its tasks are connections only.
    doors: Shared,
    /// The same for probes and metrics, which answer until all else has ended.
    probes: Shared,
}

/// Why a mirror does not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// An address is taken, or not ours to take.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: Address,
        /// The system's word.
        source: io::Error,
    },
    /// The store's folder cannot be used.
    #[error("cannot use the store")]
    Store(#[from] StoreError),
    /// An upstream's client cannot be built.
    #[error("cannot use an upstream")]
    Upstream(#[from] BuildError),
    /// A metric stands twice: a bug.
    #[error("cannot register the metrics")]
    Metrics(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Starts everything that the settings name, with the files of `disk`.
///
/// # Errors
/// See [`StartError`]; nothing is left running then.
pub async fn start(settings: Settings, disk: Arc<dyn Disk>) -> Result<Running, StartError> {
    let metrics = Metrics::new().map_err(|error| StartError::Metrics(Box::new(error)))?;
    let metrics = Arc::new(metrics);
    let (pulls, chores) = (
        Tasks::new(Arc::clone(&metrics)),
        Tasks::new(Arc::clone(&metrics)),
    );
    // Addresses first: a second copy of us must fail before it touches anything.
    let admin = bind(&settings.admin)?;
    let bound = settings.listeners.iter().map(|one| bind(&one.address));
    let bound = bound.collect::<Result<Vec<_>, _>>()?;

    let control = settings.store.path.join("control.sock");
    let store = Store::open(settings.store, disk, chores.clone(), Arc::clone(&metrics)).await?;
    let defaults = settings.upstream_defaults;
    let directory = Directory::new(settings.upstreams, defaults, Arc::clone(&metrics))?;
    let world = (pulls.clone(), Arc::clone(&metrics));
    let puller = Puller::new(
        settings.pull,
        settings.table,
        directory,
        store.clone(),
        world,
    );
    let control = bind(&Address::Unix(control))?;

    let doors = share(settings.server, &metrics);
    let probes = share(settings.server, &metrics);
    let mut mirrors = Vec::new();
    for (bound, listener) in bound.into_iter().zip(settings.listeners) {
        let address = bound.address().clone();
        tracing::info!(%address, "listening");
        let api = Api::new(
            puller.clone(),
            listener.ingress,
            address.to_string(),
            Arc::clone(&metrics),
        );
        serve(bound, &doors, move |parts| {
            let api = api.clone();
            async move { api.answer(parts).await }
        });
        mirrors.push(address);
    }
    let answers = Control::new(store.clone());
    serve(control, &doors, move |parts| {
        let answers = answers.clone();
        async move { answers.answer(parts).await }
    });
    let admin_address = admin.address().clone();
    tracing::info!(address = %admin_address, "probes and metrics");
    let stop = doors.stop.clone();
    let ready = move || {
        if stop.has_begun() {
            Readiness::Draining
        } else {
            Readiness::Ready
        }
    };
    let answers = Admin::new(ready, metrics);
    serve(admin, &probes, move |parts| {
        std::future::ready(answers.answer(&parts))
    });
    Ok(Running {
        mirrors,
        admin: admin_address,
        store,
        pulls,
        chores,
        doors,
        probes,
    })
}

impl Running {
    /// Where the mirror listens, in the configuration's order, with real ports.
    pub fn mirrors(&self) -> &[Address] {
        &self.mirrors
    }

    /// Where the probes and metrics are.
    pub fn admin(&self) -> &Address {
        &self.admin
    }

    /// What is kept.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// What begins and ends the stop.
    pub fn stop(&self) -> &Stop {
        &self.doors.stop
    }

    /// Waits for the stop, lets running answers finish, and closes the store.
    pub async fn finish(self) {
        self.doors.stop.draining().await;
        self.drain().await;
        // A fill that nobody waits for stops here, unless it is about to end: what it has written
        // is resumed some day.
        if !self.pulls.wait(LANDING_MAX).await {
            end(&self.pulls).await;
        }
        self.store.close().await;
        end(&self.chores).await;
        self.probes.stop.end();
        tracing::info!("stopped");
    }

    /// Waits for the running answers, until they have ended or must.
    async fn drain(&self) {
        let Shared {
            settings,
            stop,
            tasks,
            ..
        } = &self.doors;
        let left = tokio::select! {
            _ended = tasks.wait(settings.drain_max + CLOSING_MAX) => tasks.running(),
            () = stop.ended() => tasks.running(),
        };
        if left > 0 {
            tracing::warn!(left, "stopped before all connections had ended");
        }
    }
}

/// Ends what is left of some tasks.
async fn end(tasks: &Tasks) {
    tasks.end();
    tasks.wait(CLOSING_MAX).await;
}

/// What a group of listeners shares; each has its own limit and its own end.
fn share(settings: server::Settings, metrics: &Arc<Metrics>) -> Shared {
    Shared {
        connections: ConnectionLimit::new(settings.connections_max),
        settings,
        stop: Stop::new(settings.grace),
        tasks: Tasks::new(Arc::clone(metrics)),
        metrics: Arc::clone(metrics),
    }
}

fn bind(address: &Address) -> Result<Bound, StartError> {
    server::bind(address).map_err(|source| StartError::Listen {
        address: address.clone(),
        source,
    })
}

/// Puts the stack around what answers, and lets it accept.
fn serve<A, F>(bound: Bound, shared: &Shared, answer: A)
where
    A: Fn(Parts) -> F + Clone + Send + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    let requests_max = shared.settings.requests_max;
    let metrics = Arc::clone(&shared.metrics);
    let service = server::stack(answer, requests_max, failures(), metrics);
    drop(
        shared
            .tasks
            .spawn("listener", bound.serve(shared.clone(), service)),
    );
}

/// The server's own failures are answered by the room that picks statuses.
fn failures() -> Failures {
    Failures {
        panicked: || ApiError::Panicked.response(),
        shed: || ApiError::Shed.response(),
        bad_request: |why| {
            let text = match why {
                BadRequest::Body => "a GET or HEAD request carries no body here",
                BadRequest::Host => "a request names exactly one Host",
            };
            ApiError::Request(text).response()
        },
    }
}
