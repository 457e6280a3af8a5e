//! A warning for a store that grows because nothing reaps it.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use tokio::time::Instant;

/// How long a store may be without a reaper, such as one that is started after a migration.
const PATIENCE: Duration = Duration::from_secs(3_600);

/// Warns once if a store that needs a reaper has had none for its first hour.
#[derive(Debug)]
pub(super) struct ReaperWatch {
    began: Instant,
    /// There is, or has been, a reaper; or none is needed; or the warning was given.
    is_settled: AtomicBool,
}

impl ReaperWatch {
    pub(super) fn new(needs_reaper: bool) -> Self {
        Self {
            began: Instant::now(),
            is_settled: AtomicBool::new(!needs_reaper),
        }
    }

    /// Something reaps, with success or without.
    pub(super) fn reaped(&self) {
        self.is_settled.store(true, Relaxed);
    }

    /// Looks at the clock, for a session that is about to be created in the store at `place`.
    pub(super) fn check(&self, place: &str) {
        let is_due = || self.began.elapsed() >= PATIENCE;
        if !self.is_settled.load(Relaxed) && is_due() && !self.is_settled.swap(true, Relaxed) {
            tracing::warn!(
                place,
                "expired sessions stay in this store until they are reaped, and this process has not \
                 reaped any for an hour: run a Reaper, unless another process does"
            );
        }
    }
}
