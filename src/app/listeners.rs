//! The mirror's listeners, which share one live configuration at a time.

use std::{
    collections::BTreeMap,
    future::{self, Future},
    io, mem,
    sync::{Arc, Weak},
};

use arc_swap::ArcSwap;
use futures_util::future::Either;
use http::{Response, request::Parts};
use tokio::task::JoinHandle;

use super::error::StartError;
use crate::{
    api::{Api, ApiError},
    config,
    pull::Puller,
    route::Ingress,
    server::{
        self, BadRequest, BoundListener, FailureResponses, ListenAddress, ListenerTls, LiveTls,
        RequestLimit, ServerContext, Stop,
    },
    wire::Body,
};

/// All listeners of the mirror.
#[derive(Debug)]
pub(super) struct Listeners {
    context: ServerContext,
    requests: RequestLimit,
    /// Each request loads it once, when it begins.
    live: Arc<ArcSwap<LiveConfig>>,
    open: Vec<OpenListener>,
    /// No longer configured; some of their connections are still open.
    closing: Vec<OpenListener>,
    /// How many have been opened so far; the last one's number.
    count: usize,
}

/// The part of the configuration that decides responses; replaced in one step.
#[derive(Debug)]
struct LiveConfig {
    puller: Puller,
    /// By the listener's number.
    apis: BTreeMap<usize, Api>,
}

#[derive(Debug)]
struct OpenListener {
    number: usize,
    /// As configured; the socket stays open while this does not change.
    configured: ListenAddress,
    /// With the actual port.
    address: ListenAddress,
    ingress: Ingress,
    tls: Option<ListenerTls>,
    live_tls: LiveTls,
    stop: Stop,
    /// Ends when the address is free; `None` before it accepts.
    accepting: Option<JoinHandle<Option<()>>>,
    /// Its number, which its connections hold: dead when the last one has ended.
    serving: Weak<usize>,
}

/// Listeners with bound addresses, ready to accept.
#[derive(Debug)]
pub(super) struct PreparedListeners(Vec<(config::ListenerSettings, ListenerSlot)>);

#[derive(Debug)]
enum ListenerSlot {
    /// An open listener's number.
    Existing(usize),
    New(BoundListener),
}

/// What `replace` changed.
#[derive(Debug, Default)]
pub(super) struct ListenerChanges {
    pub(super) added: usize,
    /// Kept, with other TLS settings.
    pub(super) tls_changed: usize,
    /// Each ends when its address is free.
    pub(super) removed: Vec<JoinHandle<Option<()>>>,
}

impl Listeners {
    /// No listeners yet.
    pub(super) fn new(context: ServerContext, puller: Puller) -> Self {
        let apis = BTreeMap::new();
        Self {
            requests: RequestLimit::new(context.settings.now().requests_max),
            context,
            live: Arc::new(ArcSwap::from_pointee(LiveConfig { puller, apis })),
            open: Vec::new(),
            closing: Vec::new(),
            count: 0,
        }
    }

    /// Their addresses, in the configuration's order, with actual ports.
    pub(super) fn addresses(&self) -> Vec<ListenAddress> {
        self.open.iter().map(|one| one.address.clone()).collect()
    }

    /// The current puller.
    pub(super) fn puller(&self) -> Puller {
        self.live.load().puller.clone()
    }

    /// Binds new addresses; changes nothing else.
    pub(super) fn prepare(
        &self,
        wanted: Vec<config::ListenerSettings>,
    ) -> Result<PreparedListeners, StartError> {
        PreparedListeners::new(&self.open, wanted)
    }

    /// Opens and closes listeners, so that exactly these are open, all with `puller`.
    pub(super) fn replace(
        &mut self,
        prepared: PreparedListeners,
        puller: &Puller,
    ) -> ListenerChanges {
        let mut changes = ListenerChanges::default();
        let mut before = mem::take(&mut self.open);
        let mut opening = Vec::new();
        for (wanted, slot) in prepared.0 {
            match slot {
                ListenerSlot::Existing(number) => {
                    for mut kept in before.extract_if(.., |one| one.number == number) {
                        changes.tls_changed += usize::from(kept.tls != wanted.tls);
                        kept.live_tls.set(wanted.tls.as_ref());
                        (kept.ingress, kept.tls) = (wanted.ingress.clone(), wanted.tls.clone());
                        self.open.push(kept);
                    }
                }
                ListenerSlot::New(bound) => {
                    changes.added += 1;
                    self.count += 1;
                    let listener = OpenListener::new(self.count, wanted, &bound, &self.context);
                    self.open.push(listener);
                    opening.push((self.count, bound));
                }
            }
        }
        self.closing.extend(before);
        self.closing.retain(|one| one.serving.strong_count() > 0);
        self.publish(puller);
        self.export_metrics();
        for (number, bound) in opening {
            let mut new = self.open.iter_mut();
            if let Some(new) = new.find(|one| one.number == number) {
                new.accept(bound, &self.context, &self.requests, &self.live);
            }
        }
        for listener in &mut self.closing {
            listener.stop.begin();
            changes.removed.extend(listener.accepting.take());
        }
        changes
    }

