//! The server's clock, as it was told a moment ago.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a reading is gone by.
const FRESH: Duration = Duration::from_secs(1);
/// By how much a reading may be ahead of the server: it counts from when it was asked for, so that no
/// session is said to have more time than it has. Times are told in milliseconds, so more would show.
pub(crate) const AHEAD: Duration = Duration::from_millis(1);

/// Asking for the time with every load costs the server a second command, a fifth of its loads.
#[derive(Debug, Default)]
pub(crate) struct Clock(Mutex<Option<Reading>>);

/// The server's time at some moment, since 1970.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reading {
    time: Duration,
    asked: Instant,
}

impl Clock {
    /// The last reading, if it is from just now.
    pub(crate) fn reading(&self) -> Option<Reading> {
        let last = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        last.filter(|reading| reading.asked.elapsed() < FRESH)
    }

    /// Keeps a reading, unless the answer took so long that it says too little.
    pub(crate) fn set(&self, reading: Reading) {
        if reading.asked.elapsed() <= AHEAD {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(reading);
        }
    }
}

impl Reading {
    /// Of an answer of `TIME` that was asked for then.
    pub(crate) fn new((seconds, micros): (u64, u64), asked: Instant) -> Self {
        let time = Duration::from_secs(seconds) + Duration::from_micros(micros);
        Self { time, asked }
    }

    /// The time as it was told, in milliseconds.
    pub(crate) fn told(self) -> u64 {
        millis(self.time)
    }

    /// The time that it is by now, in milliseconds.
    pub(crate) fn now(self) -> u64 {
        millis(self.time.saturating_add(self.asked.elapsed()))
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
    fn a_reading_goes_on_and_is_gone_by_for_a_second() {
        let clock = Clock::default();
        assert!(clock.reading().is_none());
        let reading = loop {
            // Who is interrupted here has asked too long ago.
            clock.set(Reading::new((5, 999_900), ago(200)));
            if let Some(reading) = clock.reading() {
                break reading;
            }
        };
        assert_eq!(reading.told(), 5_999);
        assert!((6_000..6_500).contains(&reading.now()));
        let old = Clock(Mutex::new(Some(Reading::new((5, 0), ago(1_000_000)))));
        assert!(old.reading().is_none());
    }

    #[test]
    fn a_reading_that_took_long_is_not_kept() {
        let clock = Clock::default();
        clock.set(Reading::new((5, 0), ago(1_001)));
        assert!(clock.reading().is_none());
    }
}
