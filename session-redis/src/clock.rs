//! The server's clock, from the last answer to `TIME`.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a reading is used.
const MAX_AGE: Duration = Duration::from_secs(1);
/// The most that a reading may be ahead of the server. A reading counts from its request, so a
/// session never seems to have more time than it has. Times are in milliseconds, so a larger lead
/// would show.
pub(crate) const MAX_LEAD: Duration = Duration::from_millis(1);

/// The last reading. Without it, each load would send `TIME` too and the server would do a fifth
/// fewer.
#[derive(Debug, Default)]
pub(crate) struct Clock(Mutex<Option<Reading>>);

/// The server's Unix time at a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reading {
    time: Duration,
    requested: Instant,
}

impl Clock {
    /// The last reading, unless it is too old.
    pub(crate) fn reading(&self) -> Option<Reading> {
        let last = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        last.filter(|reading| reading.requested.elapsed() < MAX_AGE)
    }

    /// Keeps a reading, unless the answer took so long that the reading would be too far ahead.
    pub(crate) fn set(&self, reading: Reading) {
        if reading.requested.elapsed() <= MAX_LEAD {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(reading);
        }
    }
}

impl Reading {
    /// From the answer to `TIME`, which was sent at `requested`.
    pub(crate) fn new((seconds, micros): (u64, u64), requested: Instant) -> Self {
        let time = Duration::from_secs(seconds) + Duration::from_micros(micros);
        Self { time, requested }
    }

    /// The time in the answer, in milliseconds.
    pub(crate) fn reported(self) -> u64 {
        millis(self.time)
    }

    /// The server's time now, in milliseconds.
    pub(crate) fn now(self) -> u64 {
        millis(self.time.saturating_add(self.requested.elapsed()))
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ago(micros: u64) -> Instant {
        Instant::now()
            .checked_sub(Duration::from_micros(micros))
            .expect("the machine has run for longer")
    }

    #[test]
    fn a_reading_advances_and_is_used_for_a_second() {
        let clock = Clock::default();
        assert!(clock.reading().is_none());
        let reading = loop {
            // If the thread is interrupted here, the reading is too old to be kept.
            clock.set(Reading::new((5, 999_900), ago(200)));
            if let Some(reading) = clock.reading() {
                break reading;
            }
        };
        assert_eq!(reading.reported(), 5_999);
        assert!((6_000..6_500).contains(&reading.now()));
        let old = Clock(Mutex::new(Some(Reading::new((5, 0), ago(1_000_000)))));
        assert!(old.reading().is_none());
    }

    #[test]
    fn a_reading_whose_answer_was_slow_is_not_kept() {
        let clock = Clock::default();
        clock.set(Reading::new((5, 0), ago(1_001)));
        assert!(clock.reading().is_none());
    }
}
