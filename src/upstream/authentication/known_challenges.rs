//! An endpoint's challenges, remembered by repository.

use std::time::Duration;

use moka::sync::Cache;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::challenge::Challenge;
use crate::oci::RepositoryName;

/// Most repositories of an endpoint whose challenges are remembered.
const REPOSITORIES_MAX: u64 = 4096;
/// How long the root is not pinged again after it gave no challenge.
pub(super) const SILENT_ROOT_MAX: Duration = Duration::from_mins(1);

/// An endpoint's challenges, remembered so that later requests need no refusal first.
#[derive(Debug)]
pub(in crate::upstream) struct KnownChallenges {
    /// For repositories that were not requested yet.
    last: Mutex<Challenge>,
    by_repository: Cache<RepositoryName, Challenge>,
    /// Until when the root is not pinged again.
    silent_until: Mutex<Option<Instant>>,
}

impl Default for KnownChallenges {
    fn default() -> Self {
        Self {
            last: Mutex::default(),
            by_repository: Cache::new(REPOSITORIES_MAX),
            silent_until: Mutex::default(),
        }
    }
}

impl KnownChallenges {
    pub(super) fn of(&self, name: Option<&RepositoryName>) -> Challenge {
        let own = name.and_then(|name| self.by_repository.get(name));
        own.unwrap_or_else(|| self.last.lock().clone().without_scope())
    }

    pub(super) fn remember(&self, name: Option<&RepositoryName>, challenge: &Challenge) {
        *self.last.lock() = challenge.clone();
        if let Some(name) = name {
            self.by_repository.insert(name.clone(), challenge.clone());
        }
    }

    /// Whether the root may have a challenge that a resource does not.
    pub(super) fn may_ping(&self, now: Instant) -> bool {
        self.silent_until.lock().is_none_or(|until| now >= until)
    }

    /// Remembers whether the root gave a challenge.
    pub(super) fn record_ping(&self, challenge: &Challenge, now: Instant) {
        *self.silent_until.lock() = challenge.is_empty().then_some(now + SILENT_ROOT_MAX);
    }

    /// Forgets a challenge that leads nowhere.
    pub(super) fn forget(&self, name: Option<&RepositoryName>) {
        self.remember(name, &Challenge::default());
    }
}
