//! The span, the counters and the metrics of an operation: what is to be known of each goes here.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tracing::instrument::Instrumented;
use tracing::level_filters::LevelFilter;
use tracing::{Instrument, Level, Span, debug_span, field};

use super::counters::{Counters, Counts};
use super::metrics::Began;
use super::{Answer, Identity, Operation, Outcome};
use crate::Result;

/// Gives each operation of a store a span, and counts it; with the Cargo feature `metrics`, for the
/// recorder of the crate `metrics` too. A [`Store`](super::Store) has one; a store that implements
/// [`SessionStore`](crate::SessionStore) itself may use it too. Clones count together.
#[derive(Clone, Debug)]
pub struct Meter {
    pub(super) counters: Arc<Counters>,
}

impl Meter {
    /// For a store of the product `name`, such as `memory`.
    #[must_use]
    pub fn new(name: &'static str) -> Self {
        Self::at(name, "")
    }

    /// For a store of the product `name` at `place`: the product and its address, as
    /// [`Connector::place`](super::Connector::place) tells them. Nothing secret.
    #[must_use]
    pub fn at(name: &'static str, place: &str) -> Self {
        let counters = Counters::new(Identity::new(name, place));
        Self {
            counters: Arc::new(counters),
        }
    }

    /// Runs `work`, which writes so many `bytes` of session data, within a span `session_store` of
    /// level debug, and counts how it ends. `docs/logging.md` has the fields of the span.
    ///
    /// The work is given pinned or boxed: each layer around it would otherwise hold, and move, the
    /// whole of it once more.
    pub fn observe<W, T>(&self, operation: Operation, bytes: usize, work: W) -> Observe<'_, W>
    where
        W: Future<Output = Result<T>> + Unpin,
        T: Answer,
    {
        Observe {
            began: Began::now(),
            meter: self,
            work: work.instrument(self.span(operation, bytes)),
            operation,
        }
    }

    /// The same for work that waits for nothing, which then is no future: 110 instructions for each
    /// operation, and not 210 to 270, where no subscriber wants spans. Inlined, because moving the
    /// outcome out costs as much as the rest: a load from memory takes 195 ns and not 203.
    ///
    /// # Errors
    /// Those of `work`.
    #[inline]
    pub fn observe_now<T: Answer>(
        &self,
        operation: Operation,
        bytes: usize,
        work: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        let began = Began::now();
        // Without a span to enter and leave: 40 instructions.
        let outcome = match are_spans_off() {
            true => work(),
            false => self.in_span(operation, bytes, work),
        };
        self.ended(operation, began, &outcome);
        outcome
    }

    #[cold]
    #[inline(never)]
    fn in_span<T: Answer>(
        &self,
        operation: Operation,
        bytes: usize,
        work: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        let span = self.new_span(operation, bytes);
        let outcome = span.in_scope(work);
        tell(&span, &outcome);
        outcome
    }

    #[inline]
    fn ended<T: Answer>(&self, operation: Operation, began: Began, outcome: &Result<T>) {
        self.counters.ended(operation, outcome);
        self.counters.metrics.ended(operation, began, outcome);
    }

    #[inline]
    fn span(&self, operation: Operation, bytes: usize) -> Span {
        match are_spans_off() {
            true => Span::none(),
            false => self.new_span(operation, bytes),
        }
    }

    #[cold]
    fn new_span(&self, operation: Operation, bytes: usize) -> Span {
        let Identity {
            system,
            address,
            port,
        } = &self.counters.identity;
        debug_span!(
            "session_store",
            otel.kind = "client",
            otel.name = operation.as_str(),
            otel.status_code = field::Empty,
            db.system.name = system,
            db.operation.name = operation.as_str(),
            db.operation.batch.size = field::Empty,
            server.address = address.as_deref(),
            server.port = *port,
            error.type = field::Empty,
            outcome = field::Empty,
            bytes = (bytes > 0).then_some(bytes),
            sessions = field::Empty,
            attempts = field::Empty
        )
    }

    /// The span of a batch of so many operations, for the callers with the spans `of`.
    #[cold]
    pub(super) fn batch_span(&self, operation: Operation, size: usize, of: &[Span]) -> Span {
        let span = self.new_span(operation, 0);
        span.record(BATCH_SIZE, size);
        for caller in of {
            caller.record(BATCH_SIZE, size);
            span.follows_from(caller);
        }
        span
    }

    /// What was counted so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.counters.counts()
    }
}

const BATCH_SIZE: &str = "db.operation.batch.size";

/// Whether no subscriber wants spans: one relaxed load. With its feature `log`, which any dependency
/// may turn on, `tracing` makes the fields of spans without a subscriber: 150 instructions.
#[inline]
fn are_spans_off() -> bool {
    LevelFilter::current() < Level::DEBUG
}

/// The span of the operation under way, for what is told of it elsewhere; none where no subscriber
/// wants spans.
#[inline]
pub(super) fn current_span() -> Span {
    match are_spans_off() {
        true => Span::none(),
        false => Span::current(),
    }
}

/// A command of the operation under way is sent for the `attempts`th time.
#[cold]
pub(super) fn tell_attempts(attempts: u32) {
    current_span().record("attempts", attempts);
}

/// Tells the `span` of an operation how that has ended.
#[cold]
pub(super) fn tell<T: Answer>(span: &Span, outcome: &Result<T>) {
    let answer = match outcome {
        Ok(answer) => answer,
        Err(error) => {
            span.record("outcome", Outcome::Error.as_str());
            span.record("error.type", error.kind().as_str());
            span.record("otel.status_code", "ERROR");
            return;
        }
    };
    span.record("outcome", answer.outcome().as_str());
    if let Some(bytes) = answer.bytes() {
        span.record("bytes", bytes);
    }
    if let Some(sessions) = answer.sessions() {
        span.record("sessions", sessions);
    }
}

/// An operation that is observed: of [`Meter::observe`].
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct Observe<'a, W> {
    meter: &'a Meter,
    work: Instrumented<W>,
    began: Began,
    operation: Operation,
}

impl<W, T> Future for Observe<'_, W>
where
    W: Future<Output = Result<T>> + Unpin,
    T: Answer,
{
    type Output = Result<T>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<T>> {
        let outcome = ready!(Pin::new(&mut self.work).poll(context));
        if !self.work.span().is_disabled() {
            tell(self.work.span(), &outcome);
        }
        self.meter.ended(self.operation, self.began, &outcome);
        Poll::Ready(outcome)
    }
}
