//! Who is told when sessions begin and end.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::{EndId, EndKind, Ended, Error, Owner, SessionEnd, SessionId};

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
    end: Option<EndKind>,
}

impl<'a> Event<'a> {
    pub(crate) fn new(id: &'a SessionId, owner: Option<&'a Owner>, age: Duration) -> Self {
        let (age, end) = (Some(age), None);
        Self {
            id,
            owner,
            age,
            end,
        }
    }

    pub(crate) const fn destroyed(
        id: &'a SessionId,
        owner: Option<&'a Owner>,
        age: Option<Duration>,
    ) -> Self {
        let end = Some(EndKind::Destroyed);
        Self {
            id,
            owner,
            age,
            end,
        }
    }

    pub(crate) const fn expired(ended: &'a Ended) -> Self {
        Self {
            id: &ended.id,
            owner: ended.owner.as_ref(),
            age: ended.age,
            end: Some(EndKind::Expired),
        }
    }

    /// Names the end that this tells of, the same each time it is told; `None` if the session has
    /// not ended.
    #[must_use]
    pub fn end_id(&self) -> Option<EndId> {
        let (session, kind) = (self.id.clone(), self.end?);
        Some(EndId { session, kind })
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
    /// Its owner had more than were allowed:
    /// [`Sessions::keep_newest`](crate::Sessions::keep_newest).
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

/// Why a text that a client presented for a session was not looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Unreadable {
    /// It is not of the form of a token.
    Malformed,
    /// None of this server's secrets has signed or sealed it: it is forged or damaged, or one of
    /// the servers has a wrong secret.
    UnknownSecret,
}

impl Unreadable {
    const fn text(self) -> &'static str {
        match self {
            Self::Malformed => "it does not have the form of a token",
            Self::UnknownSecret => {
                "none of this server's secrets has signed or sealed it: it is forged or damaged, or \
                 a secret is wrong or was removed too early"
            }
        }
    }
}

