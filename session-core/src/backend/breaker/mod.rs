//! Fails calls at once while the database does not answer.
//!
//! [`machine`] decides, as a pure function of what has happened and when. Here it is shared by the
//! calls of a store, one for each of the backend's queues.

mod machine;
#[cfg(test)]
mod tests;
mod trouble;

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::Operation;
use super::counters::Counters;
use crate::error::Chain;
use crate::{Error, Result};
use machine::{Admission, Machine};
pub(super) use trouble::Trouble;

/// When calls fail at once because the database does not answer, and how often one is sent all the
/// same to see whether it does again: a circuit breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CircuitBreaker {
    /// After so many failures in a row the circuit opens: calls fail at once. Only failures count by
    /// which no answer came ([`Failure::unreachable`](super::Failure::unreachable), silence, and
    /// time-outs), and any answer ends the row. Default 5.
    pub failures: u32,
    /// While the circuit is open, one call is sent in each of these intervals, a probe. The first
    /// that is answered closes it. Default 100 ms.
    pub probe_interval: Duration,
}

impl CircuitBreaker {
    /// 5 failures in a row, and a probe each 100 ms.
    pub const DEFAULT: Self = Self::new(5, Duration::from_millis(100));

    /// Opens after `failures` failures in a row, and sends a probe in each `probe_interval`.
    #[must_use]
    pub const fn new(failures: u32, probe_interval: Duration) -> Self {
        Self {
            failures,
            probe_interval,
        }
    }
}

impl Default for CircuitBreaker {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// The circuit breaker of the calls of one queue.
pub(super) struct Breaker {
    is_open: AtomicBool,
    state: Mutex<State>,
    shared: Arc<Shared>,
}

/// What the breakers of one store share.
pub(super) struct Shared {
    pub(super) place: Arc<str>,
    pub(super) counters: Arc<Counters>,
    pub(super) trouble: Arc<Trouble>,
}

struct State {
    machine: Machine,
    /// The last failure.
    cause: Option<Error>,
}

/// How a call goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Passage {
    /// As ever.
    Usual,
    /// By itself, to see whether the database answers.
    Probe,
}

impl Breaker {
    pub(super) fn new(settings: CircuitBreaker, shared: Arc<Shared>) -> Self {
        Self {
            is_open: AtomicBool::new(false),
            state: Mutex::new(State {
                machine: Machine::new(settings, Instant::now()),
                cause: None,
            }),
            shared,
        }
    }

    /// Lets a call through, or not.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable), with the cause, while the circuit
    /// is open.
    #[inline]
    pub(super) fn admit(&self, operation: Operation) -> Result<Passage> {
        match self.is_open() {
            false => Ok(Passage::Usual),
            true => self.admit_through_open(operation),
        }
    }

    #[inline]
    pub(super) fn is_open(&self) -> bool {
        self.is_open.load(Relaxed)
    }

    #[cold]
    fn admit_through_open(&self, operation: Operation) -> Result<Passage> {
        let mut state = self.state();
        match state.machine.admit(Instant::now()) {
            Admission::Usual => Ok(Passage::Usual),
            Admission::Probe => Ok(Passage::Probe),
            Admission::Rejected { silent_for } => {
                self.shared.counters.rejected(1);
                Err(self.rejection(operation, state.cause.as_ref(), silent_for))
            }
        }
    }

    /// What calls of `operation` fail with that were not sent when the circuit opened; `None` if it
    /// is closed.
    pub(super) fn rejection_of_queued(&self, operation: Operation) -> Option<Error> {
        let state = self.state();
        let silent_for = state.machine.silent_for(Instant::now())?;
        Some(self.rejection(operation, state.cause.as_ref(), silent_for))
    }

    /// A call that began at `began` has failed so, without an answer.
    pub(super) fn failed(&self, began: Instant, error: &Error) {
        let now = Instant::now();
        let mut state = self.state();
        let (was_well, was_open) = (state.machine.is_well(), state.machine.is_open());
        if !state.machine.failed(began, now) {
            return;
        }
        state.cause = Some(error.clone());
        if was_well {
            self.shared.trouble.begins();
        }
        if was_open || !state.machine.is_open() {
            return;
        }
        self.is_open.store(true, Relaxed);
        self.shared.counters.opened();
        tracing::warn!(
            place = &*self.shared.place,
            cause = %Cause(error),
            "the database does not answer: calls fail at once until it does"
        );
    }

    /// An answer has come. To be called only while there is [`Trouble`].
    #[cold]
    pub(super) fn answered(&self) {
        let now = Instant::now();
        let mut state = self.state();
        if state.machine.is_well() {
            return;
        }
        let silent_for = state.machine.answered(now);
        state.cause = None;
        self.shared.trouble.ends();
        if let Some(silent_for) = silent_for {
            self.is_open.store(false, Relaxed);
            self.shared.counters.closed();
            tracing::info!(
                place = &*self.shared.place,
                after = ?silent_for,
                "the database answers again"
            );
        }
    }

    fn rejection(
        &self,
        operation: Operation,
        cause: Option<&Error>,
        silent_for: Duration,
    ) -> Error {
        let place = &self.shared.place;
        let cause = cause.map_or_else(String::new, |cause| Cause(cause).to_string());
        let named = match cause.contains(&**place) {
            true => String::new(),
            false => format!("{place}: "),
        };
        let silent_for = Duration::from_millis(silent_for.as_millis() as u64);
        let why =
            format!("{named}{cause}; not sent, because no answer has come for {silent_for:?}");
        Error::not_sent(operation.as_str(), why)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Breaker {
    fn drop(&mut self) {
        if self.is_open() {
            self.shared.counters.closed();
        }
    }
}

/// Shows why a call failed, without what it was to do.
struct Cause<'a>(&'a Error);

impl std::fmt::Display for Cause<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match std::error::Error::source(self.0) {
            Some(source) => Chain(source).fmt(f),
            None => self.0.fmt(f),
        }
    }
}
