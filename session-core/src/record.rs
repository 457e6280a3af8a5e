//! What a store keeps of a session, and what it is asked to keep.

use std::time::Duration;

use bytes::Bytes;

use crate::{Lifetime, Owner, SessionId, Stamp, Ttl};

/// One stored session, as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The session's data: bytes that the store neither reads nor changes.
    pub data: Bytes,
    /// The write that put it there.
    pub stamp: Stamp,
    /// The principal it belongs to.
    pub owner: Option<Owner>,
    /// Its limits.
    pub lifetime: Lifetime,
    /// What is left until the earlier of its deadlines, by the store's clock.
    pub ttl: Ttl,
    /// How long ago it began, by the store's clock; see [`Anchor`].
    pub age: Duration,
    /// The whole value as it is stored, where a store has to compare that because its layout has
    /// no room for a stamp; empty otherwise. A save hands it back, see [`Draft::replaces`].
    pub raw: Bytes,
}

/// What a session shall become: the argument of create, save and rename.
///
/// The draft carries the [`Stamp`] that the write will leave, chosen by the writer. Sending the
/// same draft again is therefore harmless: a store that finds the draft's own stamp in place
/// answers as it did the first time.
#[derive(Clone, Debug)]
pub struct Draft {
    /// The session's data.
    pub data: Bytes,
    /// The principal it shall belong to.
    pub owner: Option<Owner>,
    /// Its limits from now on. Writing counts as use: the idle limit starts anew.
    pub lifetime: Lifetime,
    /// What the absolute limit is counted from.
    pub anchor: Anchor,
    /// The name of this write.
    pub stamp: Stamp,
    /// The [`Record::raw`] of the session that it is made of, or empty if that is not known any
    /// more. A store that gave one is spared a round trip by it; nothing else depends on it.
    pub replaces: Bytes,
}

impl Draft {
    /// A draft with a fresh stamp, without an owner, keeping its anchor.
    #[must_use]
    pub fn new(data: impl Into<Bytes>, lifetime: Lifetime) -> Self {
        Self {
            data: data.into(),
            owner: None,
            lifetime,
            anchor: Anchor::Keep,
            stamp: Stamp::generate(),
            replaces: Bytes::new(),
        }
    }

    /// The same draft for `owner`.
    #[must_use]
    pub fn with_owner(mut self, owner: impl Into<Option<Owner>>) -> Self {
        self.owner = owner.into();
        self
    }

    /// The same draft, made of the session whose [`Record::raw`] this is.
    #[must_use]
    pub fn replacing(mut self, raw: Bytes) -> Self {
        self.replaces = raw;
        self
    }

    /// The same draft with this anchor.
    #[must_use]
    pub fn with_anchor(mut self, anchor: Anchor) -> Self {
        self.anchor = anchor;
        self
    }
}

/// What the absolute limit and the age of a session are counted from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Anchor {
    /// From where they were: saving, touching and renaming do not move the absolute deadline.
    #[default]
    Keep,
    /// From this write: the user has just authenticated (NIST SP 800-63B §5.2: re-authentication
    /// resets both timeouts). Nothing else may move the absolute deadline away.
    Restart,
}

/// How a conditional write ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a write that did not happen must not pass for one that did"]
pub enum Saved {
    /// Written; this stamp is now in place.
    Done(Stamp),
    /// Not written: the record has another stamp than expected. Load, merge, try again.
    Conflict,
    /// Not written: there is no live session of that id. It was destroyed, renamed or it expired.
    Gone,
}

/// One line of a listing: everything about a session but its data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionInfo {
    /// The id it is filed under.
    pub id: SessionId,
    /// The principal it belongs to.
    pub owner: Option<Owner>,
    /// Its limits.
    pub lifetime: Lifetime,
    /// What is left until its deadline.
    pub ttl: Ttl,
    /// How long ago it began.
    pub age: Duration,
    /// The size of its data, in bytes.
    pub size: usize,
}

/// A session that a store has just removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// The id it was filed under.
    pub id: SessionId,
    /// The principal it belonged to.
    pub owner: Option<Owner>,
    /// How long ago it began.
    pub age: Duration,
}
