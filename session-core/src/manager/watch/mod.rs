//! The streams of a manager that are open until their sessions end.
//!
//! * [`table`] knows the streams, and what is to be asked when; it does no I/O.
//! * [`task`] is the one task of a manager that asks the store and listens to its notices. It
//!   begins with the first stream and ends with the last.
//! * [`current_task`] is which task that is: one that stands still is replaced.
//! * [`bus`] is the store's notices, asked for again when they break off.
//! * [`timer`] is that of one stream, which may move to another runtime.
//!
//! A notice makes it fast, and the lease makes it sure: no stream is open that the store has not
//! confirmed within the lease, whatever became of the notices, and of the task: each stream looks at
//! its lease and at the task too.

mod bus;
mod current_task;
mod table;
mod task;
mod timer;

use std::future::poll_fn;

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use futures_util::FutureExt;
use tokio::time::Instant;

use crate::manager::identity::TokenState;
use crate::manager::judged_token::JudgedToken;
use crate::manager::sessions::Manager;
use crate::{SessionEnd, SessionId};
use table::{Closed, Table};
use timer::Timer;

pub(crate) use table::Lease;

/// The open streams of one manager.
#[derive(Default)]
pub(crate) struct Watch {
    table: Mutex<Table>,
    /// Whether there may be streams: what ends sessions looks only at this if there are none.
    has_streams: AtomicBool,
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
        if table.is_empty() {
            self.watch.has_streams.store(false, SeqCst);
            table.task.wake_by(Instant::now());
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
        let (number, mut closed) = {
            let mut table = self.watch.table();
            self.watch.has_streams.store(true, SeqCst);
            table.add(judged, now, self.lease)
        };
        let watch = &self.watch;
        let registration = Registration { watch, id, number };
        let mut timer = Timer::new(self.look_after(&registration.id));
        poll_fn(|cx| {
            if let Poll::Ready(end) = closed.poll_unpin(cx) {
                // The table keeps what it closes streams by for as long as they are registered.
                return Poll::Ready(end.unwrap_or(SessionEnd::Unconfirmed));
            }
            while timer.poll(cx).is_ready() {
                timer.reset(self.look_after(&registration.id));
            }
            Poll::Pending
        })
        .await
    }

    /// What a stream does by itself, as the task may be in a runtime that has ended or is not
    /// driven: closes the streams of its session if it was not confirmed for too long, and starts a
    /// task in this runtime if there is none that comes in time. Gives when to do it again.
    fn look_after(self: &Arc<Self>, id: &SessionId) -> Instant {
        let now = Instant::now();
        let mut table = self.watch.table();
        let (closed, next) = table.look_at(id, now, self.lease);
        let wake = table.take_task(now, self.lease);
        drop(table);
        if let Some(wake) = wake {
            task::start(self, wake);
        }
        self.report_closed(closed);
        next
    }

    /// The session has ended: closes its streams.
    pub(crate) fn close_streams(&self, id: &SessionId) {
        if !self.watch.has_streams.load(SeqCst) {
            return;
        }
        let closed = self.watch.table().close(id, SessionEnd::Ended);
        self.report_closed(closed);
    }

    /// The session has a new token: asks the store at once which of its streams are of an earlier
    /// sign-in. This process may not know the latest.
    pub(crate) fn recheck_streams(&self, id: &SessionId) {
        if self.watch.has_streams.load(SeqCst) {
            let mut table = self.watch.table();
            table.ask(id.clone());
            table.task.wake_by(Instant::now());
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
