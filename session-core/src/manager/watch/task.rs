//! The task that watches the sessions with open streams.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::task::Poll;

use futures_util::future::join_all;
use tokio::time::{Instant, sleep_until, timeout};

use super::bus::Bus;
use crate::manager::identity::TokenState;
use crate::manager::sessions::Manager;
use crate::{ErrorKind, Notice, SessionEnd, SessionId};

/// How many sessions are asked for at a time: a store sends them as few batches, and requests that
/// queue meanwhile wait for no more than these.
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
            if let Poll::Ready(notice) = heard.as_mut().poll(cx) {
                return Poll::Ready(Woken::Heard(notice));
            }
            if let Poll::Ready(unanswered) = answered.as_mut().poll(cx) {
                return Poll::Ready(Woken::Answered(unanswered));
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
    async fn ask(self: Arc<Self>, mut ids: Vec<SessionId>) -> Vec<SessionId> {
        let mut unanswered = Vec::new();
        while unanswered.is_empty() && !ids.is_empty() {
            let chunk = ids.split_off(ids.len().saturating_sub(CHUNK));
            let questions = chunk.iter().map(|id| self.ask_for(id));
            let limit = self.lease.interval();
            match timeout(limit, join_all(questions)).await {
                Ok(answered) => {
                    let silent = chunk
                        .iter()
                        .zip(answered)
                        .filter(|(_, is_answered)| !is_answered);
                    unanswered.extend(silent.map(|(id, _)| id.clone()));
                }
                // Those that were answered are asked for again too.
                Err(_) => unanswered.extend(chunk),
            }
        }
        unanswered.extend(ids);
        unanswered
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
                self.keep_sign_in(id, state.as_ref());
                let (ttl, now) = (record.ttl, Instant::now());
                self.watch.table().confirm(id, ttl, asked, now);
            }
            Err(_) => self.close_streams(id),
        }
        true
    }
}
