//! The task that watches the sessions with open streams.

use std::collections::HashSet;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use super::bus::Bus;
use crate::manager::identity::TokenState;
use crate::manager::sessions::Manager;
use crate::{ErrorKind, Notice, SessionEnd, SessionId};

/// How many sessions are asked for at a time: a store sends them as few batches, and requests that
/// queue meanwhile wait for no more than these, unless the store is slow to answer for some.
const CHUNK: usize = 512;

/// A question that is under way. Gives the sessions that the store did not answer for.
type Asking = Pin<Box<dyn Future<Output = Vec<SessionId>> + Send>>;

/// How many notices are heard at a time: a flood of them must not keep answers from being heard.
const MOST_HEARD: usize = 256;

/// Starts a task of a manager that has streams, which `wake` wakes.
pub(super) fn start(manager: &Arc<Manager>, wake: Arc<Notify>) {
    let task = Task {
        manager: Arc::clone(manager),
        wake,
    };
    tokio::spawn(task.run());
}

struct Task {
    manager: Arc<Manager>,
    wake: Arc<Notify>,
}

/// What the task waits for.
enum Woken {
    Heard(Vec<Notice>),
    Answered(Vec<SessionId>),
    Due,
}

impl Task {
    async fn run(self) {
        let (manager, lease) = (Arc::clone(&self.manager), self.manager.lease);
        let settled = Instant::now() + lease.settling();
        let mut bus = Bus::new(Arc::clone(&manager.store), settled);
        let mut asking: Option<Asking> = None;
        // A question before the first notice would have to be repeated after it.
        let (mut not_before, mut has_heard) = (settled + lease.pause(), false);
        while let Some(mut wake) = self.turn(asking.is_some()) {
            if asking.is_none() && manager.watch.table().has_due() {
                if not_before <= Instant::now() {
                    let due = manager.watch.table().take_due();
                    asking = Some(Box::pin(Arc::clone(&manager).ask(due)));
                } else {
                    wake = wake.min(not_before);
                }
            }
            match self.wait(&mut bus, &mut asking, wake).await {
                Woken::Heard(notices) => {
                    self.hear(notices);
                    if !has_heard {
                        (not_before, has_heard) = (Instant::now(), true);
                    }
                }
                Woken::Answered(unanswered) => {
                    asking = None;
                    if !unanswered.is_empty() {
                        not_before = Instant::now() + lease.pause();
                        let mut table = manager.watch.table();
                        unanswered.into_iter().for_each(|id| table.ask(id));
                    }
                }
                Woken::Due => {}
            }
        }
    }

    /// Waits for notices, an answer, another stream, or until `wake`.
    async fn wait(&self, bus: &mut Bus, asking: &mut Option<Asking>, wake: Instant) -> Woken {
        let mut answered = pin!(answers(asking));
        let mut changed = pin!(self.wake.notified());
        let mut slept = pin!(sleep_until(wake));
        poll_fn(|cx| {
            // First: notices come last in a flood of them.
            if let Poll::Ready(unanswered) = answered.as_mut().poll(cx) {
                return Poll::Ready(Woken::Answered(unanswered));
            }
            let mut heard = Vec::new();
            while heard.len() < MOST_HEARD
                && let Poll::Ready(notice) = bus.poll_next(cx)
            {
                heard.push(notice);
            }
            if !heard.is_empty() {
                return Poll::Ready(Woken::Heard(heard));
            }
            let is_due = changed.as_mut().poll(cx).is_ready() | slept.as_mut().poll(cx).is_ready();
            if is_due {
                Poll::Ready(Woken::Due)
            } else {
                Poll::Pending
            }
        })
        .await
    }

    /// Closes what was not confirmed for too long. Gives when to do it again; `None` if there is no
    /// stream any more, or another task in this one's place.
    fn turn(&self, is_asking: bool) -> Option<Instant> {
        let (now, lease) = (Instant::now(), self.manager.lease);
        let mut table = self.manager.watch.table();
        if !table.task.is(&self.wake) {
            return None;
        }
        let closed = table.lapse(now, lease);
        let next = if table.is_empty() {
            // With the table locked: the next stream starts another task.
            table.task.leave();
            None
        } else {
            let mut next = table.turn(now, lease);
            if is_asking || table.has_due() {
                // A runtime that stops before the answer is found while there is time to ask again.
                next = next.min(now + lease.pause());
            }
            table.task.expect_at(next);
            Some(next)
        };
        drop(table);
        self.manager.report_closed(closed);
        next
    }

