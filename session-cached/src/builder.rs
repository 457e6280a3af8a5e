//! The builder of a store.

use std::sync::Arc;
use std::time::Duration;

use session_core::{Error, Result, SessionStore};

use crate::CachedStore;
use crate::copies::Copies;

const MAX_LEASE: Duration = Duration::from_secs(60 * 60);

/// Sets up a [`CachedStore`].
#[derive(Clone, Debug)]
#[must_use]
pub struct CachedStoreBuilder<S> {
    store: S,
    lease: Duration,
    max_bytes: usize,
}

impl<S: SessionStore> CachedStoreBuilder<S> {
    pub(crate) const fn new(store: S) -> Self {
        Self {
            store,
            lease: Duration::from_secs(1),
            max_bytes: 64 * 1024 * 1024,
        }
    }

    /// Sets how long a copy is served, counted from before its load was sent; default 1 s, at most
    /// 1 h. Zero keeps no copies.
    ///
    /// It is how long a session that another process has ended may stay open here, whatever happens
    /// to the connection that tells of it.
    pub fn lease(mut self, lease: Duration) -> Self {
        self.lease = lease;
        self
    }

    /// Sets how much memory the copies may take, in bytes; default 64 MiB. Copies that were served
    /// since they were last considered are kept longest. A session that takes more than a 64th of
    /// it, and more than 1 MiB, is not kept.
    ///
    /// A copy counts as its data and about 500 bytes. Data that is a part of a larger allocation of
    /// the store's counts as itself.
    pub fn max_bytes(mut self, bytes: usize) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// Makes the store.
    ///
    /// # Errors
    /// [`ErrorKind::Misconfigured`](session_core::ErrorKind::Misconfigured) for a lease of over 1 h
    /// and for no memory.
    pub fn build(self) -> Result<CachedStore<S>> {
        if self.lease > MAX_LEASE {
            return Err(Error::misconfigured("lease must be at most an hour"));
        }
        if self.max_bytes == 0 {
            return Err(Error::misconfigured(
                "max_bytes must be over zero; a lease of zero keeps no copies",
            ));
        }
        let copies = Copies::new(self.lease, self.max_bytes);
        Ok(CachedStore::of(Arc::new(self.store), Arc::new(copies)))
    }
}
