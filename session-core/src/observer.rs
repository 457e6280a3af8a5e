//! Who is told when sessions begin and end.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use crate::{Ended, Error, Owner, SessionId};

/// Something that happened to one session.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Event<'a> {
    /// The id the session is, or was, filed under.
    pub id: &'a SessionId,
    /// The principal it belongs to.
    pub owner: Option<&'a Owner>,
    /// How long ago it began, or its owner last signed in, where that is known.
    pub age: Option<Duration>,
}

impl<'a> Event<'a> {
    pub(crate) fn new(id: &'a SessionId, owner: Option<&'a Owner>, age: Duration) -> Self {
        let age = Some(age);
        Self { id, owner, age }
    }
}

impl<'a> From<&'a Ended> for Event<'a> {
    fn from(ended: &'a Ended) -> Self {
        Self {
            id: &ended.id,
            owner: ended.owner.as_ref(),
            age: ended.age,
        }
    }
}

/// Why a session was ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EndReason {
    /// Its user signed out: [`Session::destroy`](crate::Session::destroy).
    SignedOut,
    /// It was ended from elsewhere, alone or with all of its owner:
    /// [`Sessions::destroy`](crate::Sessions::destroy),
    /// [`Sessions::destroy_owned_by`](crate::Sessions::destroy_owned_by).
    Revoked,
    /// Its owner had more than were allowed: [`Sessions::keep_newest`](crate::Sessions::keep_newest).
    Limit,
    /// An old token of its sign-in was used again, so two parties hold it: see
    /// [`OnReuse`](crate::OnReuse).
    Reused,
}

/// Why a token was refused though there is a session of its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Refusal {
    /// It is of another lineage: from before a sign-in, or made up.
    OtherLineage,
    /// The same, of a request that was on its way when the session got a new token, a moment ago.
    JustReplaced,
    /// It is newer than the session: the store has lost a renewal, at a failover for example.
    NewerThanStored,
}

/// Is told when sessions begin and end.
///
/// The calls are made after the store has confirmed what happened, on the task that caused it, so
/// they should return at once; long work belongs on a channel. A panic in an observer is caught
/// and logged.
pub trait Observer: Send + Sync + 'static {
    /// A session was stored for the first time.
    fn created(&self, _event: Event<'_>) {}
    /// A session got a new token: by a sign-in, [`cycle_id`](crate::Session::cycle_id) or a
    /// renewal. Its id stays.
    fn renewed(&self, _event: Event<'_>) {}
    /// A session was ended, for this reason. An id ends once; who reports it twice, after a lost
    /// answer, means the same end.
    fn destroyed(&self, _event: Event<'_>, _reason: EndReason) {}
    /// A session ended by itself. Reported by [`Sessions::reap`](crate::Sessions::reap), once.
    fn expired(&self, _event: Event<'_>) {}
    /// A token was used that a renewal had replaced, whose successor is in use and whose grace is
    /// over. Two parties hold this sign-in: one of them may have stolen it, or a browser profile
    /// was copied or restored. `destroyed` follows unless
    /// [`OnReuse::Refuse`](crate::OnReuse::Refuse) is set.
    fn reused(&self, _event: Event<'_>) {}
    /// A client presented a token that is not the session's. A client that knows an id, which
    /// is no secret, can cause this.
    fn refused(&self, _id: &SessionId, _why: Refusal) {}
    /// A stored session could not be read, and was treated as absent.
    fn corrupt(&self, _id: &SessionId, _error: &Error) {}
    /// A client presented a token of no session: of one that has ended, or made up. Many from one
    /// place mean that a client is guessing.
    fn unknown(&self, _id: &SessionId) {}
}

/// An [`Observer`] that writes to the log: beginnings and ends at `info`, reused tokens and corrupt
/// records at `warn`, tokens that open nothing at `debug` (OWASP Session Management Cheat Sheet,
/// "Logging Sessions Life Cycle"). Ids are no secrets.
#[derive(Clone, Copy, Debug, Default)]
pub struct LogObserver;

impl LogObserver {
    fn log(what: &str, event: Event<'_>) {
        let (id, age) = (event.id, event.age);
        let owner = event.owner.map(Owner::as_str);
        tracing::info!(?id, owner, ?age, "session {what}");
    }
}

impl Observer for LogObserver {
    fn created(&self, event: Event<'_>) {
        Self::log("created", event);
    }

    fn renewed(&self, event: Event<'_>) {
        Self::log("got a new token", event);
    }

    fn destroyed(&self, event: Event<'_>, reason: EndReason) {
        let (id, age) = (event.id, event.age);
        let owner = event.owner.map(Owner::as_str);
        tracing::info!(?id, owner, ?age, ?reason, "session destroyed");
    }

    fn expired(&self, event: Event<'_>) {
        Self::log("expired", event);
    }

    fn reused(&self, event: Event<'_>) {
        let (id, age) = (event.id, event.age);
        let owner = event.owner.map(Owner::as_str);
        tracing::warn!(?id, owner, ?age, "an old token of a session was used again");
    }

    fn refused(&self, id: &SessionId, why: Refusal) {
        tracing::debug!(?id, ?why, "session token refused");
    }

    fn corrupt(&self, id: &SessionId, error: &Error) {
        tracing::warn!(?id, %error, "session treated as absent");
    }

    fn unknown(&self, id: &SessionId) {
        tracing::debug!(?id, "no such session");
    }
}

/// All observers of a manager.
#[derive(Clone, Default)]
pub(crate) struct Observers(Vec<Arc<dyn Observer>>);

impl Observers {
    pub(crate) fn add(&mut self, observer: Arc<dyn Observer>) {
        self.0.push(observer);
    }

    pub(crate) fn tell(&self, what: impl Fn(&dyn Observer)) {
        for observer in &self.0 {
            // An observer's mistake must not undo a login or stop the reaper.
            if catch_unwind(AssertUnwindSafe(|| what(&**observer))).is_err() {
                tracing::error!("a session observer panicked");
            }
        }
    }
}
