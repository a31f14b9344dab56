//! Asks a name's candidates one after the other.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep};

use super::{
    ContentKey, ManifestAnswer, PullError, Puller,
    failure_tally::{FailureKind, FailureTally, RefusalMeaning},
    resolve::{FetchSource, origin_of},
};
use crate::{
    oci::Origin,
    route::Candidate,
    upstream::{Upstream, UpstreamError},
};

/// Pause after a 429 that does not say for how long; the upstream's gate knows it when asked again.
const RETRY_AFTER_DEFAULT: Duration = Duration::from_millis(50);

impl Puller {
    /// Asks one candidate after the other, up to the first that has an answer or refuses us. The
    /// absence of an `item` is remembered.
    pub(super) async fn ask_in_order<'o, T, F>(
        &self,
        order: &'o [Candidate],
        item: Option<&ContentKey>,
        asking: impl Fn(Upstream, &'o Candidate) -> F,
    ) -> Result<(T, Origin), PullError>
    where
        F: Future<Output = Result<T, UpstreamError>>,
    {
        let mut walk = FailureTally::default();
        for candidate in order {
            let asked = self.source(candidate)?;
            match asking(asked.upstream.clone(), candidate).await {
                Ok(answer) => return Ok((answer, asked.origin)),
                Err(error) => {
                    if self.record_failure(&asked, error, item, &mut walk) == FailureKind::Refused {
                        break;
                    }
                }
            }
        }
        Err(walk.verdict())
    }

    /// Sorts a candidate's failure, remembers an absence, and notes the rest for the verdict.
    pub(super) fn record_failure(
        &self,
        asked: &FetchSource,
        error: UpstreamError,
        item: Option<&ContentKey>,
        walk: &mut FailureTally,
    ) -> FailureKind {
        let error = Arc::new(error);
        let heard = FailureKind::of(&error, asked.refusal);
        if heard != FailureKind::Absent {
            tracing::debug!(origin = %asked.origin, %error, "asked in vain");
        } else if let Some(item) = item {
            let absent = (asked.origin.clone(), item.clone());
            self.0.absences.insert(absent, ());
        }
        walk.note(heard, &error);
        heard
    }

    /// The upstream behind a candidate.
    pub(super) fn source(&self, candidate: &Candidate) -> Result<FetchSource, PullError> {
        let known = self.0.directory.find(&candidate.upstream, &self.0.table).map_err(|error| {
            tracing::error!(upstream = %candidate.upstream, %error, "no client for an upstream");
            PullError::Abandoned
        })?;
        let upstream = known.upstream;
        let policy = candidate.refused.unwrap_or(known.refused);
        let names = [upstream.name().as_str(), &upstream.authority()];
        let refusal = RefusalMeaning::of(policy, names);
        Ok(FetchSource {
            origin: origin_of(candidate),
            upstream,
            refusal,
        })
    }
}

/// Walks again as often as an upstream's 429 allows it before the deadline: a client that is told to
/// come back comes back at once.
pub(super) async fn retry_throttled<F>(
    deadline: Instant,
    walk: impl Fn() -> F,
) -> Result<ManifestAnswer, PullError>
where
    F: Future<Output = Result<ManifestAnswer, PullError>>,
{
    loop {
        let outcome = walk().await;
        let Err(PullError::Throttled { retry_after, .. }) = &outcome else {
            return outcome;
        };
        let wait = retry_after.unwrap_or(RETRY_AFTER_DEFAULT);
        if Instant::now() + wait >= deadline {
            return outcome;
        }
        sleep(wait).await;
    }
}
