//! One address of an upstream, and its circuit breaker.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use reqwest::{Client, Url};
use tokio::time::Instant;

use crate::upstream::{authentication::known_challenges::KnownChallenges, error::UpstreamError};

/// First and longest time that a circuit stays open.
const OPEN_FIRST: Duration = Duration::from_secs(1);
const OPEN_MAX: Duration = Duration::from_secs(30);

/// One address of an upstream, and what we learnt of it.
#[derive(Debug)]
pub(in crate::upstream) struct Endpoint {
    /// `SCHEME://HOST[:PORT]` or `unix:PATH`, for people.
    pub(in crate::upstream) label: Arc<str>,
    /// What requests are built on.
    pub(in crate::upstream) base: Url,
    /// The client whose connections all lead to the endpoint's socket, if it is one.
    pub(in crate::upstream) socket: Option<Client>,
    /// How it asks for authentication.
    pub(in crate::upstream) known_challenges: KnownChallenges,
    /// Written by calls when they leave.
    breaker: Mutex<CircuitBreaker>,
}

/// Counts calls that failed in a row, and rests the endpoint after them.
#[derive(Clone, Debug, Default)]
pub(in crate::upstream) struct CircuitBreaker {
    /// Calls that gave up, in a row.
    failures: u32,
    open_until: Option<Instant>,
    /// Whether one request is trying if the endpoint is back.
    probing: bool,
    last_success: Option<Instant>,
}

/// Whether requests to an endpoint pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::upstream) enum CircuitState {
    /// Requests pass.
    Closed,
    /// One request passes as a probe; the others wait for its outcome.
    HalfOpen,
    /// Requests fail at once.
    Open,
}

/// Permits one call, whose outcome is to be reported; dropped without one, the next call may probe.
#[derive(Debug)]
pub(in crate::upstream) struct CircuitPermit<'a> {
    endpoint: &'a Endpoint,
    began: Instant,
    /// Whether this is the one request that a resting endpoint gets.
    pub(in crate::upstream) probe: bool,
}

impl Endpoint {
    /// Nothing known yet.
    pub(in crate::upstream) fn new(label: String, base: Url, socket: Option<Client>) -> Self {
        Self {
            label: label.into(),
            base,
            socket,
            known_challenges: KnownChallenges::default(),
            breaker: Mutex::default(),
        }
    }

    /// Host and port, or the socket's path.
    pub(in crate::upstream) fn authority(&self) -> String {
        let label = &*self.label;
        let bare = label.split_once("://").map_or(label, |(_, rest)| rest);
        bare.strip_prefix("unix:").unwrap_or(bare).to_owned()
    }

    /// Whether its circuit is open.
    pub(in crate::upstream) fn is_circuit_open(&self) -> bool {
        self.breaker.lock().open_until.is_some()
    }

    /// Whether a request would pass now.
    pub(in crate::upstream) fn is_available(&self, now: Instant) -> bool {
        self.breaker.lock().state(now) != CircuitState::Open
    }

    /// The error while its circuit is open.
    pub(in crate::upstream) fn circuit_open_error(&self) -> UpstreamError {
        UpstreamError::Unreachable {
            endpoint: Arc::clone(&self.label),
            detail: "circuit open after repeated failures".into(),
        }
    }

    /// Takes a permit, unless the circuit is open.
    pub(in crate::upstream) fn try_acquire(&self, now: Instant) -> Option<CircuitPermit<'_>> {
        let mut health = self.breaker.lock();
        let offer = health.state(now);
        health.probing |= offer == CircuitState::HalfOpen;
        (offer != CircuitState::Open).then_some(CircuitPermit {
            endpoint: self,
            began: now,
            probe: offer == CircuitState::HalfOpen,
        })
    }
}

impl CircuitPermit<'_> {
    /// It answered, with whatever status.
    pub(in crate::upstream) fn succeeded(&self) {
        self.endpoint.breaker.lock().record_success(Instant::now());
    }

    /// It did not answer, and no further try follows.
    pub(in crate::upstream) fn failed(&self) {
        let now = Instant::now();
        self.endpoint.breaker.lock().record_failure(self.began, now);
    }
}

impl Drop for CircuitPermit<'_> {
    fn drop(&mut self) {
        if self.probe {
            self.endpoint.breaker.lock().probing = false;
        }
    }
}

impl CircuitBreaker {
    /// Whether the endpoint may be asked now.
    pub(in crate::upstream) fn state(&self, now: Instant) -> CircuitState {
        match self.open_until {
            None => CircuitState::Closed,
            Some(until) if now >= until && !self.probing => CircuitState::HalfOpen,
            Some(_) => CircuitState::Open,
        }
    }

    fn record_success(&mut self, now: Instant) {
        self.failures = 0;
        self.open_until = None;
        self.last_success = Some(now);
    }

    /// Does nothing if others were answered since this call began: then it was bad luck, and not
    /// worth refusing everyone.
    fn record_failure(&mut self, began: Instant, now: Instant) {
        if self.last_success.is_some_and(|answered| answered > began) {
            return;
        }
        // Calls that run at once fail together, and count once.
        if self.open_until.is_some_and(|until| now < until) {
            return;
        }
        self.open_until = Some(now + open_duration(self.failures));
        self.failures = self.failures.saturating_add(1);
    }
}

/// How long a circuit stays open after this many earlier failures.
fn open_duration(failures: u32) -> Duration {
    OPEN_FIRST
        .saturating_mul(2_u32.saturating_pow(failures))
        .min(OPEN_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint() -> Endpoint {
        let base = "http://127.0.0.1:1".parse().unwrap();
        Endpoint::new("http://127.0.0.1:1".into(), base, None)
    }

    #[test]
    fn rests_double_up_to_half_a_minute() {
        let seconds: Vec<_> = (0..8)
            .map(|failures| open_duration(failures).as_secs())
            .collect();
        assert_eq!(seconds, [1, 2, 4, 8, 16, 30, 30, 30]);
        assert_eq!(open_duration(u32::MAX), OPEN_MAX);
    }

    #[tokio::test(start_paused = true)]
    async fn a_resting_endpoint_gets_one_probe_at_a_time() {
        let endpoint = endpoint();
        endpoint.try_acquire(Instant::now()).unwrap().failed();
        assert!(endpoint.try_acquire(Instant::now()).is_none());
        tokio::time::advance(OPEN_FIRST).await;
        let probe = endpoint.try_acquire(Instant::now()).unwrap();
        assert!(probe.probe && endpoint.try_acquire(Instant::now()).is_none());
        // A probe that is cancelled leaves the next one to try.
        drop(probe);
        let probe = endpoint.try_acquire(Instant::now()).unwrap();
        probe.failed();
        drop(probe);
        tokio::time::advance(OPEN_FIRST).await;
        assert!(endpoint.try_acquire(Instant::now()).is_none());
        tokio::time::advance(OPEN_FIRST).await;
        endpoint.try_acquire(Instant::now()).unwrap().succeeded();
        assert!(!endpoint.try_acquire(Instant::now()).unwrap().probe);
    }

    #[tokio::test(start_paused = true)]
    async fn one_bad_call_among_good_ones_stops_nobody() {
        let endpoint = endpoint();
        let unlucky = endpoint.try_acquire(Instant::now()).unwrap();
        tokio::time::advance(Duration::from_millis(10)).await;
        endpoint.try_acquire(Instant::now()).unwrap().succeeded();
        unlucky.failed();
        assert!(!endpoint.is_circuit_open());
    }
}
