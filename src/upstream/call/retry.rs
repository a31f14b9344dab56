//! After a try that failed: again, elsewhere, or the end. Pure.

use std::time::Duration;

use super::request::Kind;

/// Most further tries of one endpoint, when there is no other.
const AGAIN_MAX: u32 = 2;
/// Wait before the first of them; doubled for the second, and spread by up to as much again.
const PAUSE: Duration = Duration::from_millis(100);

/// What kind of failure it was; all others are final.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::upstream) enum Trouble {
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
pub(in crate::upstream) struct Tries {
    /// What is asked for.
    pub(in crate::upstream) kind: Kind,
    /// What else there is.
    pub(in crate::upstream) reserve: Reserve,
    /// How often this endpoint was asked again after a pause.
    pub(in crate::upstream) again: u32,
    /// Whether it was asked again for a dropped connection.
    pub(in crate::upstream) dropped: bool,
}

/// What is left to a call beside the endpoint it is asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::upstream) enum Reserve {
    /// Another endpoint.
    Another,
    /// Further tries of this one.
    Tries,
    /// Nothing: this is the one request that a resting endpoint gets.
    Nothing,
}

/// What follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::upstream) enum Step {
    /// Ask the same endpoint again, on a new connection.
    AtOnce,
    /// Ask it again after this pause.
    After(Duration),
    /// Ask the next endpoint.
    Next,
    /// That was the last try.
    End,
}

impl Trouble {
    /// Whether it speaks against the endpoint itself.
    pub(in crate::upstream) fn blames_endpoint(self) -> bool {
        !matches!(self, Self::Beyond | Self::Skipped | Self::Throttled)
    }
}

/// The rule. `spread` is a random time up to [`PAUSE`].
pub(in crate::upstream) fn next(trouble: Trouble, tries: Tries, spread: Duration) -> Step {
    let pause = (PAUSE + spread).saturating_mul(2_u32.saturating_pow(tries.again));
    let again = match tries.reserve {
        _ if tries.again >= AGAIN_MAX => Step::End,
        Reserve::Another | Reserve::Tries => Step::After(pause),
        Reserve::Nothing => Step::End,
    };
    match trouble {
        Trouble::Throttled if tries.kind.is_patient() => again,
        Trouble::Throttled => Step::End,
        Trouble::Beyond => again,
        Trouble::Dropped if !tries.dropped => Step::AtOnce,
        _ if tries.reserve == Reserve::Another => Step::Next,
        // What was silent for seconds will not speak in the next hundred milliseconds.
        Trouble::TimedOut | Trouble::Skipped => Step::End,
        Trouble::Dropped | Trouble::Unreachable | Trouble::Failing => again,
    }
}

/// How long one try may take: with another endpoint in reserve only half of what is left.
pub(in crate::upstream) fn share(left: Duration, reserve: Reserve) -> Duration {
    match reserve {
        Reserve::Another => left / 2,
        Reserve::Tries | Reserve::Nothing => left,
    }
}

/// The longest random part of a pause.
pub(in crate::upstream) const SPREAD_MAX: Duration = PAUSE;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_tries_and_then_the_end() {
        let check = |trouble, tries: Tries, want| {
            assert_eq!(
                next(trouble, tries, Duration::ZERO),
                want,
                "{trouble:?} {tries:?}"
            );
        };
        let fresh = Tries {
            kind: Kind::Manifest,
            reserve: Reserve::Tries,
            again: 0,
            dropped: false,
        };
        let others = Tries {
            reserve: Reserve::Another,
            ..fresh
        };
        let probe = Tries {
            reserve: Reserve::Nothing,
            ..fresh
        };
        let dropped = Tries {
            dropped: true,
            ..fresh
        };
        let patient = Tries {
            kind: Kind::Blob,
            ..fresh
        };
        let again = |again| Tries { again, ..fresh };
        check(Trouble::Dropped, fresh, Step::AtOnce);
        check(Trouble::Dropped, probe, Step::AtOnce);
        check(Trouble::Dropped, dropped, Step::After(PAUSE));
        check(Trouble::Failing, fresh, Step::After(PAUSE));
        check(Trouble::Failing, again(1), Step::After(2 * PAUSE));
        check(Trouble::Failing, again(2), Step::End);
        check(Trouble::Failing, others, Step::Next);
        check(Trouble::Failing, probe, Step::End);
        check(Trouble::Unreachable, others, Step::Next);
        check(Trouble::TimedOut, fresh, Step::End);
        check(Trouble::TimedOut, others, Step::Next);
        check(Trouble::Skipped, fresh, Step::End);
        check(Trouble::Skipped, others, Step::Next);
        check(Trouble::Beyond, others, Step::After(PAUSE));
        check(Trouble::Throttled, others, Step::End);
        check(Trouble::Throttled, patient, Step::After(PAUSE));
    }
}
