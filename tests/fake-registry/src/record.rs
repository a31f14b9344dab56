//! The recorder: every request, in the order of arrival.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode, header};
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::matching::Match;
use crate::target::{Endpoint, form_value, query_value};

/// One request, and what became of it so far.
#[derive(Debug, Clone)]
pub struct Recorded {
    /// Its method.
    pub method: Method,
    /// Its path as the client wrote it.
    pub path: String,
    /// Its query, without the question mark.
    pub query: Option<String>,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its `Range` header.
    pub range: Option<String>,
    /// What it carried, as a form for the token service does.
    pub body: Bytes,
    /// `None` while it is held, and for ever if the client left or the connection was ended.
    pub status: Option<u16>,
    /// How many bytes of body were given to the connection.
    pub body_bytes: usize,
    pub(crate) endpoint: Endpoint,
}

impl Recorded {
    pub(crate) fn new(request: &Request<Bytes>) -> Self {
        let headers = request.headers().clone();
        Self {
            method: request.method().clone(),
            path: request.uri().path().to_owned(),
            query: request.uri().query().map(str::to_owned),
            range: text(&headers, header::RANGE.as_str()).map(str::to_owned),
            body: request.body().clone(),
            status: None,
            body_bytes: 0,
            endpoint: Endpoint::parse(request.uri().path()),
            headers,
        }
    }

    /// A header's first value, if it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        text(&self.headers, name)
    }

    /// The first value of this key in its query.
    pub fn query_value(&self, key: &str) -> Option<String> {
        query_value(self.query.as_deref(), key)
    }

    /// The first value of this key in its body, a form.
    pub fn form_value(&self, key: &str) -> Option<String> {
        form_value(&self.body, key)
    }
}

/// One line for a log: `GET /v2/a/blobs/sha256:… [bytes=5-] 206`.
impl fmt::Display for Recorded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.path)?;
        if let Some(query) = &self.query {
            write!(f, "?{query}")?;
        }
        if let Some(range) = &self.range {
            write!(f, " [{range}]")?;
        }
        match self.status {
            Some(status) => write!(f, " {status}"),
            None => f.write_str(" -"),
        }
    }
}

/// The requests for one content.
#[derive(Debug, Clone)]
pub struct Served {
    requests: Vec<Recorded>,
}

impl Served {
    /// How many there were, whatever their method.
    pub fn requests(&self) -> usize {
        self.requests.len()
    }

    /// How many GETs there were.
    pub fn gets(&self) -> usize {
        self.requests
            .iter()
            .filter(|request| request.method == Method::GET)
            .count()
    }

    /// The `Range` headers of the GETs, in order.
    pub fn ranges(&self) -> Vec<Option<&str>> {
        self.requests
            .iter()
            .filter(|request| request.method == Method::GET)
            .map(|request| request.range.as_deref())
            .collect()
    }

    /// How many bytes of body went out for it.
    pub fn bytes(&self) -> usize {
        self.requests.iter().map(|request| request.body_bytes).sum()
    }
}

/// Called with each request when its answer begins.
pub(crate) type Observer = Box<dyn Fn(&Recorded) + Send + Sync>;

/// The recorder.
pub(crate) struct Log {
    requests: Mutex<Vec<Recorded>>,
    /// Told of each arrival, after it was recorded.
    arrivals: watch::Sender<()>,
    /// Called with each answered request.
    observer: Option<Observer>,
}

impl Log {
    pub(crate) fn new(observer: Option<Observer>) -> Self {
        Self {
            requests: Mutex::default(),
            arrivals: watch::Sender::new(()),
            observer,
        }
    }

    pub(crate) fn arrive(self: &Arc<Self>, request: Recorded) -> Entry {
        let mut requests = self.requests.lock();
        assert!(
            requests.len() < RECORDED_MAX,
            "more than {RECORDED_MAX} requests recorded"
        );
        let at = requests.len();
        requests.push(request);
        drop(requests);
        self.arrivals.send_replace(());
        Entry {
            log: Arc::clone(self),
            at,
        }
    }

    pub(crate) fn all(&self) -> Vec<Recorded> {
        self.requests.lock().clone()
    }

    pub(crate) fn those(&self, which: &Match) -> Vec<Recorded> {
        self.served(which).requests
    }

    pub(crate) fn count(&self, which: &Match) -> usize {
        self.requests
            .lock()
            .iter()
            .filter(|request| which.meets(request))
            .count()
    }

    pub(crate) fn served(&self, which: &Match) -> Served {
        let requests = self.requests.lock();
        Served {
            requests: requests
                .iter()
                .filter(|request| which.meets(request))
                .cloned()
                .collect(),
        }
    }

    pub(crate) fn bytes_sent(&self) -> usize {
        self.requests
            .lock()
            .iter()
            .map(|request| request.body_bytes)
            .sum()
    }

    pub(crate) async fn until(&self, which: &Match, count: usize) {
        let mut arrivals = self.arrivals.subscribe();
        let reached =
            async { while self.count(which) < count && arrivals.changed().await.is_ok() {} };
        if tokio::time::timeout(DEADLINE, reached).await.is_err() {
            let requests: Vec<_> = self.all().iter().map(ToString::to_string).collect();
            panic!(
                "no {count} requests for {which:?} within {DEADLINE:?}; there were:\n{}",
                requests.join("\n")
            );
        }
    }
}

/// One request's place in the log.
pub(crate) struct Entry {
    log: Arc<Log>,
    at: usize,
}

impl Entry {
    pub(crate) fn answered(&self, status: StatusCode) {
        self.change(|request| request.status = Some(status.as_u16()));
        if let Some(observer) = &self.log.observer {
            let request = self.log.requests.lock().get(self.at).cloned();
            observer(&request.expect("entries stay"));
        }
    }

    pub(crate) fn sent(&self, bytes: usize) {
        self.change(|request| request.body_bytes += bytes);
    }

    fn change(&self, how: impl FnOnce(&mut Recorded)) {
        how(self
            .log
            .requests
            .lock()
            .get_mut(self.at)
            .expect("entries stay"));
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

const RECORDED_MAX: usize = 1_000_000;
/// The one deadline for everything a test waits for here.
const DEADLINE: Duration = Duration::from_secs(20);
