//! What a store has done so far, in numbers.

use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

use super::metrics::Metrics;
use super::{Identity, Operation};
use crate::{ErrorKind, Result};

/// How many stripes there are. Threads beyond that share some, which only costs time.
const STRIPES: usize = 16;

/// Each thread counts in a stripe of its own. A counter that all threads write moves from core to
/// core with each operation: on two cores, memory then makes 0.8 of the loads a second.
#[derive(Debug)]
pub(super) struct Counters {
    stripes: [Stripe; STRIPES],
    pub(super) identity: Identity,
    /// The same for the recorder of the crate `metrics`, with that Cargo feature.
    pub(super) metrics: Metrics,
}

/// Aligned to two cache lines, because processors fetch them in pairs.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Stripe {
    operations: [OperationCounters; Operation::ALL.len()],
    repeats: AtomicU64,
    replaced_clients: AtomicU64,
    openings: AtomicU64,
    rejected: AtomicU64,
    batches: AtomicU64,
    batched: AtomicU64,
}

#[derive(Debug, Default)]
struct OperationCounters {
    calls: AtomicU64,
    errors: AtomicU64,
    timeouts: AtomicU64,
}

/// What a store has done since it was made, in numbers. Clones of a store are counted together.
#[derive(Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    operations: [OperationCounts; Operation::ALL.len()],
    /// How often a command was sent again.
    pub repeats: u64,
    /// How often a client was replaced.
    pub replaced_clients: u64,
    /// How often a circuit opened, because the database did not answer.
    pub openings: u64,
    /// How many operations failed at once because a circuit was open: nothing was sent.
    pub rejected: u64,
    /// How many batches of more than one operation were sent.
    pub batches: u64,
    /// How many operations were in those.
    pub batched: u64,
    /// How many operations are queued now.
    pub queued: usize,
    /// How many operations are in flight now; those of the directory are not counted.
    pub in_flight: usize,
}

/// How often an operation was called, and how that ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct OperationCounts {
    /// Calls that have ended with an answer or an error. Those given up by their callers are not
    /// counted.
    pub calls: u64,
    /// Those that ended with an error, time-outs among them.
    pub errors: u64,
    /// Those that ended because the time limit had passed.
    pub timeouts: u64,
}

impl Counts {
    /// The calls of one operation.
    #[must_use]
    pub const fn of(&self, operation: Operation) -> OperationCounts {
        self.operations[operation as usize]
    }
}

/// Shows the operations that were called.
impl fmt::Debug for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Counts");
        for operation in Operation::ALL {
            let counts = self.of(operation);
            if counts.calls > 0 {
                shown.field(operation.as_str(), &counts);
            }
        }
        shown
            .field("repeats", &self.repeats)
            .field("replaced_clients", &self.replaced_clients)
            .field("openings", &self.openings)
            .field("rejected", &self.rejected)
            .field("batches", &self.batches)
            .field("batched", &self.batched)
            .field("queued", &self.queued)
            .field("in_flight", &self.in_flight)
            .finish()
    }
}

impl Counters {
    pub(super) fn new(identity: Identity) -> Self {
        Self {
            stripes: Default::default(),
            metrics: Metrics::new(&identity),
            identity,
        }
    }

    pub(super) fn ended<T>(&self, operation: Operation, outcome: &Result<T>) {
        let counters = &self.own().operations[operation as usize];
        counters.calls.fetch_add(1, Relaxed);
        if let Err(error) = outcome {
            counters.errors.fetch_add(1, Relaxed);
            if error.kind() == ErrorKind::Timeout {
                counters.timeouts.fetch_add(1, Relaxed);
            }
        }
    }

    pub(super) fn repeated(&self) {
        self.own().repeats.fetch_add(1, Relaxed);
        self.metrics.repeated();
    }

    pub(super) fn replaced(&self) {
        self.own().replaced_clients.fetch_add(1, Relaxed);
        self.metrics.replaced();
    }

    pub(super) fn opened(&self) {
        self.own().openings.fetch_add(1, Relaxed);
        self.metrics.opened();
    }

    /// A circuit that was open is closed, or goes with its store.
    pub(super) fn closed(&self) {
        self.metrics.closed();
    }

    pub(super) fn rejected(&self, operations: usize) {
        let rejected = &self.own().rejected;
        rejected.fetch_add(operations as u64, Relaxed);
        self.metrics.rejected(operations);
    }

    pub(super) fn batch(&self, operation: Operation, operations: usize) {
        let stripe = self.own();
        stripe.batches.fetch_add(1, Relaxed);
        stripe.batched.fetch_add(operations as u64, Relaxed);
        self.metrics.batch(operation, operations);
    }

    /// So many more operations are queued, or so many fewer.
    pub(super) fn queued(&self, change: isize) {
        self.metrics.queued(change);
    }

    pub(super) fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for stripe in &self.stripes {
            for (sum, counters) in counts.operations.iter_mut().zip(&stripe.operations) {
                sum.calls += counters.calls.load(Relaxed);
                sum.errors += counters.errors.load(Relaxed);
                sum.timeouts += counters.timeouts.load(Relaxed);
            }
            counts.repeats += stripe.repeats.load(Relaxed);
            counts.replaced_clients += stripe.replaced_clients.load(Relaxed);
            counts.openings += stripe.openings.load(Relaxed);
            counts.rejected += stripe.rejected.load(Relaxed);
            counts.batches += stripe.batches.load(Relaxed);
            counts.batched += stripe.batched.load(Relaxed);
        }
        counts
    }

    /// The stripe of this thread.
    fn own(&self) -> &Stripe {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        thread_local! {
            static STRIPE: usize = NEXT.fetch_add(1, Relaxed) % STRIPES;
        }
        &self.stripes[STRIPE.with(|stripe| *stripe)]
    }
}
