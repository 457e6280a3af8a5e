//! The streams of a manager that are open until their sessions end.
//!
//! * [`table`] knows the streams, and what is to be asked when; it does no I/O.
//! * [`task`] is the one task of a manager that asks the store and listens to its notices. It
//!   begins with the first stream and ends with the last.
//! * [`bus`] is the store's notices, asked for again when they break off.
//!
//! A notice makes it fast, and the lease makes it sure: no stream is open that the store has not
//! confirmed within the lease, whatever became of the notices, and of the task: each stream looks at
//! its lease too.

mod bus;
mod table;
mod task;

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use crate::manager::identity::TokenState;
use crate::manager::judged_token::JudgedToken;
use crate::manager::sessions::Manager;
use crate::{SessionEnd, SessionId};
use table::{Closed, Table};

pub(crate) use table::Lease;

/// The open streams of one manager.
#[derive(Default)]
pub(crate) struct Watch {
    table: Mutex<Table>,
    /// Whether the task runs. What ends sessions looks at this only, unless there are streams.
    is_running: AtomicBool,
    /// Wakes the task.
    changed: Notify,
}

/// One stream, which is removed when this is dropped.
struct Registration<'a> {
    watch: &'a Watch,
    id: SessionId,
    number: u64,
}

impl Drop for Registration<'_> {
    fn drop(&mut self) {
        let mut table = self.watch.table();
        table.remove(&self.id, self.number);
        let is_last = table.is_empty();
        drop(table);
        if is_last {
            self.watch.changed.notify_one();
        }
    }
}

impl Watch {
    /// How many streams are open.
    pub(crate) fn streams(&self) -> usize {
        self.table().streams()
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Manager {
    /// Waits until the session that `judged` opens ends.
    pub(crate) async fn ended(self: Arc<Self>, judged: JudgedToken) -> SessionEnd {
        let (id, now) = (judged.id.clone(), Instant::now());
        let (number, mut closed, starts) = {
            let mut table = self.watch.table();
            let (number, closed) = table.add(judged, now);
            let starts = !self.watch.is_running.swap(true, SeqCst);
            (number, closed, starts)
        };
        let watch = &self.watch;
        let registration = Registration { watch, id, number };
        if starts {
            task::start(&self);
        }
        watch.changed.notify_one();
        let mut lapses = now + self.lease.patience();
        loop {
            if let Ok(end) = timeout_at(lapses, &mut closed).await {
                // Without an answer the task has ended with its runtime.
                return end.unwrap_or(SessionEnd::Unconfirmed);
            }
            // The task may be in a runtime that is not driven: the lease holds without it too.
            lapses = self.lapse_alone(&registration.id);
        }
    }

    /// Closes the streams of one session if it was not confirmed for too long. Gives when to do it
    /// again.
    fn lapse_alone(&self, id: &SessionId) -> Instant {
        let (now, lease) = (Instant::now(), self.lease);
        let mut table = self.watch.table();
        let lapses = table.lapses(id, lease).unwrap_or(now);
        let closed = (lapses <= now).then(|| table.close(id, SessionEnd::Unconfirmed));
        drop(table);
        self.report_closed(closed.flatten());
        lapses
    }

    /// The session has ended: closes its streams.
    pub(crate) fn close_streams(&self, id: &SessionId) {
        if !self.watch.is_running.load(SeqCst) {
            return;
        }
        let closed = self.watch.table().close(id, SessionEnd::Ended);
        self.report_closed(closed);
    }

    /// The session has a new token: asks the store at once which of its streams are of an earlier
    /// sign-in. This process may not know the latest.
    pub(crate) fn recheck_streams(&self, id: &SessionId) {
        if self.watch.is_running.load(SeqCst) {
            self.watch.table().ask(id.clone());
            self.watch.changed.notify_one();
        }
    }

    /// The store has answered a question that was sent at `asked`: the session's token is the one
    /// of `state`. Closes the streams of an earlier sign-in.
    fn keep_sign_in(&self, id: &SessionId, state: Option<&TokenState>, asked: Instant) {
        let closed = self.watch.table().keep_sign_in(id, state, asked);
        self.report_closed(closed);
    }

    fn report_closed(&self, closed: impl IntoIterator<Item = Closed>) {
        for Closed { id, end, streams } in closed {
            let observers = &self.observers;
            observers.notify(|observer| observer.streams_closed(&id, end, streams));
        }
    }
}
