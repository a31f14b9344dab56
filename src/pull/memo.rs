//! Remembers what is always the same for a key.

use std::{
    collections::HashMap,
    fmt,
    hash::{BuildHasher, Hash},
};

use foldhash::quality::RandomState;
use parking_lot::RwLock;

/// Enough that two requests rarely meet at one lock; readers never wait for each other.
const SHARDS: usize = 16;
/// Most answers in one shard. A full one is emptied: what is still in use comes back.
const SHARD_COUNT_MAX: usize = 64;

/// A bounded table of values that never change.
pub(super) struct Memo<K, V> {
    shards: [RwLock<HashMap<K, V, RandomState>>; SHARDS],
    hasher: RandomState,
}

impl<K: Eq + Hash, V: Clone> Memo<K, V> {
    pub(super) fn new() -> Self {
        Self {
            shards: std::array::from_fn(|_| RwLock::default()),
            hasher: RandomState::default(),
        }
    }

    /// The value of a key; if it is not known, `find` finds it. A failure is not remembered.
    pub(super) fn get_or_find<E>(
        &self,
        key: K,
        find: impl FnOnce(&K) -> Result<V, E>,
    ) -> Result<V, E> {
        let hash = usize::try_from(self.hasher.hash_one(&key) >> 48).unwrap_or_default();
        let Some(shard) = self.shards.get(hash % SHARDS) else {
            return find(&key);
        };
        let known = shard.read().get(&key).cloned();
        if let Some(known) = known {
            return Ok(known);
        }
        let found = find(&key)?;
        let mut shard = shard.write();
        if shard.len() >= SHARD_COUNT_MAX {
            shard.clear();
        }
        shard.insert(key, found.clone());
        drop(shard);
        Ok(found)
    }
}

impl<K, V> fmt::Debug for Memo<K, V> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Memo").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_found_once_and_a_failure_again() {
        let memo = Memo::new();
        let never = |_: &i32| Err::<i32, _>("asked");
        assert_eq!(memo.get_or_find(1, never), Err("asked"));
        assert_eq!(memo.get_or_find(1, |key| Ok::<_, &str>(key + 1)), Ok(2));
        assert_eq!(memo.get_or_find(1, never), Ok(2));
        assert_eq!(memo.get_or_find(2, never), Err("asked"));
    }

    #[test]
    fn it_does_not_grow_for_ever() {
        let memo = Memo::new();
        for key in 0..100_000 {
            assert_eq!(memo.get_or_find(key, |key| Ok::<_, ()>(*key)), Ok(key));
        }
        let held: usize = memo.shards.iter().map(|shard| shard.read().len()).sum();
        assert!((1..=SHARDS * SHARD_COUNT_MAX).contains(&held), "{held}");
    }
}
