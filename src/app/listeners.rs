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

use super::StartError;
use crate::{
    api::{Api, ApiError},
    config,
    pull::Puller,
    route::Ingress,
    server::{self, Address, BadRequest, Bound, Door, Failures, RequestLimit, Shared, Stop, Tls},
    wire::Body,
};

/// All listeners of the mirror.
#[derive(Debug)]
pub(super) struct Listeners {
    doors: Shared,
    requests: RequestLimit,
    /// What every request looks at once, when it begins.
    world: Arc<ArcSwap<World>>,
    open: Vec<Listener>,
    /// No longer configured; connections of theirs still end.
    closing: Vec<Listener>,
    /// How many there have ever been.
    count: usize,
}

/// Everything that a configuration decides about answers; it is swapped in one step.
#[derive(Debug)]
struct World {
    puller: Puller,
    /// Who answers, by the listener's number.
    apis: BTreeMap<usize, Api>,
}

#[derive(Debug)]
struct Listener {
    number: usize,
    /// As it is configured: as long as that stays, the socket does.
    configured: Address,
    /// With the port that the system chose.
    address: Address,
    ingress: Ingress,
    tls: Option<Tls>,
    door: Door,
    stop: Stop,
    /// Ends when the address is free; none before it accepts.
    accepting: Option<JoinHandle<Option<()>>>,
    /// Its number as its connections hold it: gone with the last of them.
    serving: Weak<usize>,
}

/// Listeners that may be opened: their addresses are taken.
#[derive(Debug)]
pub(super) struct Prepared(Vec<(config::ListenerSettings, Place)>);

#[derive(Debug)]
enum Place {
    /// One that is open already, by its number.
    Kept(usize),
    New(Bound),
}

/// What became of the listeners.
#[derive(Debug, Default)]
pub(super) struct Turned {
    pub(super) added: usize,
    /// Kept, but met with another certificate.
    pub(super) other_tls: usize,
    /// Each ends when its address is free.
    pub(super) removed: Vec<JoinHandle<Option<()>>>,
}

impl Listeners {
    /// None yet.
    pub(super) fn new(doors: Shared, puller: Puller) -> Self {
        let apis = BTreeMap::new();
        Self {
            requests: RequestLimit::new(doors.settings.now().requests_max),
            doors,
            world: Arc::new(ArcSwap::from_pointee(World { puller, apis })),
            open: Vec::new(),
            closing: Vec::new(),
            count: 0,
        }
    }

    /// Where they listen, in the configuration's order, with real ports.
    pub(super) fn addresses(&self) -> Vec<Address> {
        self.open.iter().map(|one| one.address.clone()).collect()
    }

    /// Who pulls for them now.
    pub(super) fn puller(&self) -> Puller {
        self.world.load().puller.clone()
    }

    /// Takes the addresses that are not taken yet; nothing else changes.
    pub(super) fn prepare(
        &self,
        wanted: Vec<config::ListenerSettings>,
    ) -> Result<Prepared, StartError> {
        Prepared::new(&self.open, wanted)
    }

    /// From now on these are open and no others, and `puller` pulls for all of them.
    pub(super) fn turn(&mut self, prepared: Prepared, puller: &Puller) -> Turned {
        let mut turned = Turned::default();
        let mut before = mem::take(&mut self.open);
        let mut opening = Vec::new();
        for (wanted, place) in prepared.0 {
            match place {
                Place::Kept(number) => {
                    for mut kept in before.extract_if(.., |one| one.number == number) {
                        turned.other_tls += usize::from(kept.tls != wanted.tls);
                        kept.door.set(wanted.tls.as_ref());
                        (kept.ingress, kept.tls) = (wanted.ingress.clone(), wanted.tls.clone());
                        self.open.push(kept);
                    }
                }
                Place::New(bound) => {
                    turned.added += 1;
                    self.count += 1;
                    let listener = Listener::new(self.count, wanted, &bound, &self.doors);
                    self.open.push(listener);
                    opening.push((self.count, bound));
                }
            }
        }
        self.closing.extend(before);
        self.closing.retain(|one| one.serving.strong_count() > 0);
        self.swap(puller);
        self.tell();
        for (number, bound) in opening {
            let mut new = self.open.iter_mut();
            if let Some(new) = new.find(|one| one.number == number) {
                new.accept(bound, (&self.doors, &self.requests), &self.world);
            }
        }
        for listener in &mut self.closing {
            listener.stop.begin();
            turned.removed.extend(listener.accepting.take());
        }
        turned
    }

