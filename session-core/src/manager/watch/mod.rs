//! The streams of a manager that are open until their sessions end.
//!
//! * [`table`] knows the streams, and what is to be asked when; it does no I/O.
//! * [`task`] is the one task of a manager that asks the store and listens to its notices. It
//!   begins with the first stream and ends with the last.
//! * [`bus`] is the store's notices, asked for again when they break off.
//!
//! A notice makes it fast, and the lease makes it sure: no stream is open that the store has not
//! confirmed within the lease, whatever became of the notices.

mod bus;
mod table;
mod task;

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::time::Instant;

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
        let (number, closed, starts) = {
            let mut table = self.watch.table();
            let (number, closed) = table.add(judged, now);
            let starts = !self.watch.is_running.swap(true, SeqCst);
            (number, closed, starts)
        };
        let watch = &self.watch;
        let _registration = Registration { watch, id, number };
        if starts {
            task::start(&self);
        }
        watch.changed.notify_one();
        // Without an answer the task has ended with its runtime.
        closed.await.unwrap_or(SessionEnd::Unconfirmed)
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

    /// The store says that the session's token is the one of `state`: closes the streams of an
    /// earlier sign-in.
    fn keep_sign_in(&self, id: &SessionId, state: Option<&TokenState>) {
        let closed = self.watch.table().keep_sign_in(id, state);
        self.report_closed(closed);
    }

    fn report_closed(&self, closed: impl IntoIterator<Item = Closed>) {
        for Closed { id, end, streams } in closed {
            let observers = &self.observers;
            observers.notify(|observer| observer.streams_closed(&id, end, streams));
        }
    }
}
