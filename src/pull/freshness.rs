//! Whether a tag's record may be served. Pure: the clocks are arguments.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use crate::{oci::Digest, store::TagRecord};

/// How long a tag's record may be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FreshnessPolicy {
    /// Without asking upstream.
    pub(super) fresh: Duration,
    /// While upstream fails.
    pub(super) stale_max: Duration,
}

/// What to do about a tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TagDecision {
    /// Serve the record.
    Serve(Digest),
    /// Ask upstream.
    Revalidate,
}

/// Decides by the process's own clock when upstream last confirmed the record. A record from
/// before the start is never fresh: the wall clock may have jumped since.
pub(super) fn tag_decision(
    record: Option<TagRecord>,
    confirmed: Option<Instant>,
    now: Instant,
    policy: FreshnessPolicy,
) -> TagDecision {
    match (record, confirmed) {
        (Some(record), Some(at)) if now.saturating_duration_since(at) < policy.fresh => {
            TagDecision::Serve(record.digest)
        }
        _ => TagDecision::Revalidate,
    }
}

/// Whether a record may stand in for an upstream that fails. A record from the future (a clock
/// that was set back) counts as new.
pub(super) fn may_be_stale(record: TagRecord, now: Timestamp, policy: FreshnessPolicy) -> bool {
    let age = now.duration_since(record.checked);
    Duration::try_from(age).is_ok_and(|age| age <= policy.stale_max) || age.is_negative()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::Algorithm;

    const POLICY: FreshnessPolicy = FreshnessPolicy {
        fresh: Duration::from_secs(5),
        stale_max: Duration::from_secs(100),
    };

    fn record(checked: i64) -> TagRecord {
        let checked = Timestamp::from_second(checked).unwrap();
        TagRecord {
            digest: Digest::of(Algorithm::Sha256, b"x"),
            checked,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn only_a_recent_confirmation_is_fresh() {
        let confirmed = Instant::now();
        let after = |seconds| confirmed + Duration::from_secs(seconds);
        let step = |record, confirmed, now| tag_decision(record, confirmed, now, POLICY);
        let known = record(0);
        assert_eq!(
            step(Some(known), Some(confirmed), after(4)),
            TagDecision::Serve(known.digest)
        );
        assert_eq!(
            step(Some(known), Some(confirmed), after(5)),
            TagDecision::Revalidate
        );
        assert_eq!(step(Some(known), None, after(0)), TagDecision::Revalidate);
        assert_eq!(
            step(None, Some(confirmed), after(0)),
            TagDecision::Revalidate
        );
    }

    #[test]
    fn stale_has_an_age_limit_and_survives_clock_jumps() {
        let now = |seconds| Timestamp::from_second(seconds).unwrap();
        assert!(may_be_stale(record(1000), now(1100), POLICY));
        assert!(!may_be_stale(record(1000), now(1101), POLICY));
        assert!(may_be_stale(record(1000), now(0), POLICY));
    }
}
