//! The server's clock, from the answers to `TIME`. It belongs to one connection and ends with it.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long a reading is used.
const MAX_AGE: Duration = Duration::from_secs(1);
/// The most that a load's time may be ahead of the server. It counts from the request, so a session
/// never seems to have more time than it has. Times are in milliseconds, so a larger lead would
/// show.
pub(crate) const MAX_LEAD: Duration = Duration::from_micros(750);
/// The uncertainty that a write accepts on any link; a slower link has more, see
/// [`Clock::for_write`]. With [`MAX_LEAD`] and the rounding to whole milliseconds, a session seems to
/// end at most 2 ms early.
const FINE: Duration = Duration::from_micros(250);
/// How many readings tell what a link allows: the first one may have waited for a processor.
const FIRST_READINGS: u32 = 3;

/// The best recent reading. Without it, each load would send `TIME` too and the server would do a
/// fifth fewer.
#[derive(Debug, Default)]
pub(crate) struct Clock(Mutex<Known>);

#[derive(Clone, Copy, Debug, Default)]
struct Known {
    last: Option<Reading>,
    /// The least uncertainty of all readings: what this link allows.
    least: Option<Duration>,
    count: u32,
}

impl Known {
    fn young(&self) -> Option<Reading> {
        self.last
            .filter(|reading| reading.requested.elapsed() < MAX_AGE)
    }
}

/// The server's Unix time at a moment between a request and its answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reading {
    time: Duration,
    requested: Instant,
    answered: Instant,
}

impl Clock {
    /// A reading for a load: one that is ahead by at most [`MAX_LEAD`].
    pub(crate) fn reading(&self) -> Option<Reading> {
        let last = self.known().young();
        last.filter(|reading| reading.uncertainty() <= MAX_LEAD)
    }

    /// A reading for a write that sets a limit of `limit`. A deadline is early by the uncertainty,
    /// so that must be fine, or at most twice what the link allows and a thousandth of the limit.
    pub(crate) fn for_write(&self, limit: Option<Duration>) -> Option<Reading> {
        let known = *self.known();
        let (last, least) = (known.young()?, known.least?);
        let usual = match (known.count, limit) {
            (..FIRST_READINGS, _) => FINE,
            (_, Some(limit)) => (limit / 1_000).min(2 * least),
            (_, None) => 2 * least,
        };
        (last.uncertainty() <= usual.max(FINE)).then_some(last)
    }

    /// Whether there were enough readings to tell what the link allows.
    pub(crate) fn knows_link(&self) -> bool {
        self.known().count >= FIRST_READINGS
    }

    /// Whether a write should send `TIME` too, so that later ones need not wait for it.
    pub(crate) fn is_due(&self) -> bool {
        let last = self.known().last;
        last.is_none_or(|reading| reading.requested.elapsed() >= MAX_AGE / 2)
    }

