//! What a store does around its backend's operations.

use std::time::Duration;

use super::{BatchLimits, CircuitBreaker};
use crate::{Error, Result};

/// What a [`Store`](super::Store) does around the operations of its backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Policy {
    /// The longest that one operation may take, waiting and repeats included. For operations of
    /// the directory, which may take many commands: the longest that one command may take.
    pub timeout: Duration,
    /// The most bytes of one session's data.
    pub max_data: usize,
    /// How often a command is sent again for each cause that passes; default 3.
    pub repeats: u32,
    /// When operations fail at once because the database does not answer; `None` to send each all
    /// the same. Default [`CircuitBreaker::DEFAULT`]. Each of the backend's
    /// [queues](super::Backend::queues) has a circuit of its own. Those of the directory fail at
    /// once too if there is one queue.
    pub circuit_breaker: Option<CircuitBreaker>,
    /// The most operations that may be in flight in each of the backend's
    /// [queues](super::Backend::queues) of the kinds that are not batched; others are refused.
    /// Default 10,000.
    pub in_flight: usize,
    /// The most bytes of session data in those; default 64 MiB.
    pub bytes_in_flight: usize,
    /// How creates are batched; `None` to send each by itself.
    pub create: Option<BatchLimits>,
    /// How loads are batched.
    pub load: Option<BatchLimits>,
    /// How saves are batched.
    pub save: Option<BatchLimits>,
    /// How touches are batched.
    pub touch: Option<BatchLimits>,
    /// How destroys are batched.
    pub destroy: Option<BatchLimits>,
}

impl Policy {
    /// How long an operation may take where nothing else is said: 2 s.
    pub const TIMEOUT: Duration = Duration::from_secs(2);
    /// How many bytes of data a session may have where nothing else is said: 1 MiB.
    pub const MAX_DATA: usize = 1024 * 1024;

    /// Nothing is batched.
    #[must_use]
    pub const fn new(timeout: Duration, max_data: usize) -> Self {
        Self {
            timeout,
            max_data,
            repeats: 3,
            circuit_breaker: Some(CircuitBreaker::DEFAULT),
            in_flight: 10_000,
            bytes_in_flight: 64 * 1024 * 1024,
            create: None,
            load: None,
            save: None,
            touch: None,
            destroy: None,
        }
    }

    /// The same, with each command sent again so often for each cause that passes.
    #[must_use]
    pub const fn with_repeats(mut self, repeats: u32) -> Self {
        self.repeats = repeats;
        self
    }

    /// The same, with this circuit breaker, or none.
    #[must_use]
    pub const fn with_circuit_breaker(mut self, breaker: Option<CircuitBreaker>) -> Self {
        self.circuit_breaker = breaker;
        self
    }

    /// The same, with so many operations, and bytes of session data, in flight of the kinds that are
    /// not batched.
    #[must_use]
    pub const fn with_in_flight(mut self, operations: usize, bytes: usize) -> Self {
        self.in_flight = operations;
        self.bytes_in_flight = bytes;
        self
    }

    /// The same, with all five operations batched.
    #[must_use]
    pub const fn with_batches(self, limits: BatchLimits) -> Self {
        self.with_create(limits)
            .with_load(limits)
            .with_save(limits)
            .with_touch(limits)
            .with_destroy(limits)
    }

    /// The same, with creates batched.
    #[must_use]
    pub const fn with_create(mut self, limits: BatchLimits) -> Self {
        self.create = Some(limits);
        self
    }

    /// The same, with loads batched.
    #[must_use]
    pub const fn with_load(mut self, limits: BatchLimits) -> Self {
        self.load = Some(limits);
        self
    }

    /// The same, with saves batched.
    #[must_use]
    pub const fn with_save(mut self, limits: BatchLimits) -> Self {
        self.save = Some(limits);
        self
    }

    /// The same, with touches batched.
    #[must_use]
    pub const fn with_touch(mut self, limits: BatchLimits) -> Self {
        self.touch = Some(limits);
        self
    }

    /// The same, with destroys batched.
    #[must_use]
    pub const fn with_destroy(mut self, limits: BatchLimits) -> Self {
        self.destroy = Some(limits);
        self
    }

    /// Refuses limits that no store can work with.
    ///
    /// # Errors
    /// [`ErrorKind::Misconfigured`](crate::ErrorKind::Misconfigured).
    pub fn check(&self) -> Result<()> {
        if self.timeout.is_zero() || self.max_data == 0 {
            return Err(Error::misconfigured(
                "timeout and max_data must be over zero",
            ));
        }
        Ok(())
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self::new(Self::TIMEOUT, Self::MAX_DATA)
    }
}
