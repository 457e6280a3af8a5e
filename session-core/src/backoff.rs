//! Waiting before another attempt.

use std::time::Duration;

use crate::contract::token::fill_random;

/// Exponential backoff with full jitter: before attempt `n` (from 0) waits a random time between
/// nothing and `base` doubled `n` times, at most `cap`.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    base: Duration,
    cap: Duration,
}

impl Backoff {
    /// A backoff that starts at `base` and never waits longer than `cap`.
    #[must_use]
    pub const fn new(base: Duration, cap: Duration) -> Self {
        Self { base, cap }
    }

    /// A random delay before attempt `attempt`.
    #[must_use]
    pub fn delay(&self, attempt: u32) -> Duration {
        let factor = 1_u32.checked_shl(attempt).unwrap_or(u32::MAX);
        let most = self.base.saturating_mul(factor).min(self.cap);
        random_up_to(most)
    }

    /// Sleeps for [`delay`](Self::delay).
    pub async fn wait(&self, attempt: u32) {
        tokio::time::sleep(self.delay(attempt)).await;
    }
}

/// A random duration from nothing to `most`.
pub(crate) fn random_up_to(most: Duration) -> Duration {
    let mut bytes = [0; 4];
    fill_random(&mut bytes);
    most.mul_f64(f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_to_the_cap_and_vary() {
        let backoff = Backoff::new(Duration::from_millis(1), Duration::from_millis(50));
        let longest = |attempt| (0..200).map(|_| backoff.delay(attempt)).max();
        assert!(longest(0) <= Some(Duration::from_millis(1)));
        assert!(longest(3) > Some(Duration::from_millis(1)));
        assert!(longest(31) <= Some(Duration::from_millis(50)));
        assert!(longest(4_000) <= Some(Duration::from_millis(50)));
        assert_ne!(backoff.delay(9), backoff.delay(9));
    }
}
