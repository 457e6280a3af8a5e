//! What a store keeps of a session, and what it is asked to keep.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;

use crate::{Credential, Description, Lifetime, Owner, Past, Result, SessionId, Stamp, Ttl};

/// One stored session, as it was read. `Debug` shows the size of its data.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Record {
    /// The session's data: bytes that the store neither reads nor changes.
    pub data: Bytes,
    /// The version that was read: what a save names to replace exactly this one.
    pub version: Version,
    /// What tells its token from any other; `None` only in layouts without room for it.
    pub credential: Option<Credential>,
    /// What its user recognises it by.
    pub description: Option<Description>,
    /// The principal it belongs to.
    pub owner: Option<Owner>,
    /// Its limits.
    pub lifetime: Lifetime,
    /// What is left until the earlier of its deadlines, by the store's clock.
    pub ttl: Ttl,
    /// How long ago it began, by the store's clock; see [`Anchor`].
    pub age: Duration,
    /// Whether it was read earlier than it was asked for and kept in this process since, so that
    /// the database may have a newer one. See
    /// [`SessionStore::drop_copy`](crate::SessionStore::drop_copy).
    pub is_copy: bool,
}

/// What a session becomes: the argument of create and save.
///
/// The draft carries the [`Stamp`] that the write will leave, chosen by the writer. Sending the
/// same draft again is therefore harmless: a store that finds the draft's own stamp in place
/// answers as it did the first time. `Debug` shows the size of its data.
#[derive(Clone)]
#[non_exhaustive]
pub struct Draft {
    /// The session's data.
    pub data: Bytes,
    /// What tells its token from any other. A store keeps it as it is.
    pub credential: Option<Credential>,
    /// What its user recognises it by from now on. A store keeps it as it is.
    pub description: Option<Description>,
    /// The principal it belongs to from now on.
    pub owner: Option<Owner>,
    /// Its limits from now on. Writing counts as use: the idle limit starts anew.
    pub lifetime: Lifetime,
    /// What the absolute limit is counted from.
    pub anchor: Anchor,
    /// The name of this write.
    pub stamp: Stamp,
    /// Whether the client gets a new token by this write. It means something only to a layout
    /// whose ids are the tokens; see [`TokenChange::New`].
    pub token: TokenChange,
    /// The life that the session had in another store, which its create continues; `None` for one
    /// that begins now. A save ignores it. See [`Draft::continuing`].
    pub past: Option<Past>,
}

impl Draft {
    /// A draft with a fresh stamp, without owner, credential and description, keeping its anchor and token.
    #[must_use]
    pub fn new(data: impl Into<Bytes>, lifetime: Lifetime) -> Self {
        Self {
            data: data.into(),
            credential: None,
            description: None,
            owner: None,
            lifetime,
            anchor: Anchor::Keep,
            stamp: Stamp::generate(),
            token: TokenChange::Keep,
            past: None,
        }
    }

    /// The same draft for `owner`.
    #[must_use]
    pub fn with_owner(mut self, owner: impl Into<Option<Owner>>) -> Self {
        self.owner = owner.into();
        self
    }

    /// The same draft with this credential.
    #[must_use]
    pub fn with_credential(mut self, credential: impl Into<Option<Credential>>) -> Self {
        self.credential = credential.into();
        self
    }

    /// The same draft with this description; one that says nothing is none.
    #[must_use]
    pub fn with_description(mut self, description: impl Into<Option<Description>>) -> Self {
        let description = description.into();
        self.description = description.filter(|description| !description.is_empty());
        self
    }

    /// The same draft as the write of this stamp: for one that was sent before, by another program.
    #[must_use]
    pub fn with_stamp(mut self, stamp: Stamp) -> Self {
        self.stamp = stamp;
        self
    }

    /// The same draft with this anchor.
    #[must_use]
    pub fn with_anchor(mut self, anchor: Anchor) -> Self {
        self.anchor = anchor;
        self
    }

    /// The same draft, by which the client gets a new token or not.
    #[must_use]
    pub fn with_token(mut self, token: TokenChange) -> Self {
        self.token = token;
        self
    }
}

impl Record {
    /// A record without owner, credential and description.
    #[must_use]
    pub fn new(
        data: impl Into<Bytes>,
        version: impl Into<Version>,
        lifetime: Lifetime,
        ttl: Ttl,
        age: Duration,
    ) -> Self {
        Self {
            data: data.into(),
            version: version.into(),
            credential: None,
            description: None,
            owner: None,
            lifetime,
            ttl,
            age,
            is_copy: false,
        }
    }

    /// The same record with this credential.
    #[must_use]
    pub fn with_credential(mut self, credential: impl Into<Option<Credential>>) -> Self {
        self.credential = credential.into();
        self
    }

