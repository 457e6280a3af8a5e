//! One session in its slot.

use std::time::Duration;

use session_core::{
    Anchor, Draft, Lifetime, Owner, Record, SessionInfo, Stamp, Timeout, Ttl, Version,
};

use crate::content::{Content, Copied};
use crate::deadlines::Micros;
use crate::key::Key;
use crate::owners::NO_OWNER;

/// The deadline of a session that has none.
pub(crate) const NEVER: Micros = Micros::MAX;

/// A session in its slot. Its owner is in the shard's [`Owners`].
///
/// [`Owners`]: crate::owners::Owners
#[repr(C)]
pub(crate) struct Entry {
    /// The hash of the id, next to the id so that the index finds both in one cache line. In an
    /// ended session, the slot of the next one in [`Unreported`].
    ///
    /// [`Unreported`]: crate::unreported::Unreported
    pub(crate) hash: u32,
    /// The owner's number in [`Owners`](crate::owners::Owners), or [`NO_OWNER`].
    pub(crate) owner: u32,
    pub(crate) key: Key,
    pub(crate) stamp: Stamp,
    pub(crate) content: Content,
    anchor: Micros,
    /// When the session ends. In an ended session, when the end was noticed.
    deadline: Micros,
    idle: Millis,
    absolute: Millis,
    /// When the deadline is checked next: at the deadline, or at an earlier one that it had.
    pub(crate) due: Micros,
}

/// A draft with its times by this store's clock.
pub(crate) struct Write {
    stamp: Stamp,
    content: Content,
    anchor: Micros,
    pub(crate) deadline: Micros,
    idle: Millis,
    absolute: Millis,
}

impl Write {
    pub(crate) fn new(draft: &Draft, content: Content, anchor: Micros, now: Micros) -> Self {
        let anchor = match draft.anchor {
            Anchor::Keep => anchor,
            Anchor::Restart => now,
        };
        let idle = Millis::of(draft.lifetime.idle);
        let absolute = Millis::of(draft.lifetime.absolute);
        Self {
            stamp: draft.stamp,
            content,
            anchor,
            deadline: idle.after(now).min(absolute.after(anchor)),
            idle,
            absolute,
        }
    }

    /// The write that creates a session, which may have begun in another store.
    pub(crate) fn beginning(draft: &Draft, content: Content, began: Micros, now: Micros) -> Self {
        let mut write = Self::new(draft, content, now, now);
        if draft.past.is_some() {
            write.anchor = began;
            write.deadline = Millis::of(draft.left_at_create()).after(now);
        }
        write
    }

    /// Sets the deadline of a restored session from the time that it had left.
    pub(crate) fn with_left(mut self, left: Ttl, now: Micros) -> Self {
        self.deadline = left
            .left()
            .map_or(NEVER, |left| now.saturating_add(micros(left)));
        self
    }

    /// The entry of a new session. Its deadline is not yet scheduled.
    pub(crate) fn entry(self, key: Key, hash: u32) -> Entry {
        Entry {
            key,
            stamp: self.stamp,
            content: self.content,
            anchor: self.anchor,
            deadline: self.deadline,
            idle: self.idle,
            absolute: self.absolute,
            due: NEVER,
            owner: NO_OWNER,
            hash,
        }
    }
}

impl Entry {
    /// Applies a write and returns the replaced content.
    pub(crate) fn write(&mut self, write: Write) -> Content {
        self.stamp = write.stamp;
        self.anchor = write.anchor;
        self.deadline = write.deadline;
        self.idle = write.idle;
        self.absolute = write.absolute;
        std::mem::replace(&mut self.content, write.content)
    }

    /// Marks the session as ended now and returns its content.
    pub(crate) fn end(&mut self, now: Micros) -> Content {
        self.deadline = now;
        std::mem::take(&mut self.content)
    }

    pub(crate) fn is_live(&self, now: Micros) -> bool {
        now < self.deadline
    }

    pub(crate) fn anchor(&self) -> Micros {
        self.anchor
    }

    pub(crate) fn deadline(&self) -> Micros {
        self.deadline
    }

    pub(crate) fn age(&self, now: Micros) -> Duration {
        Duration::from_micros(now.saturating_sub(self.anchor))
    }

    pub(crate) fn ttl(&self, now: Micros) -> Ttl {
        match self.deadline {
            NEVER => Ttl::Never,
            deadline => Ttl::Left(Duration::from_micros(deadline.saturating_sub(now))),
        }
    }

    /// Moves the deadline to `idle` from now, at most to the absolute limit and never to an earlier
    /// time.
    pub(crate) fn touch(&mut self, idle: Timeout, now: Micros) -> Ttl {
        let moved = Millis::of(idle)
            .after(now)
            .min(self.absolute.after(self.anchor));
        self.deadline = self.deadline.max(moved);
        self.ttl(now)
    }

    pub(crate) fn lifetime(&self) -> Lifetime {
        Lifetime::new(self.idle.timeout(), self.absolute.timeout())
    }

    pub(crate) fn record(&self, owner: Option<&Owner>, now: Micros) -> Record {
        let Copied {
            data,
            credential,
            description,
        } = self.content.copy();
        Record::new(
            data,
            Version::new(self.stamp),
            self.lifetime(),
            self.ttl(now),
            self.age(now),
        )
        .with_credential(credential)
        .with_description(description)
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
        .with_description(self.content.description())
        .with_owner(owner.cloned())
    }
}

/// A limit in whole milliseconds, as in every store; `u64::MAX` means no limit.
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

    /// The moment when this limit is over if it counts from `start`.
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
    fn a_slot_takes_104_bytes() {
        assert_eq!(size_of::<Option<Entry>>(), 104);
    }
}
