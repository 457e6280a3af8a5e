//! A token bucket: a pure function of what was taken, and when.

use std::time::{Duration, Instant};

/// So many loads of unknown ids may be under way, or have found nothing of late.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bucket {
    per_second: f64,
    burst: f64,
    left: f64,
    /// When `left` was right.
    at: Instant,
}

impl Bucket {
    /// A full one, which `burst` tokens fill and `per_second` come back to.
    pub(crate) fn new(per_second: u32, burst: u32, now: Instant) -> Self {
        let burst = f64::from(burst);
        Self {
            per_second: f64::from(per_second),
            burst,
            left: burst,
            at: now,
        }
    }

    /// Takes one.
    ///
    /// # Errors
    /// After how long there is one.
    pub(crate) fn take(&mut self, now: Instant) -> Result<(), Duration> {
        self.refill(now);
        if self.left < 1.0 {
            return Err(Duration::from_secs_f64((1.0 - self.left) / self.per_second));
        }
        self.left -= 1.0;
        Ok(())
    }

    /// Takes one that may not be there: what is owed is made up for first, up to a whole bucket.
    pub(crate) fn owe(&mut self, now: Instant) {
        self.refill(now);
        self.left = (self.left - 1.0).max(-self.burst);
    }

    /// Puts one back.
    pub(crate) fn give_back(&mut self) {
        self.left = (self.left + 1.0).min(self.burst);
    }

    fn refill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.left = (self.left + passed * self.per_second).min(self.burst);
        self.at = self.at.max(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_burst_goes_and_then_so_many_a_second() {
        let mut now = Instant::now();
        let mut bucket = Bucket::new(10, 3, now);
        assert_eq!([0; 3].map(|_| bucket.take(now)), [Ok(()); 3]);
        assert_eq!(bucket.take(now), Err(SECOND / 10));
        for _ in 0..20 {
            now += SECOND / 10;
            assert_eq!(bucket.take(now), Ok(()));
            assert!(bucket.take(now).is_err());
        }
        now += SECOND * 3_600;
        assert_eq!([0; 3].map(|_| bucket.take(now)), [Ok(()); 3]);
        assert!(bucket.take(now).is_err(), "an hour fills no more than it");
    }

    #[test]
    fn what_is_given_back_can_be_taken_and_what_is_owed_comes_first() {
        let now = Instant::now();
        let mut bucket = Bucket::new(1, 1, now);
        assert_eq!(bucket.take(now), Ok(()));
        bucket.give_back();
        bucket.give_back();
        assert_eq!(bucket.take(now), Ok(()));
        assert!(bucket.take(now).is_err());
        (0..5).for_each(|_| bucket.owe(now));
        assert_eq!(bucket.take(now), Err(SECOND * 2));
        assert_eq!(bucket.take(now + SECOND * 2), Ok(()));
    }

    #[test]
    fn a_clock_that_stands_still_gives_nothing() {
        let now = Instant::now();
        let mut bucket = Bucket::new(1_000, 1, now + SECOND);
        assert_eq!(bucket.take(now + SECOND), Ok(()));
        assert!(bucket.take(now).is_err());
        assert!(bucket.take(now + SECOND).is_err());
    }
}
