//! Eviction: removes the least recently used blobs until both limits hold.

use std::{path::Path, sync::Arc};

use super::{
    error::StoreError,
    index::{BlobRow, EvictionCandidate},
    state::{Ledger, StoreState},
};
use crate::oci::Digest;

/// The least that is freed for a write that found the disk full.
const EMERGENCY_BYTES_MIN: u64 = 16 * 1024 * 1024;
/// Bounds of the steps in which a blob of unknown size reserves space.
const STEP_BYTES_MIN: u64 = 64 * 1024;
const STEP_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// Space reserved for a blob being written; released when dropped.
#[derive(Debug)]
pub(super) struct Reservation {
    state: Arc<StoreState>,
    size: u64,
    written: u64,
    /// Above this it is too large to be kept. A blob of unknown size may become arbitrarily large,
    /// so beyond a quarter of the store nothing more is evicted for it.
    size_max: u64,
    /// Too large to be kept: it lives for its fill only, and nothing is evicted for it.
    too_large_to_keep: bool,
}

impl Reservation {
    /// Reserves space and makes room for it; `Full` if the volume has none. Other writers never see
    /// a reservation that fails.
    pub(super) fn new(
        state: &Arc<StoreState>,
        size: Option<u64>,
        path: &Path,
    ) -> Result<Self, StoreError> {
        let _guard = state.eviction_lock.lock();
        let all = state.bounds().size_max;
        let mut reservation = Self {
            state: Arc::clone(state),
            size: 0,
            written: 0,
            size_max: size.map_or(all / 4, |_known| all),
            too_large_to_keep: false,
        };
        reservation.set(size.unwrap_or_else(|| reservation_step(all)), 0);
        reservation.fit(path)?;
        Ok(reservation)
    }

    /// Records how much is written; returns whether more room must be made.
    pub(super) fn wrote(&mut self, written: u64) -> bool {
        let grows = written > self.size;
        let size = if grows {
            written.saturating_add(reservation_step(self.state.bounds().size_max))
        } else {
            self.size
        };
        self.set(size, written);
        grows
    }

    /// Makes room for the growth of the reservation.
    pub(super) fn make_room(&self, path: &Path) -> Result<(), StoreError> {
        let _guard = self.state.eviction_lock.lock();
        self.fit(path)
    }

    /// Evicts until this and all other reservations fit. Evicts nothing for a blob that will not be
    /// kept, nor if evicting everything would not suffice. The caller holds `eviction_lock`.
    fn fit(&self, path: &Path) -> Result<(), StoreError> {
        let state = &self.state;
        let (ledger, limits) = usage_and_limits(state);
        let evictable = if self.too_large_to_keep {
            0
        } else {
            ledger.bytes
        };
        if shortage(&ledger, &limits) <= evictable {
            evict(state, excess(&ledger, &limits));
            let (ledger, limits) = usage_and_limits(state);
            if shortage(&ledger, &limits) == 0 {
                return Ok(());
            }
        }
        let path = path.to_path_buf();
        Err(StoreError::Full { path })
    }

    /// Turns the reservation into a kept blob in one step: between two, a concurrent check would
    /// let the store grow too large. The caller holds `blobs_lock`.
    pub(super) fn commit(&mut self, digest: &Digest, row: BlobRow) {
        let replaced = self.state.index.put_blobs(&[(*digest, row)]);
        let mut ledger = self.state.ledger.lock();
        self.release(&mut ledger);
        let old = replaced.first().copied().flatten();
        self.state.count(&mut ledger, old, row);
        self.size = 0;
        self.written = 0;
    }

    /// Whether the blob is too large to be kept.
    pub(super) fn is_too_large_to_keep(&self) -> bool {
        self.too_large_to_keep
    }

    fn set(&mut self, size: u64, written: u64) {
        let mut ledger = self.state.ledger.lock();
        self.release(&mut ledger);
        self.size = size;
        self.written = written;
        self.too_large_to_keep |= size > self.size_max;
        if !self.too_large_to_keep {
            ledger.reserved = ledger.reserved.saturating_add(size);
        }
        ledger.unwritten = ledger
            .unwritten
            .saturating_add(size.saturating_sub(written));
    }

    fn release(&self, ledger: &mut Ledger) {
        if !self.too_large_to_keep {
            ledger.reserved = ledger.reserved.saturating_sub(self.size);
        }
        let unwritten = self.size.saturating_sub(self.written);
        ledger.unwritten = ledger.unwritten.saturating_sub(unwritten);
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.release(&mut self.state.ledger.lock());
    }
}

