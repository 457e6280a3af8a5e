//! All copies: shards that each have a lock.

use std::hash::BuildHasher;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use foldhash::fast::RandomState;
use session_core::{Owner, Record, SessionId};
use tokio::time::Instant;

use crate::kept::Kept;
use crate::shard::Shard;

const MAX_SHARDS: usize = 64;
/// A shard has room for a session of this size, as long as the whole does.
const SHARD_BYTES: usize = 1024 * 1024;

/// The copies of a store, within a limit in bytes.
pub(crate) struct Copies {
    shards: Vec<Aligned>,
    hasher: RandomState,
    lease: Duration,
}

/// Two locks in one cache line would slow each other down.
#[repr(align(128))]
struct Aligned(Mutex<Shard>);

/// What a load found here.
pub(crate) enum Found {
    Copy(Record),
    /// Nothing: the store has to be asked.
    Nothing(Load),
}

/// A load that is sent to the store.
pub(crate) struct Load {
    hash: u64,
    generation: u64,
    asked: Instant,
}

impl Copies {
    pub(crate) fn new(lease: Duration, max_bytes: usize) -> Self {
        let shards = (max_bytes / SHARD_BYTES).clamp(1, MAX_SHARDS);
        // A power of two, so that the bits of a hash name one.
        let shards = 1 << shards.ilog2();
        let shard = || Aligned(Mutex::new(Shard::new(max_bytes / shards)));
        Self {
            shards: std::iter::repeat_with(shard).take(shards).collect(),
            hasher: RandomState::default(),
            lease,
        }
    }

    pub(crate) const fn lease(&self) -> Duration {
        self.lease
    }

    pub(crate) fn find(&self, id: &SessionId) -> Found {
        let (hash, now) = (self.hasher.hash_one(id), Instant::now());
        match self.shard(hash).find(hash, id, now) {
            Ok(record) => Found::Copy(record),
            Err(generation) => Found::Nothing(Load {
                hash,
                generation,
                asked: now,
            }),
        }
    }

    /// Keeps what `load` has read of `id`, unless the session may have been written since.
    pub(crate) fn fill(&self, load: &Load, id: &SessionId, record: &Record) {
        if let Some(copy) = Kept::new((load.hash, id), record, load.asked, self.lease) {
            self.shard(load.hash).fill(copy, load.generation);
        }
    }

    pub(crate) fn drop_copy(&self, id: &SessionId) {
        let hash = self.hasher.hash_one(id);
        self.shard(hash).drop_copy(hash, id);
    }

    pub(crate) fn drop_owned_by(&self, owner: &Owner) {
        for shard in &self.shards {
            shard.lock().drop_owned_by(owner);
        }
    }

    pub(crate) fn drop_all(&self) {
        for shard in &self.shards {
            shard.lock().drop_all();
        }
    }

    fn shard(&self, hash: u64) -> MutexGuard<'_, Shard> {
        let mask = self.shards.len() - 1;
        self.shards[(hash >> 32) as usize & mask].lock()
    }
}

impl Aligned {
    fn lock(&self) -> MutexGuard<'_, Shard> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
