//! The writes of this process that have no answer, and the ids to which it has moved sessions.
//!
//! Express' records have no field for a stamp, so a record does not name the write that made it.
//! Instead, the process remembers its latest [`MAX_REMEMBERED`] writes of each kind, as hashes and
//! ids. Repeating a forgotten write gives a conflict, which the manager treats as an unknown
//! outcome.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use session_core::{SessionId, SessionToken, Stamp};
use sha2::{Digest, Sha256};

/// How many writes of each kind are remembered.
const MAX_REMEMBERED: usize = 256;

/// The latest writes of this process.
#[derive(Default)]
pub(crate) struct SentWrites(Mutex<Latest>);

#[derive(Default)]
struct Latest {
    /// Writes without an answer.
    unanswered: VecDeque<Write>,
    /// Moves in flight or without an answer.
    moving: VecDeque<Move>,
    /// Moves that were done.
    moved: VecDeque<Move>,
}

/// A write, and the hash of the value that it stores.
struct Write {
    stamp: Stamp,
    value: [u8; 32],
}

/// A write that gives a session another id.
struct Move {
    stamp: Stamp,
    from: SessionId,
    to: SessionId,
    /// How often it was sent.
    sent: u32,
    /// Whether the session was destroyed since.
    is_ended: bool,
}

/// A write in flight. It is remembered if it is dropped before it was [`answered`](Self::answered).
pub(crate) struct InFlight<'s> {
    sent: &'s SentWrites,
    stamp: Stamp,
    value: Option<&'s Bytes>,
}

impl SentWrites {
    fn latest(&self) -> MutexGuard<'_, Latest> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records that the write `stamp` is about to store `value`.
    pub(crate) fn begin<'s>(&'s self, stamp: Stamp, value: &'s Bytes) -> InFlight<'s> {
        InFlight {
            sent: self,
            stamp,
            value: Some(value),
        }
    }

    /// Returns whether the write `stamp` was sent before without an answer.
    pub(crate) fn is_unanswered(&self, stamp: Stamp) -> bool {
        let latest = self.latest();
        latest.unanswered.iter().any(|write| write.stamp == stamp)
    }

    /// Returns whether the write `stamp` was sent with this `value` and has no answer.
    pub(crate) fn has_stored(&self, stamp: Stamp, value: &Bytes) -> bool {
        let latest = self.latest();
        let mut writes = latest.unanswered.iter();
        // Nearly always there are none, and hashing takes longer than searching.
        if !writes.clone().any(|write| write.stamp == stamp) {
            return false;
        }
        let value: [u8; 32] = Sha256::digest(value).into();
        writes.any(|write| write.stamp == stamp && write.value == value)
    }

    /// Forgets the write `stamp`, whose outcome is known.
    pub(crate) fn forget(&self, stamp: Stamp) {
        let mut latest = self.latest();
        latest.unanswered.retain(|write| write.stamp != stamp);
    }

    /// Records that the write `stamp` is about to move the session `from`. Returns the new id,
    /// which is the same each time the write is sent.
    pub(crate) fn begin_move(&self, stamp: Stamp, from: &SessionId) -> SessionId {
        let mut latest = self.latest();
        let Latest { moving, moved, .. } = &mut *latest;
        let mut moves = moving.iter_mut().chain(moved);
        if let Some(known) = moves.find(|one| one.stamp == stamp) {
            known.sent += 1;
            return known.to.clone();
        }
        let new = Move {
            stamp,
            from: from.clone(),
            to: SessionToken::generate_plain().id(),
            sent: 1,
            is_ended: false,
        };
        let to = new.to.clone();
        push(&mut latest.moving, new);
        to
    }

    /// Records that the write `stamp` has moved its session. Returns whether the session was
    /// destroyed since the write was sent.
    pub(crate) fn end_move(&self, stamp: Stamp) -> bool {
        let mut latest = self.latest();
        if let Some(done) = latest.take_move(|one| one.stamp == stamp) {
            push(&mut latest.moved, done);
        }
        let mut moved = latest.moved.iter();
        moved.any(|one| one.stamp == stamp && one.is_ended)
    }

    /// Forgets the write `stamp`, which has found nothing to move, if it was sent only once.
    /// Returns whether it was, so that it has certainly moved nothing.
    pub(crate) fn cancel_move(&self, stamp: Stamp) -> bool {
        let is_only = |one: &Move| one.stamp == stamp && one.sent == 1;
        self.latest().take_move(is_only).is_some()
    }

    /// Returns the ids to which this process has or may have moved the session `from`, which is
    /// being destroyed. Moves in flight learn of that when they [end](Self::end_move).
    ///
    /// Call this after `from` was removed: all moves that preceded the removal are then recorded.
    pub(crate) fn destroy_moves(&self, from: &SessionId) -> Vec<SessionId> {
        let mut latest = self.latest();
        let Latest { moving, moved, .. } = &mut *latest;
        let moves = moving.iter_mut().chain(moved);
        let moves = moves.filter(|one| one.from == *from);
        let destroy = |one: &mut Move| {
            one.is_ended = true;
            one.to.clone()
        };
        moves.map(destroy).collect()
    }
}

