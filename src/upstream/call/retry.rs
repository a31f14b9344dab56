//! After a try that failed: again, elsewhere, or the end. Pure.

use std::time::Duration;

use super::request::RequestKind;

/// Most further tries of one endpoint, when there is no other.
const RETRIES_MAX: u32 = 2;
/// Wait before the first of them; doubled for the second, and spread by up to as much again.
const PAUSE: Duration = Duration::from_millis(100);

/// What kind of failure it was; all others are final.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::upstream) enum RetryCause {
    /// The connection ended before the first byte of an answer, as an idle one may at any time.
    Dropped,
    /// No connection.
    Unreachable,
    /// No answer in time.
    TimedOut,
    /// A 5xx.
    Failing,
    /// The host of a redirect failed in any of these ways; the registry may name another.
    Beyond,
    /// The endpoint was not asked, or not for long enough to say anything of it.
    Skipped,
    /// A 429; the gate knows how long to wait.
    Throttled,
}

/// How far a call has come.
#[derive(Clone, Copy, Debug)]
pub(in crate::upstream) struct RetryState {
    /// What is asked for.
    pub(in crate::upstream) kind: RequestKind,
    /// What else there is.
    pub(in crate::upstream) reserve: RetryAlternatives,
    /// How often this endpoint was asked again after a pause.
    pub(in crate::upstream) again: u32,
    /// Whether it was asked again for a dropped connection.
    pub(in crate::upstream) dropped: bool,
}

/// What is left to a call beside the endpoint it is asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::upstream) enum RetryAlternatives {
    /// Another endpoint.
    Another,
    /// Further tries of this one.
    Tries,
    /// Nothing: this is the one request that a resting endpoint gets.
    Nothing,
}

/// What follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::upstream) enum RetryDecision {
    /// Ask the same endpoint again, on a new connection.
    AtOnce,
    /// Ask it again after this pause.
    After(Duration),
    /// Ask the next endpoint.
    Next,
    /// That was the last try.
    End,
}

impl RetryCause {
    /// Whether it speaks against the endpoint itself.
    pub(in crate::upstream) fn blames_endpoint(self) -> bool {
        !matches!(self, Self::Beyond | Self::Skipped | Self::Throttled)
    }
}

/// The rule. `spread` is a random time up to [`PAUSE`].
pub(in crate::upstream) fn decide(
    trouble: RetryCause,
    tries: RetryState,
    spread: Duration,
) -> RetryDecision {
    let pause = (PAUSE + spread).saturating_mul(2_u32.saturating_pow(tries.again));
    let again = match tries.reserve {
        _ if tries.again >= RETRIES_MAX => RetryDecision::End,
        RetryAlternatives::Another | RetryAlternatives::Tries => RetryDecision::After(pause),
        RetryAlternatives::Nothing => RetryDecision::End,
    };
    match trouble {
        RetryCause::Throttled if tries.kind.is_patient() => again,
        RetryCause::Throttled => RetryDecision::End,
        RetryCause::Beyond => again,
        RetryCause::Dropped if !tries.dropped => RetryDecision::AtOnce,
        _ if tries.reserve == RetryAlternatives::Another => RetryDecision::Next,
        // What was silent for seconds will not speak in the next hundred milliseconds.
        RetryCause::TimedOut | RetryCause::Skipped => RetryDecision::End,
        RetryCause::Dropped | RetryCause::Unreachable | RetryCause::Failing => again,
    }
}

/// How long one try may take: with another endpoint in reserve only half of what is left.
pub(in crate::upstream) fn attempt_timeout(left: Duration, reserve: RetryAlternatives) -> Duration {
    match reserve {
        RetryAlternatives::Another => left / 2,
        RetryAlternatives::Tries | RetryAlternatives::Nothing => left,
    }
}

/// The longest random part of a pause.
pub(in crate::upstream) const SPREAD_MAX: Duration = PAUSE;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_tries_and_then_the_end() {
        let check = |trouble, tries: RetryState, want| {
            assert_eq!(
                decide(trouble, tries, Duration::ZERO),
                want,
                "{trouble:?} {tries:?}"
            );
        };
        let fresh = RetryState {
            kind: RequestKind::Manifest,
            reserve: RetryAlternatives::Tries,
            again: 0,
            dropped: false,
        };
        let others = RetryState {
            reserve: RetryAlternatives::Another,
            ..fresh
        };
        let probe = RetryState {
            reserve: RetryAlternatives::Nothing,
            ..fresh
        };
        let dropped = RetryState {
            dropped: true,
            ..fresh
        };
        let patient = RetryState {
            kind: RequestKind::Blob,
            ..fresh
        };
        let again = |again| RetryState { again, ..fresh };
        check(RetryCause::Dropped, fresh, RetryDecision::AtOnce);
        check(RetryCause::Dropped, probe, RetryDecision::AtOnce);
        check(RetryCause::Dropped, dropped, RetryDecision::After(PAUSE));
        check(RetryCause::Failing, fresh, RetryDecision::After(PAUSE));
        check(
            RetryCause::Failing,
            again(1),
            RetryDecision::After(2 * PAUSE),
        );
        check(RetryCause::Failing, again(2), RetryDecision::End);
        check(RetryCause::Failing, others, RetryDecision::Next);
        check(RetryCause::Failing, probe, RetryDecision::End);
        check(RetryCause::Unreachable, others, RetryDecision::Next);
        check(RetryCause::TimedOut, fresh, RetryDecision::End);
        check(RetryCause::TimedOut, others, RetryDecision::Next);
        check(RetryCause::Skipped, fresh, RetryDecision::End);
        check(RetryCause::Skipped, others, RetryDecision::Next);
        check(RetryCause::Beyond, others, RetryDecision::After(PAUSE));
        check(RetryCause::Throttled, others, RetryDecision::End);
        check(RetryCause::Throttled, patient, RetryDecision::After(PAUSE));
    }
}
