//! Every metric, its labels and its help text, by room; `docs/METRICS.md` says how to read them.

mod configuration;
mod registrar;
mod server;

use std::{
    fmt,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use prometheus::{
    Error, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Registry, TextEncoder,
};

use configuration::ConfigurationMetrics;
use registrar::{MetricRegistrar, remove_label};
use server::ServerMetrics;

pub use self::{configuration::Reload, server::AnsweredRequest};

/// Seconds to fetch a blob: milliseconds for a small one, half an hour for the largest.
const FILL_SECONDS: &[f64] = &[0.01, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 1800.0];

/// All metrics of one process. Not global, so that each test has its own.
pub struct Metrics {
    registry: Registry,
    server: ServerMetrics,
    upstream: UpstreamMetrics,
    store: StoreMetrics,
    configuration: ConfigurationMetrics,
    expiry: IntGaugeVec,
    panicked: IntCounter,
}

/// Metrics of requests to upstreams.
struct UpstreamMetrics {
    requests: IntCounterVec,
    seconds: HistogramVec,
    bytes: IntCounterVec,
    up: IntGaugeVec,
    unverified: IntGaugeVec,
    budget: IntGaugeVec,
    tokens: IntCounterVec,
    refused: IntCounterVec,
}

/// Metrics of fills and the store.
struct StoreMetrics {
    fills: IntGauge,
    fill_seconds: Histogram,
    bytes: IntGauge,
    blobs: IntGauge,
    evicted: IntCounter,
    damaged: IntCounter,
    bypassed: IntCounter,
}

/// Whether an upstream receives requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpstreamHealth {
    /// It receives requests.
    Up,
    /// Its circuit is open after repeated failures.
    CircuitOpen,
}

impl Metrics {
    /// Registers all metrics.
    ///
    /// # Errors
    /// Only if two of the names below are equal.
    pub fn new() -> Result<Self, Error> {
        let registry = Registry::new();
        let list = MetricRegistrar(&registry);
        list.gauges(
            "roadstead_build_info",
            "Always 1; the label is the version.",
            &["version"],
        )?
        .with_label_values(&[env!("CARGO_PKG_VERSION")])
        .set(1);
        Ok(Self {
            server: ServerMetrics::register(list)?,
            upstream: UpstreamMetrics::register(list)?,
            store: StoreMetrics::register(list)?,
            configuration: ConfigurationMetrics::register(list)?,
            expiry: list.gauges(
                "roadstead_certificate_expires_seconds",
                "When a configured certificate expires, in Unix time.",
                &["owner"],
            )?,
            panicked: list.counter(
                "roadstead_panics_total",
                "Panics caught; each one is a bug.",
            )?,
            registry,
        })
    }

    /// The text format that Prometheus scrapes.
    pub fn render(&self) -> String {
        TextEncoder::new()
            .encode_to_string(&self.registry.gather())
            .unwrap_or_default()
    }

    /// Counts an answered request.
    pub fn answered(&self, request: AnsweredRequest) {
        self.server.answered(request);
    }

    /// Adds bytes of a body that were sent.
    pub fn sent(&self, kind: &'static str, bytes: u64) {
        self.server.sent(kind, bytes);
    }

    /// A connection was accepted.
    pub fn connected(&self) {
        self.server.connections.inc();
    }

    /// A connection was closed.
    pub fn disconnected(&self) {
        self.server.connections.dec();
    }

    /// A connection was closed for a bad request, a deadline or a limit.
    pub fn connection_refused(&self) {
        self.server.connections_refused.inc();
    }

    /// Counts a request sent upstream; `upstream` is a configured name, or `other`.
    pub fn upstream_requested(&self, upstream: &str, kind: &'static str, result: &'static str) {
        self.upstream
            .requests
            .with_label_values(&[upstream, kind, result])
            .inc();
    }

    /// Records how long an upstream took to answer with a head.
    pub fn upstream_answered(&self, upstream: &str, after: Duration) {
        self.upstream
            .seconds
            .with_label_values(&[upstream])
            .observe(after.as_secs_f64());
    }

    /// Adds bytes of a body that were received.
    pub fn received(&self, upstream: &str, bytes: u64) {
        self.upstream
            .bytes
            .with_label_values(&[upstream])
            .inc_by(bytes);
    }

    /// Sets whether an upstream receives requests.
    pub fn upstream_up(&self, upstream: &str, health: UpstreamHealth) {
        let up = i64::from(health == UpstreamHealth::Up);
        self.upstream.up.with_label_values(&[upstream]).set(up);
    }

    /// An upstream's certificates are not checked.
    pub fn upstream_unverified(&self, upstream: &str) {
        self.upstream
            .unverified
            .with_label_values(&[upstream])
            .set(1);
    }