    fn hear(&self, notices: Vec<Notice>) {
        let mut table = self.manager.watch.table();
        let mut closed = Vec::new();
        for notice in notices {
            match notice {
                Notice::Ended(id) => closed.extend(table.close(&id, SessionEnd::Ended)),
                Notice::Changed(id) => table.ask(id),
                Notice::Missed => table.ask_for_all(),
            }
        }
        drop(table);
        self.manager.report_closed(closed);
    }
}

/// A task that ends with its runtime makes room for one in another runtime.
impl Drop for Task {
    fn drop(&mut self) {
        let mut table = self.manager.watch.table();
        if table.task.is(&self.wake) {
            table.task.leave();
        }
    }
}

/// The answers to the question under way, if there is one.
async fn answers(asking: &mut Option<Asking>) -> Vec<SessionId> {
    match asking {
        Some(asking) => asking.await,
        None => std::future::pending().await,
    }
}

impl Manager {
    /// Asks the store for sessions with open streams, and closes what has ended. Gives those that
    /// it did not answer for.
    ///
    /// Sessions that the store is silent about, such as those of one shard, delay the questions for
    /// all others by a tenth of a lease at most. After a chunk without any answer, it is asked for
    /// no more.
    async fn ask(self: Arc<Self>, ids: Vec<SessionId>) -> Vec<SessionId> {
        let chunks = ids.chunks(CHUNK);
        let share = u32::try_from(chunks.len()).unwrap_or(u32::MAX).max(1);
        let pace = self.lease.pause() / share;
        let mut unanswered: HashSet<&SessionId> = ids.iter().collect();
        let mut asked = FuturesUnordered::new();
        for (number, chunk) in chunks.enumerate() {
            asked.extend(chunk.iter().map(|id| self.ask_in_time(number, id)));
            let (mut left, mut until) = (chunk.len(), None);
            while left > 0 {
                let answer = match until {
                    None => Ok(asked.next().await),
                    Some(until) => timeout_at(until, asked.next()).await,
                };
                let Ok(Some((of, id, is_answered))) = answer else {
                    break;
                };
                left -= usize::from(of == number);
                if is_answered {
                    unanswered.remove(id);
                    if of == number {
                        until = until.or_else(|| Some(Instant::now() + pace));
                    }
                }
            }
            if until.is_none() {
                break;
            }
        }
        while let Some((_, id, is_answered)) = asked.next().await {
            if is_answered {
                unanswered.remove(id);
            }
        }
        unanswered.into_iter().cloned().collect()
    }

    /// Whether the store has answered in time. Gives the number of the question's chunk back.
    async fn ask_in_time<'i>(
        &self,
        chunk: usize,
        id: &'i SessionId,
    ) -> (usize, &'i SessionId, bool) {
        let answered = timeout(self.lease.interval(), self.ask_for(id)).await;
        (chunk, id, answered.unwrap_or(false))
    }

    /// Whether the store has answered.
    async fn ask_for(&self, id: &SessionId) -> bool {
        let asked = Instant::now();
        let record = match self.load_anew(id).await {
            Ok(Some(record)) => record,
            Ok(None) => {
                self.close_streams(id);
                return true;
            }
            // It is treated as absent everywhere.
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                self.close_streams(id);
                return true;
            }
            Err(error) => {
                tracing::debug!(?id, %error, "cannot ask for a session with open streams");
                return false;
            }
        };
        let state = record.credential.as_ref().map(TokenState::decode);
        match state.transpose() {
            Ok(state) => {
                self.keep_sign_in(id, state.as_ref(), asked);
                let (ttl, now) = (record.ttl, Instant::now());
                self.watch.table().confirm(id, ttl, asked, now);
            }
            Err(_) => self.close_streams(id),
        }
        true
    }
}
