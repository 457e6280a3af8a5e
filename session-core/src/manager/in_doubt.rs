//! Ends that are in doubt: the call has failed, and the session may have ended or not.
//!
//! The caller has its error and may repeat the call. If it does not, no caller would ever tell
//! observers of the end. So one task of the manager asks for these sessions until the store has
//! answered: it tells of those that have ended, and ends those that were to be ended and live still.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use super::ending::Ending;
use crate::SessionId;
use crate::backoff::Backoff;
use crate::manager::sessions::Manager;

/// How many ends may be in doubt: about 2 MB.
const MOST: usize = 10_000;

/// The pauses before the first question, and after errors.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));

/// The ends of one manager that are in doubt, earliest first.
#[derive(Default)]
pub(crate) struct InDoubt(Mutex<State>);

#[derive(Default)]
struct State {
    endings: VecDeque<Ending>,
    /// Ended if its runtime has ended.
    task: Option<JoinHandle<()>>,
}

impl InDoubt {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Removes the end of this session, if it is in doubt.
    pub(super) fn take(&self, id: &SessionId) -> Option<Ending> {
        let mut state = self.state();
        let at = state.endings.iter().position(|ending| ending.id == *id)?;
        state.endings.remove(at)
    }

    /// The next one to ask for. If there is none, the task is over.
    fn next(&self) -> Option<Ending> {
        let mut state = self.state();
        let next = state.endings.pop_front();
        if next.is_none() {
            state.task = None;
        }
        next
    }
}

impl Manager {
    /// Has the end of a session found out about later. An earlier one of the same session is kept.
    pub(super) fn doubt(self: &Arc<Self>, ending: Ending) {
        let mut state = self.in_doubt.state();
        if state.endings.iter().any(|other| other.id == ending.id) {
            return;
        }
        if state.endings.len() == MOST {
            drop(state);
            self.observers.untold(&ending.id);
            return;
        }
        state.endings.push_back(ending);
        let is_running = (state.task.as_ref()).is_some_and(|task| !task.is_finished());
        if let (false, Ok(runtime)) = (is_running, Handle::try_current()) {
            state.task = Some(runtime.spawn(run(Arc::downgrade(self))));
        }
    }
}

async fn run(manager: std::sync::Weak<Manager>) {
    let mut failures = 1;
    loop {
        if failures > 0 {
            BACKOFF.wait(failures).await;
        }
        // An application that has dropped its manager does not wait for it.
        let Some(manager) = manager.upgrade() else {
            return;
        };
        let Some(ending) = manager.in_doubt.next() else {
            return;
        };
        failures = match manager.settle(&ending).await {
            Ok(()) => 0,
            Err(error) if error.is_temporary() => {
                manager.doubt(ending);
                failures + 1
            }
            Err(error) => {
                tracing::debug!(id = ?ending.id, %error, "cannot find out whether a session has ended");
                0
            }
        };
    }
}
