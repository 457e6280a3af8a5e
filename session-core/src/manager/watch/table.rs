//! Which sessions have open streams, and since when the store has not confirmed that they live. No
//! I/O, and no clock but the callers'.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use super::current_task::CurrentTask;
use crate::manager::identity::TokenState;
use crate::manager::judged_token::JudgedToken;
use crate::{SessionEnd, SessionId, Ttl};

/// How long a stream stays open without a word from the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lease {
    /// Where the store can be asked.
    pub(crate) lease: Duration,
    /// How much longer where it can't.
    pub(crate) outage: Duration,
}

impl Lease {
    pub(crate) const DEFAULT: Self = Self {
        lease: Duration::from_secs(5),
        outage: Duration::ZERO,
    };
    pub(crate) const MIN: Duration = Duration::from_millis(100);
    /// Of both: a time that a clock can be set to.
    pub(crate) const MAX: Duration = Duration::from_secs(86_400);

    /// Twice a lease, so that one question may fail or be late.
    pub(super) fn interval(self) -> Duration {
        self.lease / 2
    }

    /// The pause after a question that failed.
    pub(super) fn pause(self) -> Duration {
        self.lease / 10
    }

    /// How late the task may be before another takes its place.
    pub(super) fn tolerance(self) -> Duration {
        self.lease / 5
    }

    /// How long a stream is unconfirmed before it looks whether there is a task. A task that is late
    /// is found then, and another one has time to ask.
    pub(super) fn lookout(self) -> Duration {
        self.lease / 4 * 3
    }

    /// How long a stream is open before the store is asked for its session: one of a few
    /// milliseconds costs no load, and no subscription if it is the only one.
    pub(super) fn settling(self) -> Duration {
        self.pause().min(Duration::from_millis(10))
    }

    pub(super) fn patience(self) -> Duration {
        self.lease.saturating_add(self.outage)
    }
}

/// The sessions with open streams.
#[derive(Default)]
pub(super) struct Table {
    sessions: HashMap<SessionId, Watched>,
    streams: usize,
    next: u64,
    /// To be asked for before the next round.
    due: HashSet<SessionId>,
    /// Those to be asked for at a moment before the next round: a stream was opened, or the session
    /// may expire.
    planned: BinaryHeap<Reverse<(Instant, SessionId)>>,
    /// When all are asked for.
    round: Option<Instant>,
    /// Before this moment no session has been unconfirmed for too long.
    lapses: Option<Instant>,
    pub(super) task: CurrentTask,
}

struct Watched {
    streams: Vec<(u64, OpenStream)>,
    /// When the latest question was sent that the store has answered.
    confirmed: Instant,
}

struct OpenStream {
    /// The token that the stream was opened with.
    judged: JudgedToken,
    opened: Instant,
    close: oneshot::Sender<SessionEnd>,
}

/// The streams of one session that were closed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Closed {
    pub(super) id: SessionId,
    pub(super) end: SessionEnd,
    pub(super) streams: usize,
}

