//! The mark that names one exact write.

use std::cell::RefCell;
use std::fmt;

use crate::token::fill_random;

/// 128 random bits that name one exact write of a record.
///
/// A save says which stamp it read; the store swaps only if that is still the one there. The
/// writer chooses the new stamp before sending it (see [`Draft`](crate::Draft)), so a write that
/// is repeated after a broken connection can be told from somebody else's.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Stamp([u8; 16]);

impl Stamp {
    /// A new random stamp.
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
}

thread_local! {
    static SUPPLY: RefCell<Supply> = const { RefCell::new(Supply::EMPTY) };
}

/// Random bits in stock: a call of the operating system takes longer than the rest of a save in
/// memory. Stamps have to be unique and are no secret, so they may lie here; tokens never do.
struct Supply {
    bytes: [u8; 512],
    used: usize,
    /// The process they are for: a forked one must not give out the same.
    process: u32,
}

impl Supply {
    const EMPTY: Self = Self {
        bytes: [0; 512],
        used: 512,
        process: 0,
    };

    fn next(&mut self) -> Stamp {
        let process = std::process::id();
        if self.used + 16 > self.bytes.len() || self.process != process {
            fill_random(&mut self.bytes);
            self.used = 0;
            self.process = process;
        }
        let mut stamp = [0; 16];
        stamp.copy_from_slice(&self.bytes[self.used..self.used + 16]);
        self.used += 16;
        Stamp(stamp)
    }
}

impl fmt::Debug for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Stamp({:032x})", u128::from_be_bytes(self.0))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

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
    fn another_process_has_a_supply_of_its_own() {
        let mut supply = Supply::EMPTY;
        supply.next();
        let (bytes, used) = (supply.bytes, supply.used);
        supply.process = supply.process.wrapping_add(1);
        let stamp = supply.next();
        assert_ne!(stamp.as_bytes()[..], bytes[used..used + 16]);
    }
}
