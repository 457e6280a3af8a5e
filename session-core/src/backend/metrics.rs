//! What a store does, for the recorder of the crate `metrics`.
//!
//! A metric is registered when it first has a value, and its handle is kept: to register costs about
//! as much as a load from memory. While the application has installed no recorder, none is kept, so
//! that it may install one after it has made its stores.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::time::Instant;

use metrics::{Counter, Gauge, Histogram, Key, Label, Recorder};

use super::{Answer, Identity, Operation, Outcome};
use crate::Result;
use crate::metrics::{METADATA, names, with_recorder};

/// The metrics of one store.
pub(super) struct Metrics {
    /// Which store it is.
    labels: Vec<Label>,
    operations: [OperationMetrics; Operation::ALL.len()],
    repeats: Lazy<Counter>,
    replaced_clients: Lazy<Counter>,
    openings: Lazy<Counter>,
    rejected: Lazy<Counter>,
    reaped: Lazy<Counter>,
    open_circuits: Level,
    queued: Level,
}

/// When an operation began.
#[derive(Clone, Copy, Debug)]
pub(super) struct Began(Instant);

#[derive(Default)]
struct OperationMetrics {
    seconds: Lazy<Histogram>,
    outcomes: [Lazy<Counter>; Outcome::ALL.len()],
    batches: Lazy<Histogram>,
}

/// The handle of a metric, once it has had a value.
struct Lazy<H>(OnceLock<H>);

/// A number that goes up and down.
#[derive(Default)]
struct Level {
    now: AtomicI64,
    gauge: Lazy<Gauge>,
}

impl Began {
    #[inline]
    pub(super) fn now() -> Self {
        Self(Instant::now())
    }
}

impl Metrics {
    pub(super) fn new(identity: &Identity) -> Self {
        let mut labels = vec![Label::new("db.system.name", identity.system)];
        if let Some(address) = &identity.address {
            labels.push(Label::new("server.address", address.to_string()));
        }
        if let Some(port) = identity.port {
            labels.push(Label::new("server.port", port.to_string()));
        }
        Self {
            labels,
            operations: Default::default(),
            repeats: Lazy::default(),
            replaced_clients: Lazy::default(),
            openings: Lazy::default(),
            rejected: Lazy::default(),
            reaped: Lazy::default(),
            open_circuits: Level::default(),
            queued: Level::default(),
        }
    }

    pub(super) fn ended<T: Answer>(
        &self,
        operation: Operation,
        Began(began): Began,
        outcome: &Result<T>,
    ) {
        let metrics = &self.operations[operation as usize];
        let seconds = began.elapsed().as_secs_f64();
        let register = |recorder: &dyn Recorder| {
            let key = self.key(names::OPERATION_SECONDS, [of(operation)]);
            recorder.register_histogram(&key, &METADATA)
        };
        metrics.seconds.with(register, |one| one.record(seconds));
        match outcome {
            Ok(answer) => self.answered(operation, answer),
            Err(error) => self.failed(operation, error.kind().as_str()),
        }
    }

    fn answered(&self, operation: Operation, answer: &impl Answer) {
        let outcome = answer.outcome();
        let counter = &self.operations[operation as usize].outcomes[outcome as usize];
        let register = |recorder: &dyn Recorder| {
            let labels = [of(operation), by(outcome)];
            recorder.register_counter(&self.key(names::OPERATIONS, labels), &METADATA)
        };
        counter.with(register, |one| one.increment(1));
        if let (Operation::Reap, Some(sessions)) = (operation, answer.sessions()) {
            self.count(&self.reaped, names::REAPED, sessions as u64);
        }
    }

    /// Errors are rare, and their kinds are many: no handle is kept.
    #[cold]
    fn failed(&self, operation: Operation, kind: &'static str) {
        with_recorder(|recorder| {
            let kind = Label::from_static_parts("error.type", kind);
            let labels = [of(operation), by(Outcome::Error), kind];
            let key = self.key(names::OPERATIONS, labels);
            recorder.register_counter(&key, &METADATA).increment(1);
        });
    }

    pub(super) fn repeated(&self) {
        self.count(&self.repeats, names::REPEATS, 1);
    }

    pub(super) fn replaced(&self) {
        self.count(&self.replaced_clients, names::REPLACED_CLIENTS, 1);
    }

    pub(super) fn opened(&self) {
        self.count(&self.openings, names::OPENINGS, 1);
        self.change(&self.open_circuits, names::OPEN_CIRCUITS, 1);
    }

    pub(super) fn closed(&self) {
        self.change(&self.open_circuits, names::OPEN_CIRCUITS, -1);
    }

    pub(super) fn rejected(&self, operations: usize) {
        self.count(&self.rejected, names::REJECTED, operations as u64);
    }

    pub(super) fn batch(&self, operation: Operation, operations: usize) {
        let register = |recorder: &dyn Recorder| {
            let key = self.key(names::BATCH_SIZE, [of(operation)]);
            recorder.register_histogram(&key, &METADATA)
        };
        let batches = &self.operations[operation as usize].batches;
        batches.with(register, |one| one.record(operations as f64));
    }

    pub(super) fn queued(&self, change: isize) {
        self.change(&self.queued, names::QUEUED, change as i64);
    }

    fn count(&self, counter: &Lazy<Counter>, name: &'static str, more: u64) {
        let register = |recorder: &dyn Recorder| {
            let key = self.key(name, []);
            recorder.register_counter(&key, &METADATA)
        };
        counter.with(register, |one| one.increment(more));
    }

    fn change(&self, level: &Level, name: &'static str, change: i64) {
        let before = level.now.fetch_add(change, Relaxed);
        let register = |recorder: &dyn Recorder| {
            let gauge = recorder.register_gauge(&self.key(name, []), &METADATA);
            // Not set: another store may have the same labels.
            gauge.increment(before as f64);
            gauge
        };
        level
            .gauge
            .with(register, |one| one.increment(change as f64));
    }

    fn key<const N: usize>(&self, name: &'static str, labels: [Label; N]) -> Key {
        let mut all = self.labels.clone();
        all.extend(labels);
        Key::from_parts(name, all)
    }
}

fn of(operation: Operation) -> Label {
    Label::from_static_parts("db.operation.name", operation.as_str())
}

fn by(outcome: Outcome) -> Label {
    Label::from_static_parts("outcome", outcome.as_str())
}

impl<H> Lazy<H> {
    #[inline]
    fn with(&self, register: impl FnOnce(&dyn Recorder) -> H, act: impl FnOnce(&H)) {
        match self.0.get() {
            Some(handle) => act(handle),
            None => with_recorder(|recorder| act(self.0.get_or_init(|| register(recorder)))),
        }
    }
}

impl<H> Default for Lazy<H> {
    fn default() -> Self {
        Self(OnceLock::new())
    }
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Metrics")
            .field("labels", &self.labels)
            .finish_non_exhaustive()
    }
}