    /// Keeps a reading, unless the last one is better and not old.
    pub(crate) fn set(&self, reading: Reading) {
        let mut known = self.known();
        let uncertainty = reading.uncertainty();
        let is_better = known.last.is_none_or(|last| {
            uncertainty <= last.uncertainty() || last.requested.elapsed() >= MAX_AGE / 2
        });
        if is_better {
            known.last = Some(reading);
        }
        known.count = known.count.saturating_add(1);
        known.least = Some(
            known
                .least
                .map_or(uncertainty, |least| least.min(uncertainty)),
        );
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reading {
    /// From the answer to `TIME`, which was sent at `requested` and has just come.
    pub(crate) fn new((seconds, micros): (u64, u64), requested: Instant) -> Self {
        let time = Duration::from_secs(seconds) + Duration::from_micros(micros);
        Self {
            time,
            requested,
            answered: Instant::now(),
        }
    }

    /// The time in the answer, in milliseconds.
    pub(crate) fn reported(self) -> u64 {
        millis(self.time)
    }

    /// The latest that the server's time may be now, in milliseconds.
    pub(crate) fn latest(self) -> u64 {
        millis(self.time.saturating_add(self.requested.elapsed()))
    }

    /// The earliest that the server's time may be now, in milliseconds.
    pub(crate) fn earliest(self) -> u64 {
        self.earliest_at(Instant::now())
    }

    /// The earliest that the server's time may have been at `moment`, in milliseconds.
    pub(crate) fn earliest_at(self, moment: Instant) -> u64 {
        let since = moment.saturating_duration_since(self.answered);
        let before = self.answered.saturating_duration_since(moment);
        millis(self.time.saturating_add(since).saturating_sub(before))
    }

    /// How far the latest is from the earliest.
    fn uncertainty(self) -> Duration {
        self.answered.saturating_duration_since(self.requested)
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLI: Duration = Duration::from_millis(1);

    fn ago(micros: u64) -> Instant {
        Instant::now()
            .checked_sub(Duration::from_micros(micros))
            .expect("the machine has run for longer")
    }

    /// A reading of 5.9999 s, whose request and answer were so many microseconds ago.
    fn reading(requested: u64, answered: u64) -> Reading {
        let took = Duration::from_micros(requested - answered);
        let requested = ago(requested);
        Reading {
            time: Duration::from_micros(5_999_900),
            requested,
            answered: requested + took,
        }
    }

    #[test]
    fn a_reading_has_an_earliest_and_a_latest_time() {
        let reading = reading(3_200, 200);
        assert_eq!(reading.reported(), 5_999);
        assert!((6_000..6_500).contains(&reading.earliest()), "{reading:?}");
        assert!((6_003..6_500).contains(&reading.latest()), "{reading:?}");
        assert_eq!(reading.earliest_at(reading.answered), 5_999);
        assert_eq!(reading.earliest_at(reading.answered + MILLI), 6_000);
        let before = reading.answered.checked_sub(MILLI);
        assert_eq!(before.map(|at| reading.earliest_at(at)), Some(5_998));
    }

    #[test]
    fn a_reading_is_used_for_a_second_and_renewed_after_half_of_it() {
        let clock = Clock::default();
        assert!(clock.reading().is_none() && clock.for_write(None).is_none() && clock.is_due());
        clock.set(reading(400_100, 400_000));
        assert!(clock.reading().is_some() && clock.for_write(None).is_some() && !clock.is_due());
        let clock = Clock::default();
        clock.set(reading(600_100, 600_000));
        assert!(clock.reading().is_some() && clock.is_due());
        let clock = Clock::default();
        clock.set(reading(1_000_100, 1_000_000));
        assert!(clock.reading().is_none() && clock.for_write(None).is_none());
    }

    #[test]
    fn the_most_certain_reading_is_kept_until_it_is_old() {
        let clock = Clock::default();
        clock.set(reading(100_300, 100_000));
        clock.set(reading(1_800, 1_100));
        let kept = clock.reading().map(Reading::uncertainty);
        assert_eq!(kept, Some(Duration::from_micros(300)));
        let clock = Clock::default();
        clock.set(reading(600_300, 600_000));
        clock.set(reading(1_800, 1_100));
        let kept = clock.reading().map(Reading::uncertainty);
        assert_eq!(kept, Some(Duration::from_micros(700)));
    }

    #[test]
    fn a_reading_whose_answer_was_slow_is_for_long_limits_on_slow_links_only() {
        let clock = Clock::default();
        for _ in 0..FIRST_READINGS {
            assert!(
                clock.for_write(None).is_none(),
                "the next one may be better"
            );
            clock.set(reading(20_000, 0));
        }
        assert!(clock.reading().is_none(), "a load asks anew");
        assert!(clock.for_write(Some(1_000 * 60 * MILLI)).is_some());
        assert!(clock.for_write(None).is_some());
        assert!(clock.for_write(Some(1_000 * MILLI)).is_none());
        let clock = Clock::default();
        clock.set(reading(600_200, 600_000));
        clock.set(reading(20_000, 0));
        assert!(clock.for_write(None).is_none(), "the link is quicker");
    }
}
