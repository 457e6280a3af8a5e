//! What the hand-over of batches needs of its surroundings: a lock, a channel for one message, and
//! tasks. With `--cfg loom` the tests get those whose interleavings loom explores.

#[cfg(not(all(test, loom)))]
pub(super) use {
    std::sync::{Mutex, MutexGuard},
    tokio::sync::oneshot,
};

#[cfg(all(test, loom))]
pub(super) use {
    super::loom_tests::oneshot,
    loom::sync::{Mutex, MutexGuard},
};

use std::future::Future;
use std::time::Duration;

/// The runtime of the caller, for work that goes on without the caller.
#[cfg(not(all(test, loom)))]
pub(super) struct Tasks(tokio::runtime::Handle);

#[cfg(not(all(test, loom)))]
impl Tasks {
    /// `None` outside a runtime.
    pub(super) fn current() -> Option<Self> {
        tokio::runtime::Handle::try_current().ok().map(Self)
    }

    /// Has a task of its own finish `work`, which is dropped after `timeout`.
    pub(super) fn spawn<F: Future<Output: Send> + Send + 'static>(
        &self,
        timeout: Duration,
        work: F,
    ) {
        self.0.spawn(tokio::time::timeout(timeout, work));
    }
}

#[cfg(all(test, loom))]
pub(super) struct Tasks;

#[cfg(all(test, loom))]
impl Tasks {
    pub(super) fn current() -> Option<Self> {
        Some(Self)
    }

    pub(super) fn spawn<F: Future<Output: Send> + Send + 'static>(&self, _: Duration, work: F) {
        loom::thread::spawn(move || drop(loom::future::block_on(work)));
    }
}
