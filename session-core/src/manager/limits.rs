//! What a session may be at most; checked before any I/O.

use std::time::Duration;

use crate::{Error, Lifetime, Owner, Result};

/// What a session may be at most, besides the size of its data, which is the store's
/// ([`Capabilities::max_data`](crate::Capabilities::max_data)). Checked before any I/O.
///
/// ```
/// # fn main() -> session_core::Result<()> {
/// use std::time::Duration;
/// use session_core::{ErrorKind, Lifetime, Limits, Sessions};
///
/// const DAY: Duration = Duration::from_secs(24 * 60 * 60);
///
/// let store = session_memory::MemoryStore::new();
/// let limits = Limits::default().with_lifetime(30 * DAY).with_key_bytes(64);
/// let sessions = Sessions::builder(store).limits(limits).build()?;
///
/// let session = sessions.start();
/// let error = session.set_lifetime(Lifetime::idle(90 * DAY)).expect_err("over 30 days");
/// assert_eq!(error.kind(), ErrorKind::InvalidLifetime);
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Bytes of one session key. Default 1,024.
    pub key_bytes: usize,
    /// Bytes of an owner. Default 1,024, which is also the most.
    pub owner_bytes: usize,
    /// The longest finite idle or absolute limit. Default 400 days ([`Lifetime::MAX`]).
    pub lifetime: Duration,
}

impl Limits {
    /// The same, with session keys of at most so many bytes.
    #[must_use]
    pub const fn with_key_bytes(mut self, bytes: usize) -> Self {
        self.key_bytes = bytes;
        self
    }

    /// The same, with owners of at most so many bytes.
    #[must_use]
    pub const fn with_owner_bytes(mut self, bytes: usize) -> Self {
        self.owner_bytes = bytes;
        self
    }

    /// The same, with lifetimes of at most `longest`.
    #[must_use]
    pub const fn with_lifetime(mut self, longest: Duration) -> Self {
        self.lifetime = longest;
        self
    }

    pub(crate) fn check_key(&self, key: &str) -> Result<()> {
        Error::check_size("session key", key.len(), self.key_bytes)
    }

    pub(crate) fn check_owner(&self, owner: &Owner) -> Result<()> {
        Error::check_size("owner", owner.as_str().len(), self.owner_bytes)
    }

    pub(crate) fn check_lifetime(&self, lifetime: &Lifetime) -> Result<()> {
        lifetime.check(self.lifetime)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            key_bytes: 1024,
            owner_bytes: Owner::MAX_BYTES,
            lifetime: Lifetime::MAX,
        }
    }
}
