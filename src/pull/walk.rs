//! What the candidates' failures come to when none of them has an answer. Pure.

use std::{sync::Arc, time::Duration};

use super::PullError;
use crate::{
    route::Refused,
    upstream::{Breach, UpstreamError},
};

/// Registries that answer 401 or 403 for what does not exist.
const HIDES_MISSING: [&str; 4] = ["docker.io", "registry-1.docker.io", "ghcr.io", "quay.io"];

/// What has been heard so far while walking a name's candidates.
#[derive(Debug, Default)]
pub(super) struct Walk {
    hidden: Option<Arc<UpstreamError>>,
    breach: Option<Arc<UpstreamError>>,
    transient: Option<Arc<UpstreamError>>,
    retry_after: Option<Duration>,
}

/// What one candidate's failure means for the walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// It is not there.
    Absent,
    /// It may be there, but we are not shown it, as a registry does that hides what is missing.
    Hidden,
    /// It refused us, and that is the end.
    Refused,
    /// It cannot be asked now, or asks to wait.
    Transient,
    /// What it sent cannot be used.
    Breach,
}

/// How a 401 or 403 of an upstream is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It may only mean that there is no such thing: try the next candidate.
    Hidden,
    /// It is the answer.
    Final,
}

impl Refusal {
    /// Reads it as the configuration says; `names` are the upstream's and its host's, `username`
    /// whom we log in as.
    pub(super) fn of(policy: Refused, names: [&str; 2], username: Option<&str>) -> Self {
        let hides = || names.iter().any(|name| HIDES_MISSING.contains(name));
        match policy {
            Refused::Next => Self::Hidden,
            Refused::Auto if username.is_none() || hides() => Self::Hidden,
            Refused::Auto | Refused::Stop => Self::Final,
        }
    }
}

impl Heard {
    /// Sorts a failure.
    pub(super) fn of(error: &UpstreamError, refusal: Refusal) -> Self {
        match error {
            UpstreamError::Absent { .. } => Self::Absent,
            UpstreamError::Refused { .. } if refusal == Refusal::Hidden => Self::Hidden,
            UpstreamError::Refused { .. } => Self::Refused,
            UpstreamError::Breach { .. } => Self::Breach,
            _ => Self::Transient,
        }
    }
}

impl Walk {
    /// Remembers what a candidate said; the first of each kind speaks in the end.
    pub(super) fn note(&mut self, heard: Heard, error: &Arc<UpstreamError>) {
        let slot = match heard {
            Heard::Absent => return,
            Heard::Hidden | Heard::Refused => &mut self.hidden,
            Heard::Breach => &mut self.breach,
            Heard::Transient => &mut self.transient,
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
    /// first and never turns into "not found"; then broken answers, then hidden ones.
    pub(super) fn verdict(self) -> PullError {
        match (self.transient, self.breach, self.hidden) {
            (Some(source), _, _) => match &*source {
                UpstreamError::TimedOut { .. } => PullError::TimedOut(Some(source)),
                UpstreamError::Throttled { .. } => PullError::Throttled {
                    retry_after: self.retry_after,
                    source,
                },
                _ => PullError::Unavailable(source),
            },
            (None, Some(source), _) => match &*source {
                UpstreamError::Breach {
                    breach: Breach::Schema1,
                    ..
                } => PullError::Schema1,
                _ => PullError::Breach(source),
            },
            (None, None, Some(source)) => PullError::Refused(source),
            (None, None, None) => PullError::Absent,
        }
    }
}