    /// An upstream's certificates are checked, or its configuration was removed.
    pub fn upstream_verified(&self, upstream: &str) {
        remove_label(&self.upstream.unverified, upstream);
    }

    /// Sets when the certificate of `owner`, an upstream or a listener, expires; `None` if it has
    /// none any more.
    pub fn certificate_expires(&self, owner: &str, at: Option<SystemTime>) {
        let Some(at) = at else {
            return remove_label(&self.expiry, owner);
        };
        let seconds = at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
        self.expiry.with_label_values(&[owner]).set(seconds);
    }

    /// Sets the remaining requests that an upstream reported.
    pub fn upstream_budget(&self, upstream: &str, remaining: u64) {
        let remaining = i64::try_from(remaining).unwrap_or(i64::MAX);
        self.upstream
            .budget
            .with_label_values(&[upstream])
            .set(remaining);
    }

    /// Counts a token request to an upstream's token service.
    pub fn token_requested(&self, upstream: &str, result: &'static str) {
        self.upstream
            .tokens
            .with_label_values(&[upstream, result])
            .inc();
    }

    /// An upstream refused a request with our credentials.
    pub fn credentials_refused(&self, upstream: &str) {
        self.upstream.refused.with_label_values(&[upstream]).inc();
    }

    /// A fill began.
    pub fn fill_began(&self) {
        self.store.fills.inc();
    }

    /// A fill ended, successfully or not, after this long.
    pub fn fill_ended(&self, after: Duration) {
        self.store.fills.dec();
        self.store.fill_seconds.observe(after.as_secs_f64());
    }

