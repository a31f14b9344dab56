//! The last uses of blobs: recorded in memory by requests, written in batches.

use std::{
    collections::BTreeMap,
    mem,
    sync::atomic::{AtomicU64, Ordering},
};

use parking_lot::Mutex;

use crate::oci::Digest;

/// Locks, so that requests for different blobs rarely share one.
const SHARDS: usize = 16;

/// Uses not written yet, at most one per blob, and the clock that numbers them.
#[derive(Debug, Default)]
pub(super) struct Uses {
    last: AtomicU64,
    shards: [Mutex<BTreeMap<Digest, u64>>; SHARDS],
}

impl Uses {
    /// The number of a use now: milliseconds since 1970, but always above all earlier ones, so that
    /// a clock that jumps back does not make the newest use look like the oldest.
    pub(super) fn now(&self) -> u64 {
        let clock = u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or_default();
        let next = |last: u64| Some(clock.max(last.saturating_add(1)));
        let before = self
            .last
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
        next(before.unwrap_or_else(|last| last)).unwrap_or(clock)
    }

    /// Continues after the last number of an earlier run.
    pub(super) fn after(&self, last: u64) {
        self.last.fetch_max(last, Ordering::Relaxed);
    }

    /// Records a use of a blob.
    pub(super) fn note(&self, digest: &Digest) {
        let now = self.now();
        let first = digest.as_bytes().first().copied().unwrap_or_default();
        if let Some(shard) = self.shards.get(usize::from(first) % SHARDS) {
            shard.lock().insert(*digest, now);
        }
    }

    /// Takes all recorded uses.
    pub(super) fn take(&self) -> Vec<(Digest, u64)> {
        self.shards
            .iter()
            .flat_map(|shard| mem::take(&mut *shard.lock()))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::Algorithm;

    #[test]
    fn numbers_only_rise() {
        let uses = Uses::default();
        let first = uses.now();
        assert!(uses.now() > first);
        uses.after(u64::MAX - 10);
        assert_eq!(uses.now(), u64::MAX - 9);
    }

    #[test]
    fn a_use_is_taken_once() {
        let uses = Uses::default();
        let digest = Digest::of(Algorithm::Sha256, b"a");
        uses.note(&digest);
        uses.note(&digest);
        assert_eq!(uses.take().len(), 1);
        assert_eq!(uses.take(), []);
    }
}
