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
    /// How long ago it began, or its owner last signed in.
    pub age: Duration,
}

impl<'a> Event<'a> {
    pub(crate) fn new(id: &'a SessionId, owner: Option<&'a Owner>, age: Duration) -> Self {
        Self { id, owner, age }
    }
}

impl<'a> From<&'a Ended> for Event<'a> {
    fn from(ended: &'a Ended) -> Self {
        Self::new(&ended.id, ended.owner.as_ref(), ended.age)
    }
}

/// Is told when sessions begin and end.
///
/// The calls are made after the store has confirmed what happened, on the task that caused it, so
/// they should return at once; long work belongs on a channel. A panic in an observer is caught
/// and logged.
pub trait Observer: Send + Sync + 'static {
    /// A session was stored for the first time.
    fn created(&self, _event: Event<'_>) {}
    /// A session got a new id; it was `previous`.
    fn renewed(&self, _event: Event<'_>, _previous: &SessionId) {}
    /// A session was ended by a logout.
    fn destroyed(&self, _event: Event<'_>) {}
    /// A session ended by itself. Reported by [`Sessions::reap`](crate::Sessions::reap), once.
    fn expired(&self, _event: Event<'_>) {}
    /// A stored session could not be read, and was treated as absent.
    fn corrupt(&self, _id: &SessionId, _error: &Error) {}
    /// A client presented a token that opens nothing: of a session that has ended, or made up.
    /// Many from one place are somebody guessing.
    fn unknown(&self, _id: &SessionId) {}
}

/// An [`Observer`] that writes to the log: beginnings and ends at `info`, corrupt records at
/// `warn`, tokens that open nothing at `debug` (OWASP Session Management Cheat Sheet, "Logging Sessions Life Cycle"). Ids are hashes.
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

    fn renewed(&self, event: Event<'_>, previous: &SessionId) {
        let (id, age) = (event.id, event.age);
        let owner = event.owner.map(Owner::as_str);
        tracing::info!(?id, ?previous, owner, ?age, "session renewed");
    }

    fn destroyed(&self, event: Event<'_>) {
        Self::log("destroyed", event);
    }

    fn expired(&self, event: Event<'_>) {
        Self::log("expired", event);
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
