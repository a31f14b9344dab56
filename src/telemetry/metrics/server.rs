//! Metrics of answers to clients.

use std::{sync::OnceLock, time::Duration};

use prometheus::{Error, Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge};

use super::registrar::MetricRegistrar;

/// The kinds of requests.
const KINDS: [&str; 6] = ["manifest", "blob", "ping", "tags", "referrers", "other"];

/// What is counted for one answered request.
#[derive(Clone, Copy, Debug)]
pub struct AnsweredRequest {
    /// `ping`, `manifest`, `blob`, `tags`, `referrers` or `other`.
    pub kind: &'static str,
    /// `hit`, `miss`, `stale`, `revalidated`, `absent`, `refused`, `client`, `upstream` or `self`.
    pub outcome: &'static str,
    /// The HTTP status.
    pub status: u16,
    /// From the head of the request to the head of the answer.
    pub first_byte: Duration,
}

/// Metrics of answers to clients.
pub(super) struct ServerMetrics {
    requests: IntCounterVec,
    first_byte: HistogramVec,
    sent_bytes: IntCounterVec,
    pub(super) connections: IntGauge,
    pub(super) connections_refused: IntCounter,
    kinds: [KindCounters; KINDS.len()],
}

/// The counters that nearly every request of one kind uses, looked up once. Each is created at its
/// first use, so that nothing is exported as zero before it happened.
#[derive(Default)]
struct KindCounters {
    hits: OnceLock<IntCounter>,
    first_byte: OnceLock<Histogram>,
    sent_bytes: OnceLock<IntCounter>,
}

impl ServerMetrics {
    pub(super) fn register(list: MetricRegistrar<'_>) -> Result<Self, Error> {
        Ok(Self {
            requests: list.counters(
                "roadstead_requests_total",
                "Requests answered, by kind, outcome and HTTP status.",
                &["kind", "outcome", "status"],
            )?,
            first_byte: list.answer_seconds(
                "roadstead_first_byte_seconds",
                "From the head of a request to the head of its answer.",
                &["kind"],
            )?,
            sent_bytes: list.counters(
                "roadstead_sent_bytes_total",
                "Bytes of bodies sent to clients.",
                &["kind"],
            )?,
            connections: list.gauge("roadstead_connections", "Client connections open now.")?,
            connections_refused: list.counter(
                "roadstead_connections_refused_total",
                "Connections closed for a bad request line, a deadline or a limit.",
            )?,
            kinds: <[KindCounters; KINDS.len()]>::default(),
        })
    }

    /// Counts an answered request.
    pub(super) fn answered(&self, request: AnsweredRequest) {
        let counters = self.counters(request.kind);
        let by_status = || {
            let status = request.status.to_string();
            let labels = [request.kind, request.outcome, status.as_str()];
            self.requests.with_label_values(&labels)
        };
        match (counters, request.outcome, request.status) {
            (Some(counters), "hit", 200) => counters.hits.get_or_init(by_status).inc(),
            _ => by_status().inc(),
        }
        let seconds = request.first_byte.as_secs_f64();
        let first_byte = || self.first_byte.with_label_values(&[request.kind]);
        match counters {
            Some(counters) => counters.first_byte.get_or_init(first_byte).observe(seconds),
            None => first_byte().observe(seconds),
        }
    }

    /// Adds bytes of a body that were sent.
    pub(super) fn sent(&self, kind: &str, bytes: u64) {
        let sent_bytes = || self.sent_bytes.with_label_values(&[kind]);
        match self.counters(kind) {
            Some(counters) => counters.sent_bytes.get_or_init(sent_bytes).inc_by(bytes),
            None => sent_bytes().inc_by(bytes),
        }
    }

    fn counters(&self, kind: &str) -> Option<&KindCounters> {
        let index = KINDS.iter().position(|one| *one == kind)?;
        self.kinds.get(index)
    }
}
