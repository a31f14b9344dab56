//! Holds back an upstream's requests after a 429, so that no second one is refused the same way.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, sleep_until};

use super::request::RequestKind;

/// How long it stays shut if upstream does not say, doubled each time in a row.
const BACK_OFF_FIRST: Duration = Duration::from_secs(5);
const BACK_OFF_MAX: Duration = Duration::from_mins(1);
/// Those who wait go on within this time, not all at once.
const SPREAD_MAX: Duration = Duration::from_millis(500);

/// Open until upstream says 429.
#[derive(Debug, Default)]
pub(in crate::upstream) struct RateLimit(Mutex<RateLimitState>);

#[derive(Debug, Default)]
struct RateLimitState {
    until: Option<Instant>,
    /// How many 429 in a row did not say for how long.
    unspecified: u32,
}

impl RateLimit {
    /// Goes through. The patient wait for it if it opens before the deadline; others get the time
    /// that it will stay shut.
    pub(in crate::upstream) async fn wait(
        &self,
        kind: RequestKind,
        deadline: Instant,
    ) -> Result<(), Duration> {
        while let Some(until) = self.blocked_until(Instant::now()) {
            if !kind.is_long_transfer() || until >= deadline {
                return Err(until.duration_since(Instant::now()));
            }
            sleep_until(deadline.min(until + jitter(SPREAD_MAX))).await;
        }
        Ok(())
    }

    /// Upstream said 429. It is never opened earlier by another 429 that asks for less.
    pub(in crate::upstream) fn back_off(&self, retry_after: Option<Duration>, now: Instant) {
        let mut state = self.0.lock();
        let wait = retry_after.unwrap_or_else(|| {
            BACK_OFF_FIRST
                .saturating_mul(2_u32.saturating_pow(state.unspecified))
                .min(BACK_OFF_MAX)
        });
        // Requests that were under way together are told together, and count once.
        let was_shut = state.until.is_some_and(|until| until > now);
        if retry_after.is_none() && !was_shut {
            state.unspecified = state.unspecified.saturating_add(1);
        }
        if !was_shut || retry_after.is_some() {
            state.until = state.until.max(Some(now + wait));
        }
    }

    /// Upstream answered.
    pub(in crate::upstream) fn reset(&self) {
        self.0.lock().unspecified = 0;
    }

    /// Whether a request may go out now.
    pub(in crate::upstream) fn is_clear(&self) -> bool {
        self.blocked_until(Instant::now()).is_none()
    }

    fn blocked_until(&self, now: Instant) -> Option<Instant> {
        self.0.lock().until.filter(|until| *until > now)
    }
}

/// Some time up to `max`, different each time.
pub(in crate::upstream) fn jitter(max: Duration) -> Duration {
    // Without randomness nothing is lost but the spread.
    let part = getrandom::u32().unwrap_or_default();
    max.mul_f64(f64::from(part) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn the_patient_wait_and_the_others_are_told() {
        let gate = RateLimit::default();
        let now = Instant::now();
        assert_eq!(gate.wait(RequestKind::Manifest, now).await, Ok(()));
        gate.back_off(Some(7 * SECOND), now);
        assert_eq!(
            gate.wait(RequestKind::Manifest, now + 60 * SECOND).await,
            Err(7 * SECOND)
        );
        assert_eq!(
            gate.wait(RequestKind::Blob, now + 6 * SECOND).await,
            Err(7 * SECOND)
        );
        assert_eq!(now.elapsed(), Duration::ZERO);
        assert_eq!(
            gate.wait(RequestKind::Blob, now + 60 * SECOND).await,
            Ok(())
        );
        assert!(now.elapsed() >= 7 * SECOND && now.elapsed() <= 8 * SECOND);
        assert_eq!(gate.wait(RequestKind::Manifest, now).await, Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_word_it_stays_shut_longer_each_time() {
        let gate = RateLimit::default();
        for seconds in [5, 10, 20, 40, 60, 60] {
            let now = Instant::now();
            gate.back_off(None, now);
            gate.back_off(None, now);
            assert_eq!(
                gate.wait(RequestKind::Manifest, now).await,
                Err(seconds * SECOND)
            );
            tokio::time::advance(seconds * SECOND).await;
        }
        gate.reset();
        gate.back_off(None, Instant::now());
        assert_eq!(
            gate.wait(RequestKind::Manifest, Instant::now()).await,
            Err(5 * SECOND)
        );
    }
}
