//! Metrics of the configuration.

use prometheus::{Error, IntCounterVec, IntGauge};

use super::registrar::MetricRegistrar;

/// Metrics of the configuration.
pub(super) struct ConfigurationMetrics {
    reloads: IntCounterVec,
    last_ok: IntGauge,
    loaded: IntGauge,
}

/// How a reload ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reload {
    /// The new configuration is in effect.
    Applied,
    /// The old configuration stays in effect; only files that it names may have been read anew.
    Failed,
}

impl ConfigurationMetrics {
    pub(super) fn register(list: MetricRegistrar<'_>) -> Result<Self, Error> {
        Ok(Self {
            reloads: list.counters(
                "roadstead_config_reloads_total",
                "Reloads of the configuration, by result.",
                &["result"],
            )?,
            last_ok: list.gauge(
                "roadstead_config_last_reload_ok",
                "1 while the configuration on disk is the one in use, 0 after a failed reload.",
            )?,
            loaded: list.gauge(
                "roadstead_config_loaded_timestamp_seconds",
                "When the configuration in use was read, in Unix time.",
            )?,
        })
    }

    /// A configuration took effect.
    pub(super) fn loaded(&self) {
        let now = jiff::Timestamp::now().as_second();
        self.loaded.set(now);
        self.last_ok.set(1);
    }

    /// Counts a reload.
    pub(super) fn reloaded(&self, reload: Reload) {
        let result = match reload {
            Reload::Applied => {
                self.loaded();
                "ok"
            }
            Reload::Failed => {
                self.last_ok.set(0);
                "failed"
            }
        };
        self.reloads.with_label_values(&[result]).inc();
    }
}
