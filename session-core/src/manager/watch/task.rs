//! The task that watches the sessions with open streams.

use std::collections::HashSet;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::task::Poll;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
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

/// Starts the task of a manager that has streams and no task.
pub(super) fn start(manager: &Arc<Manager>) {
    let task = Task {
        manager: Arc::clone(manager),
        is_over: false,
    };
    tokio::spawn(task.run());
}

struct Task {
    manager: Arc<Manager>,
    /// Whether it has ended because there were no streams.
    is_over: bool,
}

/// What the task waits for.
enum Woken {
    Heard(Notice),
    Answered(Vec<SessionId>),
    Due,
}

impl Task {
    async fn run(mut self) {
        let manager = Arc::clone(&self.manager);
        let mut bus = Bus::new(Arc::clone(&manager.store));
        let mut asking: Option<Asking> = None;
        let mut not_before = Instant::now();
        while let Some(mut wake) = self.turn() {
            if asking.is_none() && manager.watch.table().has_due() {
                if not_before <= Instant::now() {
                    let due = manager.watch.table().take_due();
                    asking = Some(Box::pin(Arc::clone(&manager).ask(due)));
                } else {
                    wake = wake.min(not_before);
                }
            }
            match self.wait(&mut bus, &mut asking, wake).await {
                Woken::Heard(notice) => self.hear(notice),
                Woken::Answered(unanswered) => {
                    asking = None;
                    if !unanswered.is_empty() {
                        not_before = Instant::now() + manager.lease.pause();
                        let mut table = manager.watch.table();
                        unanswered.into_iter().for_each(|id| table.ask(id));
                    }
                }
                Woken::Due => {}
            }
        }
    }

    /// Waits for a notice, an answer, another stream, or until `wake`.
    async fn wait(&self, bus: &mut Bus, asking: &mut Option<Asking>, wake: Instant) -> Woken {
        let mut heard = pin!(bus.next());
        let mut answered = pin!(answers(asking));
        let mut changed = pin!(self.manager.watch.changed.notified());
        let mut slept = pin!(sleep_until(wake));
        poll_fn(|cx| {
            // First: a flood of notices must not keep answers from being heard.
            if let Poll::Ready(unanswered) = answered.as_mut().poll(cx) {
                return Poll::Ready(Woken::Answered(unanswered));
            }
            if let Poll::Ready(notice) = heard.as_mut().poll(cx) {
                return Poll::Ready(Woken::Heard(notice));
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
    /// stream any more, and the task is over.
    fn turn(&mut self) -> Option<Instant> {
        let (now, lease) = (Instant::now(), self.manager.lease);
        let mut table = self.manager.watch.table();
        let closed = table.lapse(now, lease);
        let wake = if table.is_empty() {
            // With the table locked: the next stream starts another task.
            self.manager.watch.is_running.store(false, SeqCst);
            self.is_over = true;
            None
        } else {
            Some(table.turn(now, lease))
        };
        drop(table);
        self.manager.report_closed(closed);
        wake
    }

    fn hear(&self, notice: Notice) {
        let mut table = self.manager.watch.table();
        let closed = match notice {
            Notice::Ended(id) => table.close(&id, SessionEnd::Ended),
            Notice::Changed(id) => {
                table.ask(id);
                None
            }
            Notice::Missed => {
                table.ask_for_all();
                None
            }
        };
        drop(table);
        self.manager.report_closed(closed);
    }
}

/// A task that ends with its runtime leaves no stream open that no task watches.
impl Drop for Task {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        let watch = &self.manager.watch;
        let mut table = watch.table();
        watch.is_running.store(false, SeqCst);
        table.close_all(SessionEnd::Unconfirmed);
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
        let record = match self.store.load(id).await {
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
