//! An answer whose head is here: its body, read with patience and within bounds.

use std::{sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode};
use reqwest::Response;
use tokio::time::{Instant, timeout, timeout_at};

use super::{concurrency::ConcurrencyPermit, judge, state::Caller};
use crate::{
    connect::failure_detail,
    telemetry::Metrics,
    upstream::error::{ProtocolViolation, UpstreamError},
};

/// What must arrive within the time that silence may last: less is a trickle and as good as none.
const PROGRESS_BYTES_MIN: usize = 16 * 1024;

/// An answer. It holds its place among the upstream's requests until it is dropped.
#[derive(Debug)]
pub(in crate::upstream) struct UpstreamResponse {
    response: Response,
    endpoint: Arc<str>,
    _permit: ConcurrencyPermit,
    metrics: Arc<Metrics>,
    label: Arc<str>,
    stall_timer: StallTimer,
}

/// How much longer a body may take; only waiting for it counts.
#[derive(Debug)]
struct StallTimer {
    max: Duration,
    left: Duration,
    got: usize,
}

impl UpstreamResponse {
    /// Takes a response over, with the name of who gave it.
    pub(in crate::upstream) fn new(
        response: Response,
        endpoint: Arc<str>,
        permit: ConcurrencyPermit,
        shared: &Caller,
    ) -> Self {
        Self {
            response,
            endpoint,
            _permit: permit,
            metrics: Arc::clone(&shared.metrics),
            label: Arc::clone(&shared.settings.label),
            stall_timer: StallTimer::new(shared.settings.progress_max),
        }
    }

    pub(in crate::upstream) fn status(&self) -> StatusCode {
        self.response.status()
    }

    pub(in crate::upstream) fn headers(&self) -> &HeaderMap {
        self.response.headers()
    }

    /// An answer that must not be used.
    pub(in crate::upstream) fn violation(&self, breach: ProtocolViolation) -> UpstreamError {
        UpstreamError::ProtocolViolation {
            endpoint: Arc::clone(&self.endpoint),
            breach,
        }
    }

    /// Passes only what can be content.
    pub(in crate::upstream) fn checked(self) -> Result<Self, UpstreamError> {
        match judge::body_kind(self.headers()) {
            Ok(()) => Ok(self),
            Err(breach) => Err(self.violation(breach)),
        }
    }

    /// The next bytes; none at the announced end. A body that ends before it is an error.
    pub(in crate::upstream) async fn chunk(&mut self) -> Result<Option<Bytes>, UpstreamError> {
        let began = Instant::now();
        let chunk = match timeout(self.stall_timer.left, self.response.chunk()).await {
            Ok(Ok(chunk)) => chunk,
            Ok(Err(error)) => {
                return Err(UpstreamError::Unreachable {
                    endpoint: Arc::clone(&self.endpoint),
                    detail: format!(
                        "the body broke off: {}",
                        failure_detail(&error.without_url(), None)
                    ),
                });
            }
            Err(_elapsed) => return Err(self.timed_out(self.stall_timer.max)),
        };
        if let Some(bytes) = &chunk {
            self.stall_timer.record(began.elapsed(), bytes.len());
            let bytes = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
            self.metrics.received(&self.label, bytes);
        }
        Ok(chunk)
    }

    /// The whole of a small body; more than `bytes_max` is never held.
    pub(in crate::upstream) async fn whole(
        &mut self,
        bytes_max: usize,
        deadline: Instant,
    ) -> Result<Bytes, UpstreamError> {
        let began = Instant::now();
        let too_large = self.violation(ProtocolViolation::TooLarge { bytes_max });
        let declared = judge::content_length(self.headers());
        if declared.is_some_and(|length| usize::try_from(length).is_ok_and(|n| n > bytes_max)) {
            return Err(too_large);
        }
        let read = async {
            let mut whole = BytesMut::new();
            while let Some(chunk) = self.chunk().await? {
                if whole.len() + chunk.len() > bytes_max {
                    return Err(too_large);
                }
                whole.extend_from_slice(&chunk);
            }
            Ok(whole.freeze())
        };
        match timeout_at(deadline, read).await {
            Ok(outcome) => outcome,
            Err(_elapsed) => Err(self.timed_out(began.elapsed())),
        }
    }

    fn timed_out(&self, waited: Duration) -> UpstreamError {
        UpstreamError::TimedOut {
            endpoint: Arc::clone(&self.endpoint),
            waited,
        }
    }
}

impl StallTimer {
    fn new(max: Duration) -> Self {
        Self {
            max,
            left: max,
            got: 0,
        }
    }

    fn record(&mut self, waited: Duration, bytes: usize) {
        self.got = self.got.saturating_add(bytes);
        if self.got >= PROGRESS_BYTES_MIN {
            *self = Self::new(self.max);
        } else {
            self.left = self.left.saturating_sub(waited);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trickle_is_no_progress() {
        let second = Duration::from_secs(1);
        let mut patience = StallTimer::new(30 * second);
        for _ in 0..10 {
            patience.record(second, 1);
        }
        assert_eq!(patience.left, 20 * second);
        patience.record(second, PROGRESS_BYTES_MIN);
        assert_eq!(patience.left, 30 * second);
        for _ in 0..40 {
            patience.record(second, 100);
        }
        assert_eq!(patience.left, Duration::ZERO);
    }
}