impl Table {
    pub(super) fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }

    pub(super) fn streams(&self) -> usize {
        self.streams
    }

    /// Adds a stream. If it is still open after [`Lease::settling`], the store is asked for its
    /// session, which may have ended since it was loaded.
    pub(super) fn add(
        &mut self,
        judged: JudgedToken,
        now: Instant,
        lease: Lease,
    ) -> (u64, oneshot::Receiver<SessionEnd>) {
        let (close, closed) = oneshot::channel();
        let (number, id) = (self.next, judged.id.clone());
        self.next += 1;
        self.streams += 1;
        let settled = now + lease.settling();
        self.planned.push(Reverse((settled, id.clone())));
        self.task.wake_by(settled);
        let watched = self.sessions.entry(id).or_insert_with(|| Watched {
            streams: Vec::with_capacity(1),
            confirmed: now,
        });
        let opened = now;
        let stream = OpenStream {
            judged,
            opened,
            close,
        };
        watched.streams.push((number, stream));
        (number, closed)
    }

    /// Removes a stream that has ended by itself, if it is still there.
    pub(super) fn remove(&mut self, id: &SessionId, number: u64) {
        let Some(watched) = self.sessions.get_mut(id) else {
            return;
        };
        let before = watched.streams.len();
        watched.streams.retain(|(there, _)| *there != number);
        self.streams -= before - watched.streams.len();
        if watched.streams.is_empty() {
            self.sessions.remove(id);
        }
    }

    /// Closes all streams of a session.
    pub(super) fn close(&mut self, id: &SessionId, end: SessionEnd) -> Option<Closed> {
        let watched = self.sessions.remove(id)?;
        let streams = watched.streams.len();
        self.streams -= streams;
        for (_, stream) in watched.streams {
            // It may have ended by itself just now.
            let _ = stream.close.send(end);
        }
        Some(Closed {
            id: id.clone(),
            end,
            streams,
        })
    }

    /// Closes the streams of a session that were opened under another sign-in than the one whose
    /// token `state` is of, as the store has answered to a question that was sent at `asked`. It
    /// says nothing of streams that were opened later: those are due.
    pub(super) fn keep_sign_in(
        &mut self,
        id: &SessionId,
        state: Option<&TokenState>,
        asked: Instant,
    ) -> Option<Closed> {
        let watched = self.sessions.get_mut(id)?;
        let other = |(_, stream): &mut (u64, OpenStream)| {
            stream.opened <= asked && !stream.judged.is_same_sign_in(state)
        };
        let closed: Vec<_> = watched.streams.extract_if(.., other).collect();
        self.streams -= closed.len();
        if watched.streams.is_empty() {
            self.sessions.remove(id);
        }
        let (end, streams) = (SessionEnd::NewToken, closed.len());
        for (_, stream) in closed {
            let _ = stream.close.send(end);
        }
        let id = id.clone();
        (streams > 0).then_some(Closed { id, end, streams })
    }

    /// The store has answered a question that was sent at `asked`: the session lives, and may
    /// expire after `ttl`.
    pub(super) fn confirm(&mut self, id: &SessionId, ttl: Ttl, asked: Instant, now: Instant) {
        let Some(watched) = self.sessions.get_mut(id) else {
            return;
        };
        watched.confirmed = watched.confirmed.max(asked);
        // The answer took a while; a millisecond more, as the store counts in whole ones.
        let in_full = |left: Duration| left.checked_add(Duration::from_millis(1));
        let left = ttl.left().and_then(in_full);
        let deadline = left.and_then(|left| now.checked_add(left));
        if let (Some(deadline), Some(round)) = (deadline, self.round)
            && deadline < round
        {
            self.planned.push(Reverse((deadline, id.clone())));
        }
    }

    /// Asks for a session before the next round, if it has streams.
    pub(super) fn ask(&mut self, id: SessionId) {
        if self.sessions.contains_key(&id) {
            self.due.insert(id);
        }
    }

    pub(super) fn ask_for_all(&mut self) {
        self.due.extend(self.sessions.keys().cloned());
    }

    /// Closes the streams of one session if it was not confirmed for too long. Gives when to do it
    /// again.
    pub(super) fn look_at(
        &mut self,
        id: &SessionId,
        now: Instant,
        lease: Lease,
    ) -> (Option<Closed>, Instant) {
        let later = now + lease.interval();
        let Some(confirmed) = self.sessions.get(id).map(|watched| watched.confirmed) else {
            return (None, later);
        };
        let (lookout, lapses) = (confirmed + lease.lookout(), confirmed + lease.patience());
        if lapses <= now {
            return (self.close(id, SessionEnd::Unconfirmed), later);
        }
        let next = if now < lookout {
            lookout
        } else {
            now + lease.pause()
        };
        (None, next.min(lapses))
    }

    /// What wakes a new task, if there has to be one: there is none, or it has not come in time.
    pub(super) fn take_task(&mut self, now: Instant, lease: Lease) -> Option<Arc<Notify>> {
        let wake = self.task.take(now, lease)?;
        // The task before may have asked, and not come for the answers.
        self.ask_for_all();
        Some(wake)
    }

    /// Closes the streams that were not confirmed for too long.
    pub(super) fn lapse(&mut self, now: Instant, lease: Lease) -> Vec<Closed> {
        if self.lapses.is_some_and(|lapses| now < lapses) {
            return Vec::new();
        }
        let patience = lease.patience();
        let is_over = |watched: &Watched| watched.confirmed + patience <= now;
        let over = self.sessions.iter().filter(|(_, one)| is_over(one));
        let over: Vec<SessionId> = over.map(|(id, _)| id.clone()).collect();
        let end = SessionEnd::Unconfirmed;
        let closed = over.iter().filter_map(|id| self.close(id, end)).collect();
        let earliest = self.sessions.values().map(|one| one.confirmed).min();
        self.lapses = Some(earliest.unwrap_or(now) + patience);
        closed
    }

    /// Makes sessions due whose moment or whose round has come. Gives when this is to be called
    /// next.
    pub(super) fn turn(&mut self, now: Instant, lease: Lease) -> Instant {
        while let Some(Reverse((at, _))) = self.planned.peek()
            && *at <= now
        {
            if let Some(Reverse((_, id))) = self.planned.pop() {
                self.ask(id);
            }
        }
        let mut round = *self.round.get_or_insert(now + lease.interval());
        if round <= now {
            self.ask_for_all();
            self.planned.clear();
            round = now + lease.interval();
            self.round = Some(round);
        }
        let planned = self.planned.peek().map(|Reverse((at, _))| *at);
        let times = [Some(round), self.lapses, planned];
        times.into_iter().flatten().min().unwrap_or(round)
    }

    /// The sessions to ask for now.
    pub(super) fn take_due(&mut self) -> Vec<SessionId> {
        let due = std::mem::take(&mut self.due);
        due.into_iter()
            .filter(|id| self.sessions.contains_key(id))
            .collect()
    }

    pub(super) fn has_due(&self) -> bool {
        !self.due.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SessionToken;
    use crate::manager::identity::{Grace, Verdict};

    const LEASE: Lease = Lease::DEFAULT;

    fn judged() -> JudgedToken {
        let token = SessionToken::generate();
        let state = TokenState::of(&token, Duration::ZERO, Grace::DEFAULT, false);
        JudgedToken {
            id: token.id(),
            token,
            verdict: Verdict::Current,
            state: Some(state),
        }
    }

    fn millis(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    #[test]
    fn a_stream_is_open_for_a_lease_after_the_last_question_that_was_answered() {
        let (mut table, start, judged) = (Table::default(), Instant::now(), judged());
        let (_, mut closed) = table.add(judged.clone(), start, LEASE);
        assert!(table.lapse(start, LEASE).is_empty());
        assert!(table.lapse(start + millis(4_999), LEASE).is_empty());
        let (asked, answered) = (start + millis(2_500), start + millis(4_000));
        table.confirm(&judged.id, Ttl::Never, asked, answered);
        assert!(table.lapse(start + millis(7_499), LEASE).is_empty());
        closed.try_recv().expect_err("it is open");
        let lapsed = table.lapse(start + millis(7_500), LEASE);
        assert_eq!((lapsed.len(), lapsed[0].streams), (1, 1));
        assert_eq!(closed.try_recv(), Ok(SessionEnd::Unconfirmed));
        assert!(table.is_empty() && table.streams() == 0);
    }

    #[test]
    fn an_outage_may_be_longer_than_a_lease_by_a_setting() {
        let (mut table, start) = (Table::default(), Instant::now());
        let _closed = table.add(judged(), start, LEASE);
        let lease = Lease {
            outage: Duration::from_secs(60),
            ..LEASE
        };
        assert!(table.lapse(start + millis(64_999), lease).is_empty());
        assert_eq!(table.lapse(start + millis(65_000), lease).len(), 1);
    }

    #[test]
    fn a_stream_is_due_once_it_is_settled_in_each_round_and_at_its_deadline() {
        let (mut table, start, judged) = (Table::default(), Instant::now(), judged());
        let _closed = table.add(judged.clone(), start, LEASE);
        assert_eq!(table.turn(start, LEASE), start + millis(10));
        assert!(!table.has_due());
        assert_eq!(table.turn(start + millis(10), LEASE), start + millis(2_500));
        assert_eq!(table.take_due(), std::slice::from_ref(&judged.id));
        let ttl = Ttl::Left(millis(300));
        table.confirm(&judged.id, ttl, start, start + millis(10));
        assert_eq!(table.turn(start, LEASE), start + millis(311));
        assert!(!table.has_due());
        table.turn(start + millis(311), LEASE);
        assert_eq!(table.take_due(), std::slice::from_ref(&judged.id));
        table.turn(start + millis(2_499), LEASE);
        assert!(!table.has_due());
        table.turn(start + millis(2_500), LEASE);
        assert_eq!(table.take_due(), [judged.id]);
    }

    #[test]
    fn only_the_streams_of_another_sign_in_are_closed_by_a_new_token() {
        let (mut table, start, old) = (Table::default(), Instant::now(), judged());
        let mut new = old.clone();
        new.token = SessionToken::reissued(&old.id);
        new.state = Some(TokenState::of(
            &new.token,
            Duration::ZERO,
            Grace::DEFAULT,
            false,
        ));
        let (_, mut first) = table.add(old.clone(), start, LEASE);
        let (_, mut second) = table.add(new.clone(), start, LEASE);
        let closed = table.keep_sign_in(&old.id, new.state.as_ref(), start);
        assert_eq!(closed.map(|closed| closed.streams), Some(1));
        assert_eq!(first.try_recv(), Ok(SessionEnd::NewToken));
        second.try_recv().expect_err("it is open");
        let again = table.keep_sign_in(&old.id, new.state.as_ref(), start);
        assert_eq!(again, None);
        assert_eq!(table.streams(), 1);

        let earlier = table.keep_sign_in(&old.id, old.state.as_ref(), start - millis(1));
        assert_eq!(earlier, None, "the answer is older than the stream");
        second.try_recv().expect_err("it is open");
    }

    #[test]
    fn a_stream_that_ends_by_itself_leaves_the_others_of_its_session() {
        let (mut table, start, judged) = (Table::default(), Instant::now(), judged());
        let (one, _closed) = table.add(judged.clone(), start, LEASE);
        let (two, _closed) = table.add(judged.clone(), start, LEASE);
        table.remove(&judged.id, one);
        table.remove(&judged.id, one);
        assert_eq!((table.streams(), table.is_empty()), (1, false));
        table.remove(&judged.id, two);
        assert_eq!((table.streams(), table.is_empty()), (0, true));
        assert!(table.take_due().is_empty());
    }
}