impl Latest {
    fn take_move(&mut self, is_meant: impl FnMut(&Move) -> bool) -> Option<Move> {
        let at = self.moving.iter().position(is_meant)?;
        self.moving.remove(at)
    }
}

impl InFlight<'_> {
    /// Records that the database has answered.
    pub(crate) fn answered(mut self) {
        self.value = None;
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        if let Some(value) = self.value {
            let write = Write {
                stamp: self.stamp,
                value: Sha256::digest(value).into(),
            };
            push(&mut self.sent.latest().unanswered, write);
        }
    }
}

fn push<T>(queue: &mut VecDeque<T>, new: T) {
    if queue.len() == MAX_REMEMBERED {
        queue.pop_front();
    }
    queue.push_back(new);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> SessionId {
        SessionId::plain(text).expect("any text")
    }

    fn stamps() -> [Stamp; 4] {
        std::array::from_fn(|_| Stamp::generate())
    }

    #[test]
    fn a_write_is_remembered_unless_it_was_answered() {
        let (sent, stamp) = (SentWrites::default(), Stamp::generate());
        let (one, other) = (Bytes::from("one"), Bytes::from("other"));
        sent.begin(stamp, &one).answered();
        assert!(!sent.is_unanswered(stamp));
        drop(sent.begin(stamp, &one));
        assert!(sent.is_unanswered(stamp));
        assert!(sent.has_stored(stamp, &one));
        assert!(!sent.has_stored(stamp, &other));
        assert!(!sent.has_stored(Stamp::generate(), &one), "another's");
        drop(sent.begin(stamp, &other));
        assert!(sent.has_stored(stamp, &one) && sent.has_stored(stamp, &other));
        sent.forget(stamp);
        assert!(!sent.is_unanswered(stamp));
    }

    #[test]
    fn a_destroy_finds_the_new_ids_and_moves_in_flight_learn_of_it() {
        let (sent, stamps) = (SentWrites::default(), stamps());
        let done = sent.begin_move(stamps[0], &id("a"));
        assert!(!sent.end_move(stamps[0]));
        let in_flight = sent.begin_move(stamps[1], &id("a"));
        sent.begin_move(stamps[2], &id("a"));
        assert!(sent.cancel_move(stamps[2]));
        sent.begin_move(stamps[3], &id("x"));
        assert_eq!(sent.destroy_moves(&id("a")), [in_flight.clone(), done]);
        assert_eq!(sent.destroy_moves(&in_flight), []);
        assert!(sent.end_move(stamps[1]), "destroyed since");
        assert!(sent.end_move(stamps[1]), "also if it is asked again");
        assert!(!sent.end_move(stamps[3]));
    }

    #[test]
    fn a_move_that_was_sent_more_than_once_goes_to_one_id_and_is_not_cancelled() {
        let (sent, [stamp, other, ..]) = (SentWrites::default(), stamps());
        let to = sent.begin_move(stamp, &id("a"));
        assert_eq!(sent.begin_move(stamp, &id("a")), to);
        assert!(
            !sent.cancel_move(stamp),
            "the other sending may have done it"
        );
        assert_ne!(sent.begin_move(other, &id("a")), to);
        assert!(sent.cancel_move(other));
        sent.end_move(stamp);
        assert_eq!(sent.begin_move(stamp, &id("a")), to, "also once it is done");
        assert!(!sent.cancel_move(stamp));
    }

    #[test]
    fn the_memory_is_bounded_and_done_moves_evict_no_others() {
        let (sent, value) = (SentWrites::default(), Bytes::from("value"));
        let [first, unanswered, ..] = stamps();
        drop(sent.begin(first, &value));
        let to = sent.begin_move(unanswered, &id("a"));
        for n in 0..=MAX_REMEMBERED {
            let stamp = Stamp::generate();
            drop(sent.begin(stamp, &value));
            sent.begin_move(stamp, &id(&format!("{n}")));
            sent.end_move(stamp);
        }
        assert!(!sent.is_unanswered(first));
        assert_eq!(sent.destroy_moves(&id("0")), []);
        assert_eq!(sent.destroy_moves(&id("a")), [to]);
        for n in 0..MAX_REMEMBERED {
            sent.begin_move(Stamp::generate(), &id(&format!("{n}")));
        }
        assert_eq!(sent.destroy_moves(&id("a")), []);
        let latest = sent.latest();
        let sizes = [&latest.moving, &latest.moved].map(VecDeque::len);
        assert_eq!(
            (latest.unanswered.len(), sizes),
            (MAX_REMEMBERED, [MAX_REMEMBERED; 2])
        );
    }
}
