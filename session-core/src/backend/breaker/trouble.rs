//! Whether anything is to be done when an answer comes.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// How much of a store is in trouble: its client while it may be silent, and each circuit breaker
/// that has counted a failure. So that an answer costs one load of a variable that no thread
/// writes while there is none.
#[derive(Debug, Default)]
pub(in crate::backend) struct Trouble(AtomicUsize);

impl Trouble {
    #[inline]
    pub(in crate::backend) fn is_any(&self) -> bool {
        self.0.load(Relaxed) != 0
    }

    pub(in crate::backend) fn begins(&self) {
        self.0.fetch_add(1, Relaxed);
    }

    pub(in crate::backend) fn ends(&self) {
        self.0.fetch_sub(1, Relaxed);
    }
}
