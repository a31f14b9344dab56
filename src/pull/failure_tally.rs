//! What the candidates' failures come to when none of them has an answer. Pure.

use std::{sync::Arc, time::Duration};

use super::PullError;
use crate::{
    route::RefusalPolicy,
    upstream::{ProtocolViolation, UpstreamError},
};

/// Registries that answer 401 or 403 for what does not exist.
const HIDES_MISSING: [&str; 4] = ["docker.io", "registry-1.docker.io", "ghcr.io", "quay.io"];

/// What has been heard so far while walking a name's candidates.
#[derive(Debug, Default)]
pub(super) struct FailureTally {
    hidden: Option<Arc<UpstreamError>>,
    violation: Option<Arc<UpstreamError>>,
    forwarding_loop: Option<Arc<UpstreamError>>,
    transient: Option<Arc<UpstreamError>>,
    retry_after: Option<Duration>,
}

/// What one candidate's failure means for the walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FailureKind {
    /// It is not there.
    Absent,
    /// It may be there, but we are not shown it, as a registry does that hides what is missing.
    Hidden,
    /// It refused us, and that is the end.
    Refused,
    /// It cannot be asked now, or asks to wait.
    Transient,
    /// It, or somebody behind it, would ask us again.
    ForwardingLoop,
    /// What it sent cannot be used.
    ProtocolViolation,
}

/// How a 401 or 403 of an upstream is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RefusalMeaning {
    /// It may only mean that there is no such thing: try the next candidate.
    Hidden,
    /// It is the answer if it is one to our login; said to nobody in particular, it may only mean
    /// that there is no such thing.
    FinalIfAuthenticated,
    /// It is the answer.
    Final,
}

impl RefusalMeaning {
    /// Reads it as the configuration says; `names` are the upstream's and its host's.
    pub(super) fn of(policy: RefusalPolicy, names: [&str; 2]) -> Self {
        let hides = || names.iter().any(|name| HIDES_MISSING.contains(name));
        match policy {
            RefusalPolicy::Next => Self::Hidden,
            RefusalPolicy::Auto if hides() => Self::Hidden,
            RefusalPolicy::Auto => Self::FinalIfAuthenticated,
            RefusalPolicy::Stop => Self::Final,
        }
    }
}

impl FailureKind {
    /// Sorts a failure.
    pub(super) fn of(error: &UpstreamError, refusal: RefusalMeaning) -> Self {
        match error {
            UpstreamError::Absent { .. } => Self::Absent,
            UpstreamError::Refused { .. } => match refusal {
                RefusalMeaning::Hidden => Self::Hidden,
                RefusalMeaning::FinalIfAuthenticated if !error.is_refused_credentials() => {
                    Self::Hidden
                }
                RefusalMeaning::FinalIfAuthenticated | RefusalMeaning::Final => Self::Refused,
            },
            UpstreamError::ProtocolViolation { .. } => Self::ProtocolViolation,
            UpstreamError::Loop { .. } => Self::ForwardingLoop,
            _ => Self::Transient,
        }
    }
}

impl FailureTally {
    /// Remembers what a candidate said; the first of each kind speaks in the end.
    pub(super) fn note(&mut self, heard: FailureKind, error: &Arc<UpstreamError>) {
        let slot = match heard {
            FailureKind::Absent => return,
            FailureKind::Hidden | FailureKind::Refused => &mut self.hidden,
            FailureKind::ProtocolViolation => &mut self.violation,
            FailureKind::ForwardingLoop => &mut self.forwarding_loop,
            FailureKind::Transient => &mut self.transient,
        };
        if let UpstreamError::Throttled {
            retry_after: Some(wait),
            ..
        } = &**error
        {
            self.retry_after = Some(self.retry_after.map_or(*wait, |known| known.min(*wait)));
        }
        slot.get_or_insert_with(|| Arc::clone(error));
    }

    /// What to answer: an upstream that could not be asked might have it, so its trouble comes
    /// first and never turns into "not found"; then one that would have asked us, which may keep
    /// what we do not; then broken answers, then hidden ones.
    pub(super) fn verdict(self) -> PullError {
        if self.transient.is_none()
            && let Some(source) = self.forwarding_loop
        {
            return PullError::ForwardingLoop(source);
        }
        match (self.transient, self.violation, self.hidden) {
            (Some(source), _, _) => match &*source {
                UpstreamError::TimedOut { .. } => PullError::TimedOut(Some(source)),
                UpstreamError::Throttled { .. } => PullError::Throttled {
                    retry_after: self.retry_after,
                    source,
                },
                _ => PullError::Unavailable(source),
            },
            (None, Some(source), _) => match &*source {
                UpstreamError::ProtocolViolation {
                    breach: ProtocolViolation::Schema1,
                    ..
                } => PullError::Schema1,
                _ => PullError::ProtocolViolation(source),
            },
            (None, None, Some(source)) => PullError::Refused(source),
            (None, None, None) => PullError::Absent,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_the_answer_only_to_who_logged_in() {
        // An entry of the keyring is no login yet: its helper may have none for this host.
        let check = |policy, host: &str, with_credentials, want| {
            let error = UpstreamError::Refused {
                endpoint: "https://r.example".into(),
                with_credentials,
                detail: "it forbids this",
            };
            let refusal = RefusalMeaning::of(policy, ["mine", host]);
            assert_eq!(FailureKind::of(&error, refusal), want, "{policy:?} {host}");
        };
        for (policy, host, anonymous, ours) in [
            (
                RefusalPolicy::Auto,
                "r.example",
                FailureKind::Hidden,
                FailureKind::Refused,
            ),
            (
                RefusalPolicy::Auto,
                "ghcr.io",
                FailureKind::Hidden,
                FailureKind::Hidden,
            ),
            (
                RefusalPolicy::Next,
                "r.example",
                FailureKind::Hidden,
                FailureKind::Hidden,
            ),
            (
                RefusalPolicy::Stop,
                "ghcr.io",
                FailureKind::Refused,
                FailureKind::Refused,
            ),
        ] {
            check(policy, host, false, anonymous);
            check(policy, host, true, ours);
        }
    }
}
