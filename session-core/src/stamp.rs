//! The mark that names one exact write.

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
        let mut bytes = [0; 16];
        fill_random(&mut bytes);
        Self(bytes)
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

impl fmt::Debug for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Stamp({:032x})", u128::from_be_bytes(self.0))
    }
}
