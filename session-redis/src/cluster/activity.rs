//! Since when a connection is silent.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Since when a connection owes an answer.
#[derive(Debug, Default)]
pub(super) struct Activity(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    in_flight: usize,
    /// The last answer, or the first call that has had none; `None` if no answer is owed. A call
    /// that was given up counts until a call begins when no other is in flight.
    silent_since: Option<Instant>,
}

/// A call over the connection.
pub(super) struct InFlight<'a>(&'a Activity);

impl Activity {
    pub(super) fn begin(&self) -> InFlight<'_> {
        self.change(|state| {
            if state.in_flight == 0 {
                // The answer to an earlier call that was given up may have come meanwhile.
                state.silent_since = None;
            }
            state.in_flight += 1;
            state.silent_since.get_or_insert_with(Instant::now);
        });
        InFlight(self)
    }

    /// For how long answers have been owed while none has come.
    pub(super) fn silence(&self) -> Duration {
        let since = self.change(|state| state.silent_since);
        since.map_or(Duration::ZERO, |since| since.elapsed())
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl InFlight<'_> {
    /// An answer has come.
    pub(super) fn answered(self) {
        self.0.change(|state| {
            state.silent_since = (state.in_flight > 1).then(Instant::now);
        });
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.change(|state| state.in_flight -= 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHILE: Duration = Duration::from_millis(5);

    #[test]
    fn a_connection_is_silent_until_an_answer_comes() {
        let activity = Activity::default();
        assert_eq!(activity.silence(), Duration::ZERO);
        let (first, second) = (activity.begin(), activity.begin());
        std::thread::sleep(WHILE);
        assert!(activity.silence() >= WHILE);
        first.answered();
        assert!(activity.silence() < WHILE, "the other is owed its own");
        std::thread::sleep(WHILE);
        drop(second);
        assert!(activity.silence() >= WHILE, "given up, not answered");
        activity.begin().answered();
        assert_eq!(activity.silence(), Duration::ZERO);
    }

    #[test]
    fn a_call_that_was_given_up_does_not_count_against_the_next_one() {
        let activity = Activity::default();
        drop(activity.begin());
        std::thread::sleep(WHILE);
        let begun = Instant::now();
        let _next = activity.begin();
        assert!(activity.silence() <= begun.elapsed());
    }
}
