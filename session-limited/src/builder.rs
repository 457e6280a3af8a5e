//! The builder of a store.

use session_core::{Error, Result, SessionStore};

use crate::LimitedStore;

/// Sets up a [`LimitedStore`].
#[derive(Clone, Debug)]
#[must_use]
pub struct LimitedStoreBuilder<S> {
    pub(crate) store: S,
    pub(crate) per_second: u32,
    pub(crate) burst: u32,
    pub(crate) remembered: usize,
}

impl<S: SessionStore> LimitedStoreBuilder<S> {
    pub(crate) const fn new(store: S) -> Self {
        Self {
            store,
            per_second: 100,
            burst: 1_000,
            remembered: 100_000,
        }
    }

    /// Sets how many loads a second may find nothing in this process, in the long run; default 100.
    /// Each user who comes back after a session has expired makes one.
    pub fn per_second(mut self, loads: u32) -> Self {
        self.per_second = loads;
        self
    }

    /// Sets how many loads may find nothing at once; default 1,000. As many of sessions that this
    /// process has not seen may be in flight: after a restart those are all.
    pub fn burst(mut self, loads: u32) -> Self {
        self.burst = loads;
        self
    }

    /// Sets how many sessions are remembered as known, whose loads are never refused; default
    /// 100,000. They take about 20 bytes each. Less than the sessions in use at a time costs nothing
    /// until there is a flood, and then some users a moment.
    pub fn remembered(mut self, sessions: usize) -> Self {
        self.remembered = sessions;
        self
    }

    /// Makes the store.
    ///
    /// # Errors
    /// [`ErrorKind::Misconfigured`](session_core::ErrorKind::Misconfigured) if one of the numbers is
    /// zero.
    pub fn build(self) -> Result<LimitedStore<S>> {
        for (name, number) in [
            ("per_second", self.per_second as usize),
            ("burst", self.burst as usize),
            ("remembered", self.remembered),
        ] {
            if number == 0 {
                let message = format!("{name} must be over zero: no session could be loaded");
                return Err(Error::misconfigured(message));
            }
        }
        Ok(LimitedStore::of(self))
    }
}
