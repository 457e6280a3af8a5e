//! The mark that names one exact write.

use std::cell::RefCell;
use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::contract::token::fill_random;

/// 128 bits that name one exact write of a record.
///
/// A save says which stamp it read; the store swaps only if that is still the one there. The
/// writer chooses the new stamp before sending it (see [`Draft`](crate::Draft)), so a write that
/// is repeated after a broken connection can be told from another writer's.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Stamp([u8; 16]);

impl Stamp {
    /// A new stamp, which no other write has.
    ///
    /// # Panics
    /// If the operating system's random generator fails.
    #[must_use]
    pub fn generate() -> Self {
        SUPPLY.with_borrow_mut(Supply::next)
    }

    /// The stamp stored as these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The bytes to store.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// The part of it that a trail keeps: the last four bytes, which vary the most.
    pub(crate) const fn mark(&self) -> [u8; 4] {
        let [.., a, b, c, d] = self.0;
        [a, b, c, d]
    }
}

thread_local! {
    static SUPPLY: RefCell<Supply> = const { RefCell::new(Supply::EMPTY) };
}

/// A thread's stamps: a sequence that comes back to none of its numbers, from a start that the
/// operating system draws. To ask that for each would take longer than the rest of a save in
/// memory; stamps have to be unique and are no secret. Tokens never come from here.
struct Supply {
    last: u128,
    /// Odd; 0 before the first stamp.
    step: u128,
}

impl Supply {
    const EMPTY: Self = Self { last: 0, step: 0 };

    /// Of a linear congruential generator whose period is 2^128 with any odd step (Hull and
    /// Dobell), as PCG uses it.
    const FACTOR: u128 = 0x2360_ed05_1fc6_5da4_4385_df64_9fcc_f645;

    fn next(&mut self) -> Stamp {
        if self.step == 0 {
            *self = Self {
                last: random(),
                step: random() | 1,
            };
        }
        self.last = self.last.wrapping_mul(Self::FACTOR).wrapping_add(self.step);
        Stamp((self.last ^ nanoseconds()).to_le_bytes())
    }
}

fn random() -> u128 {
    let mut bytes = [0; 16];
    fill_random(&mut bytes);
    u128::from_ne_bytes(bytes)
}

/// What tells stamps of a forked process, which goes on with the same numbers, from its parent's.
/// It changes only the lower half.
fn nanoseconds() -> u128 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.unwrap_or_default().as_nanos()
}

impl fmt::Debug for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Stamp({:032x})", u128::from_be_bytes(self.0))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::time::Duration;

    use super::*;

    #[test]
    fn stamps_are_never_the_same() {
        let threads: Vec<_> = (0..4)
            .map(|_| {
                std::thread::spawn(|| (0..1_000).map(|_| Stamp::generate()).collect::<Vec<_>>())
            })
            .collect();
        let stamps: HashSet<Stamp> = threads
            .into_iter()
            .flat_map(|thread| thread.join().expect("no panic"))
            .collect();
        assert_eq!(stamps.len(), 4_000);
    }

    #[test]
    fn a_forked_process_gives_out_other_stamps() {
        let mut parent = Supply::EMPTY;
        parent.next();
        let mut child = Supply { ..parent };
        let stamp = parent.next();
        std::thread::sleep(Duration::from_millis(1));
        assert_ne!(stamp, child.next());
        assert_eq!(parent.last, child.last, "as they went on alike");
    }
}
