//! What the log is told.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Warns at most once a minute that loads are refused, and says how many were.
#[derive(Debug, Default)]
pub(crate) struct Warning(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    told: Option<Instant>,
    suppressed: u64,
}

impl Warning {
    const PAUSE: Duration = Duration::from_secs(60);

    #[cold]
    pub(crate) fn refused(&self, now: Instant) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_recent = |told: Instant| now.saturating_duration_since(told) < Self::PAUSE;
        if state.told.is_some_and(is_recent) {
            state.suppressed += 1;
            return;
        }
        state.told = Some(now);
        let suppressed = std::mem::take(&mut state.suppressed);
        drop(state);
        tracing::warn!(
            suppressed,
            "sessions that are not there are asked for too often: loads of sessions that this \
             process has not seen are refused"
        );
    }
}