    /// Shows when the listeners' certificates end.
    fn tell(&self) {
        let metrics = &self.doors.metrics;
        for gone in &self.closing {
            metrics.certificate_expires(&owner(gone), None);
        }
        for listener in &self.open {
            let tls = listener.tls.as_ref();
            let ends = tls.map(|tls| tls.identity().validity().not_after);
            metrics.certificate_expires(&owner(listener), ends);
        }
    }

    /// Puts a new world in the old one's place.
    fn swap(&self, puller: &Puller) {
        let api = |one: &Listener| {
            let (ingress, address) = (one.ingress.clone(), one.address.to_string());
            let metrics = Arc::clone(&self.doors.metrics);
            (
                one.number,
                Api::new(puller.clone(), ingress, address, metrics),
            )
        };
        // A connection that is about to close may have sent one more request.
        let apis = self.open.iter().chain(&self.closing).map(api).collect();
        self.world.store(Arc::new(World {
            puller: puller.clone(),
            apis,
        }));
    }
}

impl Prepared {
    /// For a start, when nothing is open.
    pub(super) fn first(wanted: Vec<config::ListenerSettings>) -> Result<Self, StartError> {
        Self::new(&[], wanted)
    }

    fn new(held: &[Listener], wanted: Vec<config::ListenerSettings>) -> Result<Self, StartError> {
        let mut open: Vec<_> = held.iter().collect();
        let place = |listener: config::ListenerSettings| {
            let known = open
                .iter()
                .position(|one| one.configured == listener.address);
            let place = match known {
                Some(index) => Place::Kept(open.remove(index).number),
                None => Place::New(bind_beside(held, &listener.address)?),
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

impl Listener {
    fn new(number: usize, wanted: config::ListenerSettings, bound: &Bound, doors: &Shared) -> Self {
        Self {
            number,
            configured: wanted.address,
            address: bound.address().clone(),
            ingress: wanted.ingress,
            door: Door::new(wanted.tls.as_ref()),
            tls: wanted.tls,
            stop: doors.stop.of_part(),
            accepting: None,
            serving: Weak::new(),
        }
    }

    /// Lets it accept; each request takes the world that it finds when it begins.
    fn accept(
        &mut self,
        bound: Bound,
        (doors, requests): (&Shared, &RequestLimit),
        world: &Arc<ArcSwap<World>>,
    ) {
        tracing::info!(address = %self.address, "listening");
        let number = Arc::new(self.number);
        self.serving = Arc::downgrade(&number);
        let world = Arc::clone(world);
        let answer = move |parts| match world.load().apis.get(&*number) {
            Some(api) => Either::Left(api.clone().answer(parts)),
            None => Either::Right(future::ready(ApiError::Shed.response())),
        };
        let doors = Shared {
            stop: self.stop.clone(),
            ..doors.clone()
        };
        self.accepting = Some(serve(bound, self.door.clone(), (&doors, requests), answer));
    }
}

/// What the metric calls a listener.
fn owner(listener: &Listener) -> String {
    format!("listener {}", listener.configured)
}

/// Takes an address while others are ours. Says so if one of them is in the way: it is freed only
/// after the new ones are taken, so that a reload that fails leaves nobody deaf.
fn bind_beside(held: &[Listener], address: &Address) -> Result<Bound, StartError> {
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
pub(super) fn bind(address: &Address) -> Result<Bound, StartError> {
    server::bind(address).map_err(|source| StartError::Listen {
        address: address.clone(),
        source,
    })
}

/// Puts the stack around what answers, and lets it accept.
pub(super) fn serve<A, F>(
    bound: Bound,
    door: Door,
    (shared, requests): (&Shared, &RequestLimit),
    answer: A,
) -> JoinHandle<Option<()>>
where
    A: Fn(Parts) -> F + Send + Sync + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    let metrics = Arc::clone(&shared.metrics);
    let service = server::stack(answer, requests.clone(), failures(), metrics);
    shared
        .tasks
        .spawn("listener", bound.serve(shared.clone(), door, service))
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
