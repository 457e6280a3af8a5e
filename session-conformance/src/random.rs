//! Random numbers from a seed, which is printed if a case fails.

use std::any::Any;

use session_core::Stamp;

/// The environment variable with the seed of [`Random`].
const SEED: &str = "CONFORMANCE_SEED";

/// The environment variable with the number of rounds of the races.
const ROUNDS: &str = "CONFORMANCE_ROUNDS";

/// Random numbers: SplitMix64 (Steele, Lea and Flood, "Fast Splittable Pseudorandom Number
/// Generators", 2014). The same seed gives the same numbers.
#[derive(Clone, Debug)]
pub(super) struct Random(u64);

impl Random {
    /// The increment of SplitMix64.
    const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

    /// The numbers of this seed.
    pub(super) const fn of(seed: u64) -> Self {
        Self(seed)
    }

    /// The numbers for one concurrent part of the case, which do not depend on how many numbers
    /// other parts have drawn.
    pub(super) fn part(&self, n: usize) -> Self {
        Self(mixed(self.0 ^ mixed(n as u64 + 1)))
    }

    /// True half of the time.
    pub(super) fn coin(&mut self) -> bool {
        self.below(2) == 0
    }

    /// One of these.
    pub(super) fn one_of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len() as u64) as usize]
    }

    /// The next number below `limit`.
    pub(super) fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(Self::STEP);
        mixed(self.0) % limit
    }
}

const fn mixed(mut bits: u64) -> u64 {
    bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ bits >> 31
}

/// The seed from the environment, or a random one.
pub(super) fn seed() -> u64 {
    from_environment(SEED).unwrap_or_else(random_seed)
}

/// How to repeat a case with this seed.
///
/// The seed determines the operations and their order, but not how threads are scheduled.
pub(super) fn how_to_repeat(seed: u64) -> String {
    format!("{SEED}={seed} repeats these operations")
}

/// How many rounds to run: `usual`, unless the environment says otherwise.
pub(super) fn rounds(usual: usize) -> usize {
    from_environment(ROUNDS).map_or(usual, |rounds| usize::try_from(rounds).unwrap_or(usual))
}

/// The text of a panic.
pub(super) fn panic_text(panic: &(dyn Any + Send)) -> String {
    panic
        .downcast_ref::<String>()
        .cloned()
        .or_else(|| panic.downcast_ref::<&str>().map(|&text| text.to_owned()))
        .unwrap_or_else(|| "a panic without a text".to_owned())
}

fn from_environment(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    let number = text.parse();
    Some(number.unwrap_or_else(|_| panic!("{name} must be a whole number, is {text:?}")))
}

fn random_seed() -> u64 {
    let [bytes @ .., _, _, _, _, _, _, _, _] = *Stamp::generate().as_bytes();
    u64::from_le_bytes(bytes)
}