/// Evicts what the limits no longer allow; reservations make their own room.
pub(super) fn trim(state: &StoreState) {
    let _guard = state.eviction_lock.lock();
    let (mut ledger, limits) = usage_and_limits(state);
    ledger.reserved = 0;
    ledger.unwritten = 0;
    if shortage(&ledger, &limits) <= ledger.bytes {
        evict(state, excess(&ledger, &limits));
    }
}

/// Makes room although the limits hold, for example against a quota that `space` does not show.
pub(super) fn make_emergency_room(state: &StoreState) {
    let _guard = state.eviction_lock.lock();
    let unwritten = state.ledger.lock().unwritten;
    evict(state, unwritten.max(EMERGENCY_BYTES_MIN));
}

fn evict(state: &StoreState, excess: u64) {
    if excess == 0 {
        return;
    }
    state.write_uses();
    for digest in state.index.choose(|candidates| victims(candidates, excess)) {
        let _guard = state.blobs_lock.lock();
        if let Err(error) = state.remove_blob(&digest) {
            tracing::warn!(%error, "cannot evict a blob");
            continue;
        }
        state.metrics.evicted();
        for origin in state.index.unconfirm(&digest) {
            let marker = state.layout.marker(&origin, &digest);
            if let Err(error) = state.disk.remove(&marker) {
                tracing::warn!(path = %marker.display(), %error, "cannot remove a marker");
            }
            state.provenance.invalidate(&(origin, digest));
        }
    }
}

fn usage_and_limits(state: &StoreState) -> (Ledger, EvictionLimits) {
    let space = state.disk.space(state.layout.root());
    let bounds = state.bounds();
    let limits = EvictionLimits {
        size_max: bounds.size_max,
        free_min: bounds.free_min,
        // Where the free space is unknown, only `size_max` applies.
        free: space.map_or(u64::MAX, |space| space.free),
    };
    (*state.ledger.lock(), limits)
}

/// The limits that eviction enforces, and the free space on the volume.
#[derive(Clone, Copy, Debug)]
struct EvictionLimits {
    size_max: u64,
    free_min: u64,
    free: u64,
}

/// How many bytes of blobs must be evicted.
fn excess(ledger: &Ledger, limits: &EvictionLimits) -> u64 {
    let over = ledger
        .bytes
        .saturating_add(ledger.reserved)
        .saturating_sub(limits.size_max);
    over.max(shortage(ledger, limits))
}

/// How many bytes the volume lacks.
fn shortage(ledger: &Ledger, limits: &EvictionLimits) -> u64 {
    limits
        .free_min
        .saturating_add(ledger.unwritten)
        .saturating_sub(limits.free)
}

/// The first candidates that together free `excess` bytes; all of them if they do not suffice.
fn victims(candidates: &mut dyn Iterator<Item = EvictionCandidate>, excess: u64) -> Vec<Digest> {
    let mut freed: u64 = 0;
    let mut victims = Vec::new();
    while freed < excess
        && let Some(candidate) = candidates.next()
    {
        freed = freed.saturating_add(candidate.size);
        victims.push(candidate.digest);
    }
    victims
}

fn reservation_step(size_max: u64) -> u64 {
    (size_max / 64).clamp(STEP_BYTES_MIN, STEP_BYTES_MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::oci::Algorithm;

    #[test]
    fn both_limits_and_all_reservations_count() {
        let ledger = Ledger {
            blobs: 1,
            bytes: 50,
            reserved: 30,
            unwritten: 20,
        };
        let check = |size_max, free_min, free, want| {
            let limits = EvictionLimits {
                size_max,
                free_min,
                free,
            };
            assert_eq!(excess(&ledger, &limits), want, "{limits:?}");
        };
        check(80, 0, 20, 0);
        check(79, 0, 20, 1);
        check(100, 10, 30, 0);
        check(100, 10, 29, 1);
        check(70, 10, 0, 30);
        check(0, u64::MAX, 0, u64::MAX);
    }

    proptest! {
        #[test]
        fn victims_are_the_shortest_prefix_that_suffices(
            sizes in proptest::collection::vec(0_u64..100, 0..20),
            excess in 0_u64..1200,
        ) {
            let candidates: Vec<_> = sizes
                .iter()
                .enumerate()
                .map(|(number, size)| EvictionCandidate {
                    digest: Digest::of(Algorithm::Sha256, &number.to_be_bytes()),
                    size: *size,
                })
                .collect();
            let got = victims(&mut candidates.iter().copied(), excess);
            let want = (0..=sizes.len())
                .find(|count| sizes[..*count].iter().sum::<u64>() >= excess)
                .unwrap_or(sizes.len());
            let want: Vec<_> = candidates[..want].iter().map(|found| found.digest).collect();
            prop_assert_eq!(got, want);
        }
    }
}
