//! Asks the candidates in order, and again after a 429.

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

/// Pause after a 429 without a stated wait; on the next attempt our own rate limit states one.
const RETRY_AFTER_DEFAULT: Duration = Duration::from_millis(50);

impl Puller {
    /// Asks the candidates in order, up to the first that answers or whose refusal is final. A "not
    /// found" is remembered if there is a `key`.
    pub(super) async fn ask_in_order<'o, T, F>(
        &self,
        candidates: &'o [Candidate],
        key: Option<&ContentKey>,
        ask: impl Fn(Upstream, &'o Candidate) -> F,
    ) -> Result<(T, Origin), PullError>
    where
        F: Future<Output = Result<T, UpstreamError>>,
    {
        let mut failures = FailureTally::default();
        for candidate in candidates {
            let source = self.source(candidate)?;
            match ask(source.upstream.clone(), candidate).await {
                Ok(answer) => return Ok((answer, source.origin)),
                Err(error) => {
                    if self.record_failure(&source, error, key, &mut failures)
                        == FailureKind::Refused
                    {
                        break;
                    }
                }
            }
        }
        Err(failures.verdict())
    }

    /// Classifies a candidate's failure, remembers an absence, and notes the rest for the verdict.
    pub(super) fn record_failure(
        &self,
        source: &FetchSource,
        error: UpstreamError,
        key: Option<&ContentKey>,
        failures: &mut FailureTally,
    ) -> FailureKind {
        let error = Arc::new(error);
        let kind = FailureKind::of(&error, source.refusal);
        if kind != FailureKind::Absent {
            tracing::debug!(origin = %source.origin, %error, "upstream request failed");
        } else if let Some(key) = key {
            let absent = (source.origin.clone(), key.clone());
            self.0.absences.insert(absent, ());
        }
        failures.note(kind, &error);
        kind
    }

    /// The upstream of a candidate.
    pub(super) fn source(&self, candidate: &Candidate) -> Result<FetchSource, PullError> {
        let known = self.0.directory.find(&candidate.upstream, &self.0.table).map_err(|error| {
            tracing::error!(upstream = %candidate.upstream, %error, "cannot build a client for an upstream");
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

/// Retries after an upstream's 429 while the deadline allows it. The client is spared the 429,
/// which would bring it back at once.
pub(super) async fn retry_throttled<F>(
    deadline: Instant,
    attempt: impl Fn() -> F,
) -> Result<ManifestAnswer, PullError>
where
    F: Future<Output = Result<ManifestAnswer, PullError>>,
{
    loop {
        let outcome = attempt().await;
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
