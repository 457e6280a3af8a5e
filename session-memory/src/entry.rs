//! One session, as compact as it gets.

use std::time::Duration;

use bytes::Bytes;
use session_core::{
    Anchor, Draft, Lifetime, Owner, Record, SessionId, SessionInfo, Stamp, Timeout, Ttl,
};

use crate::key::Key;
use crate::list::{Linked, Links};
use crate::owners::ByOwner;
use crate::wheel::{Bucket, ByTime, Micros, Timed};

/// The deadline of a session that has none.
pub(crate) const NEVER: Micros = Micros::MAX;

/// A session in its slot. Its owner is beside the others, in the shard's [`Owners`].
///
/// [`Owners`]: crate::owners::Owners
pub(crate) struct Entry {
    pub(crate) key: Key,
    pub(crate) stamp: Stamp,
    pub(crate) data: Bytes,
    born: Micros,
    /// When it ends; of one that has ended, when that was found.
    deadline: Micros,
    idle: Millis,
    absolute: Millis,
    /// The number of its owner; see [`Owners`](crate::owners::Owners).
    pub(crate) owner: u32,
    kin: Links,
    timer: Links,
    bucket: Bucket,
}

/// Data up to this size is copied in and out, instead of shared.
const COPIED: usize = 512;

/// The data for another holder. What is small is copied, which takes no longer than sharing it:
/// that allocates a counter apart. A million of such small pieces, once freed, are what glibc's
/// allocator puts together in one go, while whoever happened to allocate waits for it.
pub(crate) fn hand_over(data: &Bytes) -> Bytes {
    match data.len() {
        ..=COPIED => Bytes::copy_from_slice(data),
        _ => data.clone(),
    }
}

/// What a write puts in place: the draft, with its times as this store counts them.
pub(crate) struct Write {
    stamp: Stamp,
    data: Bytes,
    born: Micros,
    pub(crate) deadline: Micros,
    idle: Millis,
    absolute: Millis,
}

impl Write {
    pub(crate) fn new(draft: &Draft, data: Bytes, born: Micros, now: Micros) -> Self {
        let born = match draft.anchor {
            Anchor::Keep => born,
            Anchor::Restart => now,
        };
        let idle = Millis::of(draft.lifetime.idle);
        let absolute = Millis::of(draft.lifetime.absolute);
        Self {
            stamp: draft.stamp,
            data,
            born,
            deadline: idle.after(now).min(absolute.after(born)),
            idle,
            absolute,
        }
    }

    /// The same, of a session that was alive elsewhere, with what it had left.
    pub(crate) fn with_left(mut self, left: Ttl, now: Micros) -> Self {
        self.deadline = left
            .left()
            .map_or(NEVER, |left| now.saturating_add(micros(left)));
        self
    }

    pub(crate) fn entry(self, id: &SessionId, owner: u32) -> Entry {
        Entry {
            key: Key::of(id),
            stamp: self.stamp,
            data: self.data,
            born: self.born,
            deadline: self.deadline,
            idle: self.idle,
            absolute: self.absolute,
            owner,
            kin: Links::NONE,
            timer: Links::NONE,
            bucket: Bucket::NONE,
        }
    }
}

impl Entry {
    /// Puts a write in place, and gives the data it replaces.
    pub(crate) fn write(&mut self, write: Write) -> Bytes {
        self.stamp = write.stamp;
        self.born = write.born;
        self.deadline = write.deadline;
        self.idle = write.idle;
        self.absolute = write.absolute;
        std::mem::replace(&mut self.data, write.data)
    }

    /// Takes the data of a session whose end was found now.
    pub(crate) fn end(&mut self, now: Micros) -> Bytes {
        self.deadline = now;
        std::mem::take(&mut self.data)
    }

    pub(crate) fn is_live(&self, now: Micros) -> bool {
        now < self.deadline
    }

    pub(crate) fn born(&self) -> Micros {
        self.born
    }

    pub(crate) fn deadline(&self) -> Micros {
        self.deadline
    }

    pub(crate) fn age(&self, now: Micros) -> Duration {
        Duration::from_micros(now.saturating_sub(self.born))
    }

    pub(crate) fn ttl(&self, now: Micros) -> Ttl {
        match self.deadline {
            NEVER => Ttl::Never,
            deadline => Ttl::Left(Duration::from_micros(deadline.saturating_sub(now))),
        }
    }

    /// Moves the deadline to `idle` from now, within the absolute limit and never to earlier.
    pub(crate) fn touch(&mut self, idle: Timeout, now: Micros) -> Ttl {
        let moved = Millis::of(idle)
            .after(now)
            .min(self.absolute.after(self.born));
        self.deadline = self.deadline.max(moved);
        self.ttl(now)
    }

    pub(crate) fn lifetime(&self) -> Lifetime {
        Lifetime::new(self.idle.timeout(), self.absolute.timeout())
    }

    pub(crate) fn record(&self, owner: Option<&Owner>, now: Micros) -> Record {
        Record {
            data: hand_over(&self.data),
            stamp: self.stamp,
            owner: owner.cloned(),
            lifetime: self.lifetime(),
            ttl: self.ttl(now),
            age: self.age(now),
            raw: Bytes::new(),
        }
    }

    pub(crate) fn info(&self, owner: Option<&Owner>, now: Micros) -> SessionInfo {
        SessionInfo {
            id: self.key.id(),
            owner: owner.cloned(),
            lifetime: self.lifetime(),
            ttl: self.ttl(now),
            age: self.age(now),
            size: self.data.len(),
        }
    }
}

impl Linked<ByTime> for Entry {
    fn links(&self) -> Links {
        self.timer
    }

    fn links_mut(&mut self) -> &mut Links {
        &mut self.timer
    }
}

impl Linked<ByOwner> for Entry {
    fn links(&self) -> Links {
        self.kin
    }

    fn links_mut(&mut self) -> &mut Links {
        &mut self.kin
    }
}

impl Timed for Entry {
    fn bucket(&self) -> Bucket {
        self.bucket
    }

    fn set_bucket(&mut self, bucket: Bucket) {
        self.bucket = bucket;
    }
}

/// A limit in whole milliseconds, as every store counts; the greatest number is none.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Millis(u64);

impl Millis {
    const NEVER: Self = Self(u64::MAX);

    fn of(limit: Timeout) -> Self {
        let millis = limit.millis();
        millis.map_or(Self::NEVER, |millis| Self(millis.min(u64::MAX - 1)))
    }

    fn timeout(self) -> Timeout {
        Timeout::from_millis((self != Self::NEVER).then_some(self.0))
    }

    /// So long after `start`.
    fn after(self, start: Micros) -> Micros {
        match self {
            Self::NEVER => NEVER,
            Self(millis) => start
                .saturating_add(millis.saturating_mul(1_000))
                .min(NEVER - 1),
        }
    }
}

pub(crate) fn micros(duration: Duration) -> Micros {
    Micros::try_from(duration.as_micros()).unwrap_or(NEVER - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::Node;

    #[test]
    fn an_entry_is_as_small_as_it_was_meant_to_be() {
        assert_eq!(
            size_of::<Option<Node<Entry>>>(),
            160,
            "with all of its slot"
        );
    }
}