    /// Sets what the store holds.
    pub fn stored(&self, blobs: u64, bytes: u64) {
        self.store
            .blobs
            .set(i64::try_from(blobs).unwrap_or(i64::MAX));
        self.store
            .bytes
            .set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    /// A blob was removed to make room.
    pub fn evicted(&self) {
        self.store.evicted.inc();
    }

    /// A kept blob was damaged or missing.
    pub fn damaged(&self) {
        self.store.damaged.inc();
    }

    /// A blob was passed through without being kept, because the disk failed or was full.
    pub fn bypassed(&self) {
        self.store.bypassed.inc();
    }

    /// A configuration took effect, at the start or by a reload.
    pub fn configuration_loaded(&self) {
        self.configuration.loaded();
    }

    /// Counts a reload.
    pub fn reloaded(&self, reload: Reload) {
        self.configuration.reloaded(reload);
    }

    /// A task or a request panicked.
    pub fn task_panicked(&self) {
        self.panicked.inc();
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl UpstreamMetrics {
    fn register(list: MetricRegistrar<'_>) -> Result<Self, Error> {
        Ok(Self {
            requests: list.counters(
                "roadstead_upstream_requests_total",
                "Requests sent upstream, by upstream, kind and result.",
                &["upstream", "kind", "result"],
            )?,
            seconds: list.answer_seconds(
                "roadstead_upstream_seconds",
                "From a request upstream to the head of its answer.",
                &["upstream"],
            )?,
            bytes: list.counters(
                "roadstead_upstream_bytes_total",
                "Bytes of bodies received from upstream.",
                &["upstream"],
            )?,
            up: list.gauges(
                "roadstead_upstream_up",
                "0 while an upstream's circuit is open after repeated failures, else 1.",
                &["upstream"],
            )?,
            unverified: list.gauges(
                "roadstead_upstream_tls_unverified",
                "1 for an upstream whose certificates are not checked.",
                &["upstream"],
            )?,
            budget: list.gauges(
                "roadstead_upstream_ratelimit_remaining",
                "Requests that an upstream still allows, as it last reported.",
                &["upstream"],
            )?,
            tokens: list.counters(
                "roadstead_upstream_tokens_total",
                "Tokens requested from token services, by upstream and result.",
                &["upstream", "result"],
            )?,
            refused: list.counters(
                "roadstead_upstream_logins_refused_total",
                "Requests with our credentials that an upstream or its token service refused.",
                &["upstream"],
            )?,
        })
    }
}

impl StoreMetrics {
    fn register(list: MetricRegistrar<'_>) -> Result<Self, Error> {
        let fill_seconds =
            HistogramOpts::new("roadstead_fill_seconds", "Time to fetch and keep one blob.")
                .buckets(FILL_SECONDS.to_vec());
        Ok(Self {
            fills: list.gauge("roadstead_fills", "Blobs being fetched from upstream now.")?,
            fill_seconds: list.add(Histogram::with_opts(fill_seconds)?)?,
            bytes: list.gauge("roadstead_store_bytes", "Bytes of blobs kept.")?,
            blobs: list.gauge("roadstead_store_blobs", "Blobs kept.")?,
            evicted: list.counter(
                "roadstead_store_evicted_total",
                "Blobs removed to make room.",
            )?,
            damaged: list.counter(
                "roadstead_store_damaged_total",
                "Kept blobs that were found damaged or missing, and removed.",
            )?,
            bypassed: list.counter(
                "roadstead_store_bypassed_total",
                "Blobs passed through without being kept, because the disk failed or was full.",
            )?,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Every metric with every label set once: a family without values is not gathered.
    fn all_touched() -> Metrics {
        let metrics = Metrics::new().unwrap();
        metrics.answered(AnsweredRequest {
            kind: "blob",
            outcome: "hit",
            status: 200,
            first_byte: Duration::from_millis(1),
        });
        metrics.sent("blob", 1);
        metrics.upstream_requested("hub", "blob", "ok");
        metrics.upstream_answered("hub", Duration::from_millis(1));
        metrics.received("hub", 1);
        metrics.upstream_up("hub", UpstreamHealth::Up);
        metrics.upstream_unverified("hub");
        metrics.upstream_budget("hub", 1);
        metrics.reloaded(Reload::Applied);
        metrics.token_requested("hub", "ok");
        metrics.credentials_refused("hub");
        metrics.certificate_expires("listener 127.0.0.1:1", Some(UNIX_EPOCH));
        metrics
    }

    /// `name | labels | help`, as the document's rows start.
    fn rows(metrics: &Metrics) -> BTreeSet<String> {
        let row = |family: &prometheus::proto::MetricFamily| {
            let labels = family.get_metric().first().unwrap().get_label();
            let mut labels: Vec<_> = labels
                .iter()
                .map(prometheus::proto::LabelPair::name)
                .collect();
            labels.sort_unstable();
            let kind = format!("{:?}", family.get_field_type()).to_lowercase();
            format!(
                "| `{}` | {kind} | {} | {} |",
                family.name(),
                labels.join(", "),
                family.help()
            )
        };
        metrics.registry.gather().iter().map(row).collect()
    }

    #[test]
    fn the_document_lists_exactly_these_metrics() {
        let document = include_str!("../../docs/METRICS.md");
        let written: BTreeSet<String> = document
            .lines()
            .filter(|line| line.starts_with("| `roadstead_"))
            .map(|line| line.split_inclusive('|').take(5).collect())
            .collect();
        assert_eq!(written, rows(&all_touched()));
    }

    #[test]
    fn every_answer_is_counted_under_its_own_labels() {
        let metrics = Metrics::new().unwrap();
        for (kind, outcome, status) in [
            ("blob", "hit", 200),
            ("blob", "hit", 304),
            ("manifest", "hit", 200),
            ("blob", "miss", 200),
            ("blob", "hit", 200),
        ] {
            metrics.answered(AnsweredRequest {
                kind,
                outcome,
                status,
                first_byte: Duration::ZERO,
            });
            metrics.sent(kind, 10);
        }
        let text = metrics.render();
        let has = |line: &str| assert!(text.lines().any(|one| one == line), "{line}:\n{text}");
        has(r#"roadstead_requests_total{kind="blob",outcome="hit",status="200"} 2"#);
        has(r#"roadstead_requests_total{kind="blob",outcome="hit",status="304"} 1"#);
        has(r#"roadstead_requests_total{kind="blob",outcome="miss",status="200"} 1"#);
        has(r#"roadstead_requests_total{kind="manifest",outcome="hit",status="200"} 1"#);
        has(r#"roadstead_first_byte_seconds_count{kind="blob"} 4"#);
        has(r#"roadstead_sent_bytes_total{kind="blob"} 40"#);
        assert!(!text.contains("tags"), "{text}");
    }

    #[test]
    fn a_removed_label_has_no_value() {
        let metrics = Metrics::new().unwrap();
        let end = UNIX_EPOCH + Duration::from_secs(7);
        metrics.certificate_expires("upstream hub", Some(end));
        metrics.upstream_unverified("hub");
        let text = metrics.render();
        assert!(
            text.contains("expires_seconds{owner=\"upstream hub\"} 7"),
            "{text}"
        );
        assert!(
            text.contains("tls_unverified{upstream=\"hub\"} 1"),
            "{text}"
        );
        metrics.certificate_expires("upstream hub", None);
        metrics.upstream_verified("hub");
        assert!(!metrics.render().contains("hub"));
    }

    #[test]
    fn an_upstream_left_alone_reads_zero() {
        let metrics = Metrics::new().unwrap();
        metrics.upstream_up("hub", UpstreamHealth::CircuitOpen);
        let text = metrics.render();
        assert!(
            text.contains("roadstead_upstream_up{upstream=\"hub\"} 0"),
            "{text}"
        );
    }
}
