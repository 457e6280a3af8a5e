//! How much may be in flight of what is not batched.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use super::{Operation, Policy};
use crate::{Error, Result};

/// What is in flight in one queue of operations whose kind is not batched.
#[derive(Debug)]
pub(super) struct Unbatched {
    operations: AtomicUsize,
    bytes: AtomicUsize,
    max_operations: usize,
    max_bytes: usize,
}

/// An operation that counts as in flight until this is dropped.
pub(super) struct Held<'a> {
    unbatched: &'a Unbatched,
    bytes: usize,
}

impl Unbatched {
    pub(super) const fn new(policy: &Policy) -> Self {
        Self {
            operations: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            max_operations: policy.in_flight,
            max_bytes: policy.bytes_in_flight,
        }
    }

    /// Counts an operation that writes so many `bytes` of session data. The first one may be of any
    /// size.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) if too much is in flight.
    pub(super) fn hold(&self, operation: Operation, place: &str, bytes: usize) -> Result<Held<'_>> {
        let held = Held {
            unbatched: self,
            bytes,
        };
        let others = self.operations.fetch_add(1, Relaxed);
        let their_bytes = self.bytes.fetch_add(bytes, Relaxed);
        let is_too_large = others > 0 && their_bytes.saturating_add(bytes) > self.max_bytes;
        if others >= self.max_operations || is_too_large {
            let why = format!(
                "{place}: {others} operations with {their_bytes} bytes are in flight already"
            );
            return Err(Error::not_sent(operation.as_str(), why));
        }
        Ok(held)
    }

    pub(super) fn in_flight(&self) -> usize {
        self.operations.load(Relaxed)
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.unbatched.operations.fetch_sub(1, Relaxed);
        self.unbatched.bytes.fetch_sub(self.bytes, Relaxed);
    }
}
