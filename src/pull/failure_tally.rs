//! Turns the candidates' failures into one when none of them has an answer. Pure.

use std::{sync::Arc, time::Duration};

use super::PullError;
use crate::{
    route::RefusalPolicy,
    upstream::{ProtocolViolation, UpstreamError},
};

/// Registries that answer 401 or 403 for what does not exist.
const HIDES_MISSING: [&str; 4] = ["docker.io", "registry-1.docker.io", "ghcr.io", "quay.io"];

/// The failures so far, while the candidates are asked in order: the first of each kind.
#[derive(Debug, Default)]
pub(super) struct FailureTally {
    hidden: Option<Arc<UpstreamError>>,
    violation: Option<Arc<UpstreamError>>,
    forwarding_loop: Option<Arc<UpstreamError>>,
    transient: Option<Arc<UpstreamError>>,
    retry_after: Option<Duration>,
}

/// What one candidate's failure means for the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FailureKind {
    /// It is not there.
    Absent,
    /// Refused, perhaps because it does not exist: some registries hide that.
    Hidden,
    /// Refused, and final.
    Refused,
    /// The upstream cannot be reached now, or asks us to wait.
    Transient,
    /// The upstream, or one behind it, would send the request back to us.
    ForwardingLoop,
    /// The upstream's answer cannot be used.
    ProtocolViolation,
}

/// The meaning of an upstream's 401 or 403.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RefusalMeaning {
    /// The content may not exist: ask the next candidate.
    Hidden,
    /// Final if the request carried credentials; to an anonymous request it may mean that the
    /// content does not exist.
    FinalIfAuthenticated,
    /// Final.
    Final,
}

impl RefusalMeaning {
    /// The meaning under a configured policy; `names` are the upstream's and its host's.
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
    /// Classifies a failure.
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
    /// Notes a failure. The first of each kind may become the verdict.
    pub(super) fn note(&mut self, kind: FailureKind, error: &Arc<UpstreamError>) {
        let slot = match kind {
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

    /// The answer. An upstream that failed might have the content, so its failure comes first and
    /// never turns into "not found"; then one that would have asked us, which may have what we do
    /// not; then protocol violations, then refusals.
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
    fn a_refusal_is_final_only_to_credentials() {
        // A keyring entry does not prove credentials: its helper may have none for this host.
        let check = |policy, host: &str, with_credentials, want| {
            let error = UpstreamError::Refused {
                endpoint: "https://r.example".into(),
                with_credentials,
                detail: "it forbids this",
            };
            let refusal = RefusalMeaning::of(policy, ["mine", host]);
            assert_eq!(FailureKind::of(&error, refusal), want, "{policy:?} {host}");
        };
        for (policy, host, anonymous, authenticated) in [
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
            check(policy, host, true, authenticated);
        }
    }
}