    /// The same record with this description.
    #[must_use]
    pub fn with_description(mut self, description: impl Into<Option<Description>>) -> Self {
        self.description = description.into();
        self
    }

    /// The same record of a session of `owner`.
    #[must_use]
    pub fn with_owner(mut self, owner: impl Into<Option<Owner>>) -> Self {
        self.owner = owner.into();
        self
    }

    /// What a load gives of a session that `draft` has left in this state.
    #[must_use]
    pub fn of(draft: &Draft, ttl: Ttl, age: Duration) -> Self {
        Self::new(draft.data.clone(), draft.stamp, draft.lifetime, ttl, age)
            .with_credential(draft.credential.clone())
            .with_description(draft.description.clone())
            .with_owner(draft.owner.clone())
    }
}

/// Data that is not shown.
struct Hidden<'a>(&'a Bytes);

impl fmt::Debug for Hidden<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Record")
            .field("data", &Hidden(&self.data))
            .field("version", &self.version)
            .field("credential", &self.credential)
            .field("description", &self.description)
            .field("owner", &self.owner)
            .field("lifetime", &self.lifetime)
            .field("ttl", &self.ttl)
            .field("age", &self.age)
            .field("is_copy", &self.is_copy)
            .finish()
    }
}

impl fmt::Debug for Draft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Draft")
            .field("data", &Hidden(&self.data))
            .field("credential", &self.credential)
            .field("description", &self.description)
            .field("owner", &self.owner)
            .field("lifetime", &self.lifetime)
            .field("anchor", &self.anchor)
            .field("stamp", &self.stamp)
            .field("token", &self.token)
            .field("past", &self.past)
            .finish()
    }
}

/// What the absolute limit and the age of a session are counted from. Exhaustive: a store must
/// handle each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Anchor {
    /// From where they were: saving and touching do not move the absolute deadline.
    #[default]
    Keep,
    /// From this write: the user has just authenticated (NIST SP 800-63B §5.2: re-authentication
    /// resets both timeouts). Nothing else may move the absolute deadline away.
    Restart,
}

/// Whether the client gets a new token by a write. Exhaustive: a store must handle each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TokenChange {
    /// The session's token stays as it is.
    #[default]
    Keep,
    /// The session gets a new token. A native layout has that in the draft's credential and keeps
    /// the id. A layout whose ids are the tokens themselves files the session under a new id of
    /// its own making, and answers with that: [`Version::with_moved_to`].
    New,
}

/// One exact version of a stored session: the stamp of the write that made it, and the bytes as
/// they are stored where a backend compares those.
///
/// Opaque to callers. A load gives one, a save names it as the one to replace and gives the next.
/// Versions are equal if one write made them: a touch changes the stored bytes and no version.
#[derive(Clone)]
pub struct Version {
    stamp: Stamp,
    stored: Bytes,
    moved_to: Option<Box<SessionId>>,
}

impl Version {
    /// The version that the write `stamp` made.
    #[must_use]
    pub const fn new(stamp: Stamp) -> Self {
        Self {
            stamp,
            stored: Bytes::new(),
            moved_to: None,
        }
    }

    /// The same, with the bytes as they are stored. A store that compares them is spared a round
    /// trip by it; nothing else depends on it.
    #[must_use]
    pub fn with_stored(mut self, stored: Bytes) -> Self {
        self.stored = stored;
        self
    }

    /// The same, of a session that was filed under another id: the answer of a layout of plain
    /// ids to [`TokenChange::New`].
    #[must_use]
    pub fn with_moved_to(mut self, id: SessionId) -> Self {
        self.moved_to = Some(Box::new(id));
        self
    }

    /// The write that made it.
    #[must_use]
    pub const fn stamp(&self) -> Stamp {
        self.stamp
    }

    /// The bytes as they are stored; empty where a backend compares stamps, or does not know.
    #[must_use]
    pub const fn stored(&self) -> &Bytes {
        &self.stored
    }

    /// The id that the session has from now on, if the write has changed it.
    #[must_use]
    pub fn moved_to(&self) -> Option<&SessionId> {
        self.moved_to.as_deref()
    }
}

impl PartialEq for Version {
    fn eq(&self, other: &Self) -> bool {
        (self.stamp, &self.moved_to) == (other.stamp, &other.moved_to)
    }
}

impl Eq for Version {}

impl From<Stamp> for Version {
    fn from(stamp: Stamp) -> Self {
        Self::new(stamp)
    }
}

/// Shows the stamp only: stored bytes are the visitors' data.
impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Version({:?})", self.stamp)
    }
}

