//! One session, as compact as it gets.

use std::time::Duration;

use session_core::{
    Anchor, Draft, Lifetime, Owner, Record, SessionInfo, Stamp, Timeout, Ttl, Version,
};

use crate::content::Content;
use crate::deadlines::Micros;
use crate::key::Key;
use crate::owners::NOBODY;

/// The deadline of a session that has none.
pub(crate) const NEVER: Micros = Micros::MAX;

/// A session in its slot. Its owner is beside the others, in the shard's [`Owners`].
///
/// [`Owners`]: crate::owners::Owners
#[repr(C)]
pub(crate) struct Entry {
    /// Of its id, and beside it: the index needs both, and memory comes in lines of 64 bytes. Of a
    /// session that has ended, the slot of the next one in [`Unreported`].
    ///
    /// [`Unreported`]: crate::unreported::Unreported
    pub(crate) hash: u32,
    /// The number of its owner; see [`Owners`](crate::owners::Owners).
    pub(crate) owner: u32,
    pub(crate) key: Key,
    pub(crate) stamp: Stamp,
    pub(crate) content: Content,
    born: Micros,
    /// When it ends; of one that has ended, when that was found.
    deadline: Micros,
    idle: Millis,
    absolute: Millis,
    /// When it is to be looked at: at its deadline, or at an earlier one that it had.
    pub(crate) due: Micros,
}

/// What a write puts in place: the draft, with its times as this store counts them.
pub(crate) struct Write {
    stamp: Stamp,
    content: Content,
    born: Micros,
    pub(crate) deadline: Micros,
    idle: Millis,
    absolute: Millis,
}

impl Write {
    pub(crate) fn new(draft: &Draft, content: Content, born: Micros, now: Micros) -> Self {
        let born = match draft.anchor {
            Anchor::Keep => born,
            Anchor::Restart => now,
        };
        let idle = Millis::of(draft.lifetime.idle);
        let absolute = Millis::of(draft.lifetime.absolute);
        Self {
            stamp: draft.stamp,
            content,
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

    /// A session of this id, whose hash is `hash`. Nothing waits for its deadline yet.
    pub(crate) fn entry(self, key: Key, hash: u32) -> Entry {
        Entry {
            key,
            stamp: self.stamp,
            content: self.content,
            born: self.born,
            deadline: self.deadline,
            idle: self.idle,
            absolute: self.absolute,
            due: NEVER,
            owner: NOBODY,
            hash,
        }
    }
}

impl Entry {
    /// Puts a write in place, and gives the content it replaces.
    pub(crate) fn write(&mut self, write: Write) -> Content {
        self.stamp = write.stamp;
        self.born = write.born;
        self.deadline = write.deadline;
        self.idle = write.idle;
        self.absolute = write.absolute;
        std::mem::replace(&mut self.content, write.content)
    }

    /// Takes the content of a session whose end was found now.
    pub(crate) fn end(&mut self, now: Micros) -> Content {
        self.deadline = now;
        std::mem::take(&mut self.content)
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
        let (data, credential) = self.content.copy();
        Record::new(
            data,
            Version::new(self.stamp),
            self.lifetime(),
            self.ttl(now),
            self.age(now),
        )
        .with_credential(credential)
        .with_owner(owner.cloned())
    }

    pub(crate) fn info(&self, owner: Option<&Owner>, now: Micros) -> SessionInfo {
        SessionInfo::new(
            self.key.id(),
            self.lifetime(),
            self.ttl(now),
            self.age(now),
            self.content.size(),
        )
        .with_owner(owner.cloned())
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
    let whole = duration.as_secs().saturating_mul(1_000_000);
    whole
        .saturating_add(duration.subsec_micros().into())
        .min(NEVER - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_as_small_as_it_was_meant_to_be() {
        assert_eq!(size_of::<Option<Entry>>(), 104, "with all of its slot");
    }
}
