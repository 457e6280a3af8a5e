//! A timer that goes on in whichever runtime it is polled.

use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::runtime::{Handle, Id};
use tokio::time::{Instant, Sleep, sleep_until};

/// A timer of a future that may be moved to another runtime. Tokio's `Sleep` belongs to the runtime
/// that it was made in: it is never ready if nothing drives that one, and panics once it has ended.
pub(super) struct Timer {
    at: Instant,
    sleep: Option<(Id, Pin<Box<Sleep>>)>,
}

impl Timer {
    pub(super) fn new(at: Instant) -> Self {
        Self { at, sleep: None }
    }

    /// Starts it again, for this moment.
    pub(super) fn reset(&mut self, at: Instant) {
        self.at = at;
        if let Some((_, sleep)) = &mut self.sleep {
            sleep.as_mut().reset(at);
        }
    }

    /// Ready at its moment.
    ///
    /// # Panics
    /// Outside of a runtime with time enabled.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let here = Handle::current().id();
        self.sleep.take_if(|(there, _)| *there != here);
        let made = || (here, Box::pin(sleep_until(self.at)));
        let (_, sleep) = self.sleep.get_or_insert_with(made);
        sleep.as_mut().poll(cx)
    }
}