    /// Updates the metric of the certificates' expiry.
    fn export_metrics(&self) {
        let metrics = &self.context.metrics;
        for gone in &self.closing {
            metrics.certificate_expires(&metric_owner(gone), None);
        }
        for listener in &self.open {
            let tls = listener.tls.as_ref();
            let ends = tls.map(|tls| tls.identity().validity().not_after);
            metrics.certificate_expires(&metric_owner(listener), ends);
        }
    }

    /// Replaces the live configuration.
    fn publish(&self, puller: &Puller) {
        let api = |one: &OpenListener| {
            let (ingress, address) = (one.ingress.clone(), one.address.to_string());
            let metrics = Arc::clone(&self.context.metrics);
            (
                one.number,
                Api::new(puller.clone(), ingress, address, metrics),
            )
        };
        // A closing connection may have sent one more request.
        let apis = self.open.iter().chain(&self.closing).map(api).collect();
        self.live.store(Arc::new(LiveConfig {
            puller: puller.clone(),
            apis,
        }));
    }
}

impl PreparedListeners {
    /// For a start, without open listeners.
    pub(super) fn first(wanted: Vec<config::ListenerSettings>) -> Result<Self, StartError> {
        Self::new(&[], wanted)
    }

    fn new(
        held: &[OpenListener],
        wanted: Vec<config::ListenerSettings>,
    ) -> Result<Self, StartError> {
        let mut open: Vec<_> = held.iter().collect();
        let prepare = |listener: config::ListenerSettings| {
            let known = open
                .iter()
                .position(|one| one.configured == listener.address);
            let slot = match known {
                Some(index) => ListenerSlot::Existing(open.remove(index).number),
                None => ListenerSlot::New(bind_beside(held, &listener.address)?),
            };
            Ok((listener, slot))
        };
        wanted
            .into_iter()
            .map(prepare)
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

impl OpenListener {
    fn new(
        number: usize,
        wanted: config::ListenerSettings,
        bound: &BoundListener,
        context: &ServerContext,
    ) -> Self {
        Self {
            number,
            configured: wanted.address,
            address: bound.address().clone(),
            ingress: wanted.ingress,
            live_tls: LiveTls::new(wanted.tls.as_ref()),
            tls: wanted.tls,
            stop: context.stop.child(),
            accepting: None,
            serving: Weak::new(),
        }
    }

    /// Starts accepting; each request uses the live configuration of its beginning.
    fn accept(
        &mut self,
        bound: BoundListener,
        context: &ServerContext,
        requests: &RequestLimit,
        live: &Arc<ArcSwap<LiveConfig>>,
    ) {
        tracing::info!(address = %self.address, "listening");
        let number = Arc::new(self.number);
        self.serving = Arc::downgrade(&number);
        let live = Arc::clone(live);
        let answer = move |parts| match live.load().apis.get(&*number) {
            Some(api) => Either::Left(api.clone().answer(parts)),
            None => Either::Right(future::ready(ApiError::Shed.response())),
        };
        let context = ServerContext {
            stop: self.stop.clone(),
            ..context.clone()
        };
        self.accepting = Some(serve(
            bound,
            self.live_tls.clone(),
            &context,
            requests,
            answer,
        ));
    }
}

/// A listener's label in metrics.
fn metric_owner(listener: &OpenListener) -> String {
    format!("listener {}", listener.configured)
}

/// Binds an address beside those of open listeners. The error names an own listener on the port:
/// old listeners close only after the new ones are bound, so that a failed reload closes none.
fn bind_beside(
    held: &[OpenListener],
    address: &ListenAddress,
) -> Result<BoundListener, StartError> {
    bind(address).map_err(|error| match error {
        StartError::Listen { address, source } if source.kind() == io::ErrorKind::AddrInUse => {
            let ours = held.iter().find(|one| one.address.collides_with(&address));
            let source = ours.map_or(source, |ours| {
                io::Error::new(
                    io::ErrorKind::AddrInUse,
                    format!(
                        "our own listener on {} holds the port until it is closed; restart with \
                         this configuration, or choose another port",
                        ours.address
                    ),
                )
            });
            StartError::Listen { address, source }
        }
        error => error,
    })
}

/// Binds an address.
pub(super) fn bind(address: &ListenAddress) -> Result<BoundListener, StartError> {
    server::bind(address).map_err(|source| StartError::Listen {
        address: address.clone(),
        source,
    })
}

/// Wraps `answer` in the server's layers and starts accepting.
pub(super) fn serve<A, F>(
    bound: BoundListener,
    live_tls: LiveTls,
    context: &ServerContext,
    requests: &RequestLimit,
    answer: A,
) -> JoinHandle<Option<()>>
where
    A: Fn(Parts) -> F + Send + Sync + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    let metrics = Arc::clone(&context.metrics);
    let service = server::stack(answer, requests.clone(), failure_responses(), metrics);
    context
        .tasks
        .spawn("listener", bound.serve(context.clone(), live_tls, service))
}

/// Responses to the server's own failures, from the room that picks statuses.
fn failure_responses() -> FailureResponses {
    FailureResponses {
        panicked: || ApiError::Panicked.response(),
        shed: || ApiError::Shed.response(),
        bad_request: |why| {
            let text = match why {
                BadRequest::Body => "a GET or HEAD request must not have a body",
                BadRequest::Host => "a request must have exactly one Host header",
            };
            ApiError::Request(text).response()
        },
    }
}
