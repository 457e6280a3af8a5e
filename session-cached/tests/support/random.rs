//! Random numbers that a seed repeats.

use std::time::Duration;

use session_core::Stamp;

/// SplitMix64.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) const fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    pub(crate) fn up_to(&mut self, most: Duration) -> Duration {
        Duration::from_millis(self.below(most.as_millis() as u64 + 1))
    }
}

/// `CACHED_SEED`, or a new one.
pub(crate) fn seed() -> u64 {
    match std::env::var("CACHED_SEED") {
        Ok(text) => text.parse().expect("a number"),
        Err(_) => u128::from_be_bytes(*Stamp::generate().as_bytes()) as u64,
    }
}
