//! The sessions that this process has seen.
//!
//! Two generations of a set, in shards: when the younger one is full, it becomes the older one, whose
//! ids are forgotten unless they were seen again. A list in the order of use would take three times
//! the memory, for sessions whose loss costs one token.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};

use session_core::SessionId;

const SHARDS: usize = 16;

/// The ids of sessions that were there when they were last asked for: between half of the number that
/// is to be remembered and all of it.
#[derive(Debug)]
pub(crate) struct Known {
    hasher: RandomState,
    /// How many ids a generation of one shard has.
    most: usize,
    shards: [Mutex<Generations>; SHARDS],
}

/// Ids as 64 bits of a keyed hash. Two that are the same make one id known that is not: its load
/// costs no token.
#[derive(Debug, Default)]
struct Generations {
    young: HashSet<u64>,
    old: HashSet<u64>,
}

impl Known {
    pub(crate) fn new(remembered: usize) -> Self {
        Self {
            hasher: RandomState::new(),
            most: remembered.div_ceil(2 * SHARDS),
            shards: Default::default(),
        }
    }

    /// Whether the session was there when it was last asked for.
    pub(crate) fn contains(&self, id: &SessionId) -> bool {
        let hash = self.hasher.hash_one(id);
        let mut shard = self.shard(hash);
        if shard.young.contains(&hash) {
            return true;
        }
        let is_old = shard.old.remove(&hash);
        if is_old {
            shard.insert(hash, self.most);
        }
        is_old
    }

    pub(crate) fn insert(&self, id: &SessionId) {
        let hash = self.hasher.hash_one(id);
        let mut shard = self.shard(hash);
        if !shard.young.contains(&hash) {
            shard.insert(hash, self.most);
        }
    }

    pub(crate) fn remove(&self, id: &SessionId) {
        let hash = self.hasher.hash_one(id);
        let mut shard = self.shard(hash);
        shard.young.remove(&hash);
        shard.old.remove(&hash);
    }

    fn shard(&self, hash: u64) -> MutexGuard<'_, Generations> {
        let shard = &self.shards[hash as usize % SHARDS];
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Generations {
    fn insert(&mut self, hash: u64, most: usize) {
        if self.young.len() >= most {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(hash);
    }
}

#[cfg(test)]
mod tests {
    use session_core::SessionToken;

    use super::*;

    fn ids(count: usize) -> Vec<SessionId> {
        let id = |_| SessionToken::generate().id();
        (0..count).map(id).collect()
    }

    #[test]
    fn what_is_seen_again_stays_and_the_memory_is_bounded() {
        let known = Known::new(1_000);
        let (ours, strangers) = (ids(50), ids(20_000));
        ours.iter().for_each(|id| known.insert(id));
        for stranger in &strangers {
            known.insert(stranger);
            if stranger.as_str() < "8" {
                assert!(ours.iter().all(|id| known.contains(id)));
            }
        }
        let left = strangers.iter().filter(|id| known.contains(id)).count();
        assert!((400..=1_100).contains(&left), "{left}");
    }

    #[test]
    fn what_is_removed_is_unknown() {
        let known = Known::new(100);
        let id = &ids(1)[0];
        assert!(!known.contains(id));
        known.insert(id);
        assert!(known.contains(id));
        known.remove(id);
        assert!(!known.contains(id));
    }
}