/// Is told when sessions begin and end.
///
/// The calls are made after the store has confirmed what happened, on the task that caused it, so
/// they should return at once; long work belongs on a channel. A panic in an observer is caught
/// and logged.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> session_core::Result<()> {
/// use std::sync::mpsc::{Sender, channel};
/// use session_core::{EndReason, Event, Observer, Owner, Sessions};
///
/// struct SignOuts(Sender<Option<Owner>>);
///
/// impl Observer for SignOuts {
///     fn destroyed(&self, event: Event<'_>, reason: EndReason) {
///         if reason == EndReason::SignedOut {
///             let _ = self.0.send(event.owner.cloned());       // another task does the rest
///         }
///     }
/// }
///
/// let (sender, sign_outs) = channel();
/// let store = session_memory::MemoryStore::new();
/// let sessions = Sessions::builder(store).observer(SignOuts(sender)).build()?;
///
/// let session = sessions.start();
/// session.sign_in("user-1769").await?;
/// session.destroy().await?;
/// assert_eq!(sign_outs.recv().expect("told"), Some(Owner::new("user-1769")?));
/// # Ok(()) }
/// ```
pub trait Observer: Send + Sync + 'static {
    /// A session was stored for the first time.
    fn created(&self, _event: Event<'_>) {}
    /// A session got a new token: by a sign-in, [`cycle_id`](crate::Session::cycle_id) or a
    /// renewal. Its id stays.
    fn renewed(&self, _event: Event<'_>) {}
    /// A session was ended, for this reason.
    ///
    /// After a lost answer an end may be told again, with the same [`end_id`](Event::end_id), or late:
    /// the manager asks the store until it knows. Told late or again, owner and age are what the
    /// manager knew of the session, and may be unknown. A session that expires while its end is in
    /// doubt is told as destroyed, and perhaps as expired too.
    fn destroyed(&self, _event: Event<'_>, _reason: EndReason) {}
    /// A session ended by itself. Reported by [`Sessions::reap`](crate::Sessions::reap), once unless a
    /// process dies or an answer of the store is lost: then again, with the same
    /// [`end_id`](Event::end_id).
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
    /// A client presented a cookie, or a header of this name, that can't be read, so that no
    /// session was looked up by it. Many of [`Unreadable::UnknownSecret`] after a deployment mean
    /// that a secret is wrong. Told when a handler asks for its session, once for each name, and to
    /// the log at most once a minute for each reason. If another cookie of that name can be read,
    /// the log is told at `debug`.
    fn unreadable(&self, _name: &str, _why: Unreadable) {}
    /// A client presented a token of no session: of one that has ended, or made up. Many from one
    /// place mean that a client is guessing.
    fn unknown(&self, _id: &SessionId) {}
    /// This process has closed so many streams of a session, for this reason: those that waited for
    /// its [end](crate::Session::ended). Many of
    /// [`SessionEnd::Unconfirmed`] mean that the store can't be asked.
    fn streams_closed(&self, _id: &SessionId, _end: SessionEnd, _streams: usize) {}
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

    fn unreadable(&self, name: &str, why: Unreadable) {
        tracing::debug!(name, ?why, "unreadable session cookie");
    }

    fn unknown(&self, id: &SessionId) {
        tracing::debug!(?id, "no such session");
    }

    fn streams_closed(&self, id: &SessionId, end: SessionEnd, streams: usize) {
        tracing::debug!(?id, ?end, streams, "streams of a session closed");
    }
}

/// All observers of a manager, and what it tells the log by itself: causes that would else only
/// show as signed-out users.
#[derive(Clone, Default)]
pub(crate) struct Observers {
    all: Vec<Arc<dyn Observer>>,
    warned: Arc<Warned>,
}

#[derive(Default)]
struct Warned {
    corrupt: RateLimit,
    // One for each reason: a stranger's junk must not hide a wrong secret.
    malformed: RateLimit,
    unknown_secret: RateLimit,
    untold: RateLimit,
    // A program's own mistakes are to be seen one by one; clients that go away cause it too.
    unsaved: RateLimit<10>,
}

impl Warned {
    const fn unreadable(&self, why: Unreadable) -> &RateLimit {
        match why {
            Unreadable::Malformed => &self.malformed,
            Unreadable::UnknownSecret => &self.unknown_secret,
        }
    }
}

impl Observers {
    pub(crate) fn add(&mut self, observer: Arc<dyn Observer>) {
        self.all.push(observer);
    }

    pub(crate) fn notify(&self, what: impl Fn(&dyn Observer)) {
        let notify = |observer: &dyn Observer| {
            // An observer's mistake must not undo a login or stop the reaper.
            if catch_unwind(AssertUnwindSafe(|| what(observer))).is_err() {
                tracing::error!("a session observer panicked");
            }
        };
        #[cfg(feature = "metrics")]
        notify(&super::metrics::MetricsObserver);
        for observer in &self.all {
            notify(&**observer);
        }
    }

    /// Tells of a stored session that can't be read.
    pub(crate) fn corrupt(&self, id: &SessionId, error: &Error) {
        self.notify(|observer| observer.corrupt(id, error));
        if let Some(suppressed) = self.warned.corrupt.admit() {
            tracing::warn!(?id, %error, suppressed, "a stored session is treated as absent");
        }
    }

    /// Tells of a presented text that can't be read.
    pub(crate) fn unreadable(&self, name: &str, why: Unreadable) {
        self.notify(|observer| observer.unreadable(name, why));
        if let Some(suppressed) = self.warned.unreadable(why).admit() {
            let reason = why.text();
            tracing::warn!(name, suppressed, "a session cookie opens nothing: {reason}");
        }
    }

    /// Tells the log that an end may go untold.
    pub(crate) fn untold(&self, id: &SessionId) {
        if let Some(suppressed) = self.warned.untold.admit() {
            tracing::warn!(
                ?id,
                suppressed,
                "observers may not hear of an end: too many are in doubt"
            );
        }
    }

    /// How many warnings of changes that were dropped unsaved there were since the last that was
    /// let through, if there is to be one now.
    pub(crate) fn unsaved(&self) -> Option<u64> {
        self.warned.unsaved.admit()
    }

    /// Tells of a presented text that can't be read, beside one of the same name that can.
    pub(crate) fn unreadable_beside(&self, name: &str, why: Unreadable) {
        self.notify(|observer| observer.unreadable(name, why));
        let reason = why.text();
        tracing::debug!(
            name,
            "one of several session cookies opens nothing: {reason}"
        );
    }
}

/// Admits up to `MOST` warnings a minute of what strangers can cause. Holds when the minute began,
/// how many it has admitted since, and how many it has suppressed since the last.
#[derive(Default)]
struct RateLimit<const MOST: u64 = 1>(Mutex<(Option<Instant>, u64, u64)>);

impl<const MOST: u64> RateLimit<MOST> {
    const PAUSE: Duration = Duration::from_secs(60);

    /// If a warning is admitted: how many were suppressed since the last.
    fn admit(&self) -> Option<u64> {
        let now = Instant::now();
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (began, admitted, suppressed) = &mut *state;
        if began.is_none_or(|began| now.duration_since(began) >= Self::PAUSE) {
            (*began, *admitted) = (Some(now), 0);
        }
        if *admitted >= MOST {
            *suppressed += 1;
            return None;
        }
        *admitted += 1;
        Some(std::mem::take(suppressed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn malformed_texts_do_not_use_up_the_warning_of_a_wrong_secret() {
        let warned = Warned::default();
        assert_eq!(warned.unreadable(Unreadable::Malformed).admit(), Some(0));
        assert_eq!(warned.unreadable(Unreadable::Malformed).admit(), None);
        assert_eq!(
            warned.unreadable(Unreadable::UnknownSecret).admit(),
            Some(0)
        );
    }

    #[test]
    fn one_warning_a_minute_says_how_many_there_were_since_the_last() {
        let limit: RateLimit = RateLimit::default();
        assert_eq!(limit.admit(), Some(0));
        assert_eq!((limit.admit(), limit.admit()), (None, None));
        limit.0.lock().expect("whole").0 = Instant::now().checked_sub(RateLimit::<1>::PAUSE);
        assert_eq!((limit.admit(), limit.admit()), (Some(2), None));
    }
}
