//! Creates and registers metrics.

use prometheus::{
    Error, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry, core::Collector,
};

/// Seconds to the first byte: tens of microseconds for a hit, seconds for a cold answer.
const ANSWER_SECONDS: &[f64] = &[
    0.000_1, 0.001, 0.01, 0.05, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
];

/// Creates and registers a metric in one step, so that none is forgotten.
#[derive(Clone, Copy)]
pub(super) struct MetricRegistrar<'a>(pub(super) &'a Registry);

impl MetricRegistrar<'_> {
    pub(super) fn counter(self, name: &str, help: &str) -> Result<IntCounter, Error> {
        self.add(IntCounter::new(name, help)?)
    }

    pub(super) fn counters(
        self,
        name: &str,
        help: &str,
        labels: &[&str],
    ) -> Result<IntCounterVec, Error> {
        self.add(IntCounterVec::new(Opts::new(name, help), labels)?)
    }

    pub(super) fn gauge(self, name: &str, help: &str) -> Result<IntGauge, Error> {
        self.add(IntGauge::new(name, help)?)
    }

    pub(super) fn gauges(
        self,
        name: &str,
        help: &str,
        labels: &[&str],
    ) -> Result<IntGaugeVec, Error> {
        self.add(IntGaugeVec::new(Opts::new(name, help), labels)?)
    }

    pub(super) fn answer_seconds(
        self,
        name: &str,
        help: &str,
        labels: &[&str],
    ) -> Result<HistogramVec, Error> {
        let options = HistogramOpts::new(name, help).buckets(ANSWER_SECONDS.to_vec());
        self.add(HistogramVec::new(options, labels)?)
    }

    pub(super) fn add<C: Collector + Clone + 'static>(self, metric: C) -> Result<C, Error> {
        self.0.register(Box::new(metric.clone()))?;
        Ok(metric)
    }
}

/// Removes a value, if there is one.
pub(super) fn remove_label(gauges: &IntGaugeVec, label: &str) {
    drop(gauges.remove_label_values(&[label]));
}
