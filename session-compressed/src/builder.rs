//! The builder of a store.

use session_core::{Error, Result, SessionStore};

use crate::CompressedStore;
use crate::codec::Codec;

/// The most bytes of a session where the inner store has no limit.
const MAX_DATA: usize = 16 * 1024 * 1024;

/// Sets up a [`CompressedStore`].
#[derive(Clone, Debug)]
#[must_use]
pub struct CompressedStoreBuilder<S> {
    store: S,
    threshold: usize,
    level: i32,
}

impl<S: SessionStore> CompressedStoreBuilder<S> {
    pub(crate) const fn new(store: S) -> Self {
        Self {
            store,
            threshold: 1024,
            level: zstd::DEFAULT_COMPRESSION_LEVEL,
        }
    }

    /// Sets from how many bytes on data is compressed; default 1 KiB. Smaller data is stored as it
    /// is: it gains little, and no request waits for it.
    pub fn threshold(mut self, bytes: usize) -> Self {
        self.threshold = bytes;
        self
    }

    /// Sets zstd's level, from 1, the quickest, to 22; default 3. Sessions of other levels stay
    /// readable. Compressing runs on the task of the request: levels over 9 may take longer than
    /// the database.
    pub fn level(mut self, level: i32) -> Self {
        self.level = level;
        self
    }

    /// Makes the store.
    ///
    /// # Errors
    /// [`ErrorKind::Misconfigured`](session_core::ErrorKind::Misconfigured) for a level that zstd
    /// does not have, and around a store in another framework's layout, whose records are JSON.
    pub fn build(self) -> Result<CompressedStore<S>> {
        if !(1..=22).contains(&self.level) {
            let level = self.level;
            let message = format!("level must be from 1 to 22, and is {level}");
            return Err(Error::misconfigured(message));
        }
        let capabilities = self.store.capabilities();
        if capabilities.plain_ids {
            return Err(Error::misconfigured(
                "sessions in another framework's layout can't be compressed: that framework could \
                 not read them",
            ));
        }
        let inner = capabilities.max_data.unwrap_or(MAX_DATA);
        let codec = Codec {
            threshold: self.threshold,
            level: self.level,
            limit: inner.saturating_sub(1),
        };
        Ok(CompressedStore::of(self.store, codec))
    }
}
