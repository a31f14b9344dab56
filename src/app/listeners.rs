//! The mirror's listeners, and what they answer with: one world at a time.

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
    /// What every request looks at once, when it begins.
    live: Arc<ArcSwap<LiveConfig>>,
    open: Vec<OpenListener>,
    /// No longer configured; connections of theirs still end.
    closing: Vec<OpenListener>,
    /// How many there have ever been.
    count: usize,
}

/// Everything that a configuration decides about answers; it is swapped in one step.
#[derive(Debug)]
struct LiveConfig {
    puller: Puller,
    /// Who answers, by the listener's number.
    apis: BTreeMap<usize, Api>,
}

#[derive(Debug)]
struct OpenListener {
    number: usize,
    /// As it is configured: as long as that stays, the socket does.
    configured: ListenAddress,
    /// With the port that the system chose.
    address: ListenAddress,
    ingress: Ingress,
    tls: Option<ListenerTls>,
    live_tls: LiveTls,
    stop: Stop,
    /// Ends when the address is free; none before it accepts.
    accepting: Option<JoinHandle<Option<()>>>,
    /// Its number as its connections hold it: gone with the last of them.
    serving: Weak<usize>,
}

/// Listeners that may be opened: their addresses are taken.
#[derive(Debug)]
pub(super) struct PreparedListeners(Vec<(config::ListenerSettings, ListenerSlot)>);

#[derive(Debug)]
enum ListenerSlot {
    /// One that is open already, by its number.
    Existing(usize),
    New(BoundListener),
}

/// What became of the listeners.
#[derive(Debug, Default)]
pub(super) struct ListenerChanges {
    pub(super) added: usize,
    /// Kept, but met with another certificate.
    pub(super) tls_changed: usize,
    /// Each ends when its address is free.
    pub(super) removed: Vec<JoinHandle<Option<()>>>,
}

impl Listeners {
    /// None yet.
    pub(super) fn new(doors: ServerContext, puller: Puller) -> Self {
        let apis = BTreeMap::new();
        Self {
            requests: RequestLimit::new(doors.settings.now().requests_max),
            context: doors,
            live: Arc::new(ArcSwap::from_pointee(LiveConfig { puller, apis })),
            open: Vec::new(),
            closing: Vec::new(),
            count: 0,
        }
    }

    /// Where they listen, in the configuration's order, with real ports.
    pub(super) fn addresses(&self) -> Vec<ListenAddress> {
        self.open.iter().map(|one| one.address.clone()).collect()
    }

    /// Who pulls for them now.
    pub(super) fn puller(&self) -> Puller {
        self.live.load().puller.clone()
    }

    /// Takes the addresses that are not taken yet; nothing else changes.
    pub(super) fn prepare(
        &self,
        wanted: Vec<config::ListenerSettings>,
    ) -> Result<PreparedListeners, StartError> {
        PreparedListeners::new(&self.open, wanted)
    }

    /// From now on these are open and no others, and `puller` pulls for all of them.
    pub(super) fn replace(
        &mut self,
        prepared: PreparedListeners,
        puller: &Puller,
    ) -> ListenerChanges {
        let mut turned = ListenerChanges::default();
        let mut before = mem::take(&mut self.open);
        let mut opening = Vec::new();
        for (wanted, place) in prepared.0 {
            match place {
                ListenerSlot::Existing(number) => {
                    for mut kept in before.extract_if(.., |one| one.number == number) {
                        turned.tls_changed += usize::from(kept.tls != wanted.tls);
                        kept.live_tls.set(wanted.tls.as_ref());
                        (kept.ingress, kept.tls) = (wanted.ingress.clone(), wanted.tls.clone());
                        self.open.push(kept);
                    }
                }
                ListenerSlot::New(bound) => {
                    turned.added += 1;
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
            turned.removed.extend(listener.accepting.take());
        }
        turned
    }

    /// Shows when the listeners' certificates end.
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

    /// Puts a new world in the old one's place.
    fn publish(&self, puller: &Puller) {
        let api = |one: &OpenListener| {
            let (ingress, address) = (one.ingress.clone(), one.address.to_string());
            let metrics = Arc::clone(&self.context.metrics);
            (
                one.number,
                Api::new(puller.clone(), ingress, address, metrics),
            )
        };
        // A connection that is about to close may have sent one more request.
        let apis = self.open.iter().chain(&self.closing).map(api).collect();
        self.live.store(Arc::new(LiveConfig {
            puller: puller.clone(),
            apis,
        }));
    }
}

impl PreparedListeners {
    /// For a start, when nothing is open.
    pub(super) fn first(wanted: Vec<config::ListenerSettings>) -> Result<Self, StartError> {
        Self::new(&[], wanted)
    }

    fn new(
        held: &[OpenListener],
        wanted: Vec<config::ListenerSettings>,
    ) -> Result<Self, StartError> {
        let mut open: Vec<_> = held.iter().collect();
        let place = |listener: config::ListenerSettings| {
            let known = open
                .iter()
                .position(|one| one.configured == listener.address);
            let place = match known {
                Some(index) => ListenerSlot::Existing(open.remove(index).number),
                None => ListenerSlot::New(bind_beside(held, &listener.address)?),
            };
            Ok((listener, place))
        };
        wanted
            .into_iter()
            .map(place)
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

impl OpenListener {
    fn new(
        number: usize,
        wanted: config::ListenerSettings,
        bound: &BoundListener,
        doors: &ServerContext,
    ) -> Self {
        Self {
            number,
            configured: wanted.address,
            address: bound.address().clone(),
            ingress: wanted.ingress,
            live_tls: LiveTls::new(wanted.tls.as_ref()),
            tls: wanted.tls,
            stop: doors.stop.child(),
            accepting: None,
            serving: Weak::new(),
        }
    }

    /// Lets it accept; each request takes the world that it finds when it begins.
    fn accept(
        &mut self,
        bound: BoundListener,
        context: &ServerContext,
        requests: &RequestLimit,
        world: &Arc<ArcSwap<LiveConfig>>,
    ) {
        tracing::info!(address = %self.address, "listening");
        let number = Arc::new(self.number);
        self.serving = Arc::downgrade(&number);
        let world = Arc::clone(world);
        let answer = move |parts| match world.load().apis.get(&*number) {
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

/// What the metric calls a listener.
fn metric_owner(listener: &OpenListener) -> String {
    format!("listener {}", listener.configured)
}

/// Takes an address while others are ours. Says so if one of them is in the way: it is freed only
/// after the new ones are taken, so that a reload that fails leaves nobody deaf.
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

/// Takes an address.
pub(super) fn bind(address: &ListenAddress) -> Result<BoundListener, StartError> {
    server::bind(address).map_err(|source| StartError::Listen {
        address: address.clone(),
        source,
    })
}

/// Puts the stack around what answers, and lets it accept.
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

/// The server's own failures are answered by the room that picks statuses.
fn failure_responses() -> FailureResponses {
    FailureResponses {
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