/// How a conditional write ended. Exhaustive: a caller must handle every outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a write that did not happen must not pass for one that did"]
pub enum Saved {
    /// Written; this version is now in place.
    Done(Version),
    /// Not written: the record has another version than expected or, at a create, the id is
    /// taken. Load, merge, try again.
    Conflict,
    /// Not written: there is no live session of that id. It was destroyed or it expired.
    Gone,
    /// Not written now, but the store has sent it before without learning the outcome: that
    /// earlier sending may have been done, and been replaced since, or the session have ended.
    /// Load, and look whether the stamp is in the credential's trail.
    Unknown,
}

impl Saved {
    /// The outcome of a write that has put `draft` in place.
    pub fn done(draft: &Draft) -> Self {
        Self::Done(draft.stamp.into())
    }

    /// The outcome of a save of `draft` that matched nothing, by the stamp that the session has
    /// now: the draft's own means that it was written before.
    pub fn by_stamp(found: Option<Stamp>, draft: &Draft) -> Self {
        match found {
            Some(stamp) if stamp == draft.stamp => Self::done(draft),
            Some(_) => Self::Conflict,
            None => Self::Gone,
        }
    }

    /// The outcome as it is to be answered if the write was `sent_before` without an answer: it
    /// may have been done, and the session been written again or ended since.
    pub fn after(self, sent_before: bool) -> Self {
        match self {
            Self::Conflict | Self::Gone if sent_before => Self::Unknown,
            outcome => outcome,
        }
    }

    /// The outcomes of `drafts` that were written by one command which matched so many of them, by
    /// the stamps that were found afterwards, of live sessions.
    ///
    /// A session may have been written again, or ended, before its stamp was looked at. So if fewer have their
    /// own stamp than were matched, none of the others is known not to have been written.
    pub fn of_batch<'d>(
        drafts: impl Iterator<Item = &'d Draft>,
        found: Vec<Result<Option<Stamp>>>,
        matched: u64,
        sent_before: bool,
    ) -> Vec<Result<Self>> {
        let outcome = |(draft, found): (&Draft, Result<_>)| Ok(Self::by_stamp(found?, draft));
        let mut outcomes: Vec<Result<Self>> = drafts.zip(found).map(outcome).collect();
        let own = |outcome: &&Result<Self>| outcome.as_ref().is_ok_and(Self::is_done);
        let known = outcomes.iter().filter(own).count() as u64;
        let is_unsure = sent_before || known < matched;
        for saved in outcomes.iter_mut().flatten() {
            *saved = std::mem::replace(saved, Self::Gone).after(is_unsure);
        }
        outcomes
    }

    /// Whether it was written.
    #[must_use]
    pub const fn is_done(&self) -> bool {
        matches!(self, Self::Done(_))
    }
}

/// A session that a store has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ended {
    /// The id it was filed under.
    pub id: SessionId,
    /// The principal it belonged to, where that is known.
    pub owner: Option<Owner>,
    /// How long ago it began. `None` if it is not known, and the owner neither: a destroy that
    /// was sent again found nothing, because the first sending had been done.
    pub age: Option<Duration>,
}

impl Ended {
    /// The end of the session `id` of `owner` that began `age` ago.
    #[must_use]
    pub fn new(id: SessionId, owner: Option<Owner>, age: impl Into<Option<Duration>>) -> Self {
        Self {
            id,
            owner,
            age: age.into(),
        }
    }

    /// The end of the session `id`, of which nothing else is known.
    #[must_use]
    pub const fn unknown(id: SessionId) -> Self {
        Self {
            id,
            owner: None,
            age: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_save_of_a_batch_that_was_written_over_or_ended_is_not_told_as_undone() {
        let drafts = [(); 3].map(|()| Draft::new("{}", Lifetime::default()));
        let outcomes = |found: [Option<Stamp>; 3], matched, sent_before| {
            let found = found.into_iter().map(Ok).collect();
            let outcomes = Saved::of_batch(drafts.iter(), found, matched, sent_before);
            let each = outcomes.into_iter();
            each.map(|one| one.expect("read")).collect::<Vec<_>>()
        };
        let (own, other) = (Some(drafts[0].stamp), Some(Stamp::generate()));
        let done = Saved::done(&drafts[0]);
        // One was matched, and it is the one that has its own stamp.
        let answers = outcomes([own, other, None], 1, false);
        assert_eq!(answers, [done.clone(), Saved::Conflict, Saved::Gone]);
        // Two were: one of them has been written again since, or has ended.
        let answers = outcomes([own, other, None], 2, false);
        assert_eq!(answers, [done.clone(), Saved::Unknown, Saved::Unknown]);
        let answers = outcomes([own, other, None], 1, true);
        assert_eq!(answers, [done, Saved::Unknown, Saved::Unknown]);
    }
}
