//! When the circuit opens and closes: a pure function of what has happened, and when.

use std::time::Duration;

use tokio::time::Instant;

use super::CircuitBreaker;

/// The state of one circuit breaker.
#[derive(Clone, Copy, Debug)]
pub(super) struct Machine {
    settings: CircuitBreaker,
    state: State,
    /// Failures of calls that began before this say nothing new.
    answered_at: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Calls are sent; so many have failed in a row, and the first of those began at `since`.
    Closed { failures: u32, since: Instant },
    /// Calls fail at once. The last probe was sent at `probed`.
    Open { since: Instant, probed: Instant },
}

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    /// It is sent.
    Usual,
    /// It is sent to see whether the database answers.
    Probe,
    /// It is not sent.
    Rejected { silent_for: Duration },
}

impl Machine {
    pub(super) const fn new(settings: CircuitBreaker, now: Instant) -> Self {
        Self {
            settings,
            state: State::Closed {
                failures: 0,
                since: now,
            },
            answered_at: now,
        }
    }

    /// Whether no call has failed since the last answer.
    pub(super) const fn is_well(&self) -> bool {
        matches!(self.state, State::Closed { failures: 0, .. })
    }

    pub(super) const fn is_open(&self) -> bool {
        matches!(self.state, State::Open { .. })
    }

    /// For how long no answer has come, if the circuit is open.
    pub(super) fn silent_for(&self, now: Instant) -> Option<Duration> {
        match self.state {
            State::Open { since, .. } => Some(now.saturating_duration_since(since)),
            State::Closed { .. } => None,
        }
    }

    pub(super) fn admit(&mut self, now: Instant) -> Admission {
        let State::Open { since, probed } = &mut self.state else {
            return Admission::Usual;
        };
        if now.saturating_duration_since(*probed) >= self.settings.probe_interval {
            *probed = now;
            return Admission::Probe;
        }
        Admission::Rejected {
            silent_for: now.saturating_duration_since(*since),
        }
    }

    /// A call that began at `began` has failed without an answer. Whether that counts: an answer
    /// that came later than the call began shows that the failure is over.
    pub(super) fn failed(&mut self, began: Instant, now: Instant) -> bool {
        if began < self.answered_at {
            return false;
        }
        if let State::Closed { failures, since } = self.state {
            let since = if failures == 0 {
                began
            } else {
                since.min(began)
            };
            self.state = match failures + 1 {
                failures if failures < self.settings.failures => State::Closed { failures, since },
                _ => State::Open { since, probed: now },
            };
        }
        true
    }

    /// An answer has come. For how long none had, if the circuit was open.
    pub(super) fn answered(&mut self, now: Instant) -> Option<Duration> {
        let silent_for = self.silent_for(now);
        *self = Self::new(self.settings, now);
        silent_for
    }
}
