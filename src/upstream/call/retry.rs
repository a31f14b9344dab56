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
    ServerError,
    /// The host of a redirect failed in any of these ways; the registry may name another.
    RedirectTarget,
    /// The endpoint was not asked, or not for long enough to say anything of it.
    NotAttempted,
    /// A 429; the gate knows how long to wait.
    Throttled,
}

/// How far a call has come.
#[derive(Clone, Copy, Debug)]
pub(in crate::upstream) struct RetryState {
    /// What is asked for.
    pub(in crate::upstream) kind: RequestKind,
    /// What else there is.
    pub(in crate::upstream) alternatives: RetryAlternatives,
    /// How often this endpoint was asked again after a pause.
    pub(in crate::upstream) retries: u32,
    /// Whether it was asked again for a dropped connection.
    pub(in crate::upstream) dropped: bool,
}

/// What is left to a call beside the endpoint it is asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::upstream) enum RetryAlternatives {
    /// Another endpoint.
    AnotherEndpoint,
    /// Further tries of this one.
    MoreAttempts,
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
    NextEndpoint,
    /// That was the last try.
    GiveUp,
}

impl RetryCause {
    /// Whether it speaks against the endpoint itself.
    pub(in crate::upstream) fn counts_against_endpoint(self) -> bool {
        !matches!(
            self,
            Self::RedirectTarget | Self::NotAttempted | Self::Throttled
        )
    }
}

/// The rule. `spread` is a random time up to [`PAUSE`].
pub(in crate::upstream) fn decide(
    cause: RetryCause,
    tries: RetryState,
    spread: Duration,
) -> RetryDecision {
    let pause = (PAUSE + spread).saturating_mul(2_u32.saturating_pow(tries.retries));
    let again = match tries.alternatives {
        _ if tries.retries >= RETRIES_MAX => RetryDecision::GiveUp,
        RetryAlternatives::AnotherEndpoint | RetryAlternatives::MoreAttempts => {
            RetryDecision::After(pause)
        }
        RetryAlternatives::Nothing => RetryDecision::GiveUp,
    };
    match cause {
        RetryCause::Throttled if tries.kind.is_long_transfer() => again,
        RetryCause::Throttled => RetryDecision::GiveUp,
        RetryCause::RedirectTarget => again,
        RetryCause::Dropped if !tries.dropped => RetryDecision::AtOnce,
        _ if tries.alternatives == RetryAlternatives::AnotherEndpoint => {
            RetryDecision::NextEndpoint
        }
        // What was silent for seconds will not speak in the next hundred milliseconds.
        RetryCause::TimedOut | RetryCause::NotAttempted => RetryDecision::GiveUp,
        RetryCause::Dropped | RetryCause::Unreachable | RetryCause::ServerError => again,
    }
}

/// How long one try may take: with another endpoint in reserve only half of what is left.
pub(in crate::upstream) fn attempt_timeout(left: Duration, reserve: RetryAlternatives) -> Duration {
    match reserve {
        RetryAlternatives::AnotherEndpoint => left / 2,
        RetryAlternatives::MoreAttempts | RetryAlternatives::Nothing => left,
    }
}

/// The longest random part of a pause.
pub(in crate::upstream) const SPREAD_MAX: Duration = PAUSE;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_tries_and_then_the_end() {
        let check = |cause, tries: RetryState, want| {
            assert_eq!(
                decide(cause, tries, Duration::ZERO),
                want,
                "{cause:?} {tries:?}"
            );
        };
        let fresh = RetryState {
            kind: RequestKind::Manifest,
            alternatives: RetryAlternatives::MoreAttempts,
            retries: 0,
            dropped: false,
        };
        let others = RetryState {
            alternatives: RetryAlternatives::AnotherEndpoint,
            ..fresh
        };
        let probe = RetryState {
            alternatives: RetryAlternatives::Nothing,
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
        let again = |again| RetryState {
            retries: again,
            ..fresh
        };
        check(RetryCause::Dropped, fresh, RetryDecision::AtOnce);
        check(RetryCause::Dropped, probe, RetryDecision::AtOnce);
        check(RetryCause::Dropped, dropped, RetryDecision::After(PAUSE));
        check(RetryCause::ServerError, fresh, RetryDecision::After(PAUSE));
        check(
            RetryCause::ServerError,
            again(1),
            RetryDecision::After(2 * PAUSE),
        );
        check(RetryCause::ServerError, again(2), RetryDecision::GiveUp);
        check(RetryCause::ServerError, others, RetryDecision::NextEndpoint);
        check(RetryCause::ServerError, probe, RetryDecision::GiveUp);
        check(RetryCause::Unreachable, others, RetryDecision::NextEndpoint);
        check(RetryCause::TimedOut, fresh, RetryDecision::GiveUp);
        check(RetryCause::TimedOut, others, RetryDecision::NextEndpoint);
        check(RetryCause::NotAttempted, fresh, RetryDecision::GiveUp);
        check(
            RetryCause::NotAttempted,
            others,
            RetryDecision::NextEndpoint,
        );
        check(
            RetryCause::RedirectTarget,
            others,
            RetryDecision::After(PAUSE),
        );
        check(RetryCause::Throttled, others, RetryDecision::GiveUp);
        check(RetryCause::Throttled, patient, RetryDecision::After(PAUSE));
    }
}
