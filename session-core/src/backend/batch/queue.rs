//! What is queued, and when a batch may start.
//!
//! | batches in flight | operations in flight and queued | queue | a new operation |
//! |---|---|---|---|
//! | any number | up to `unbatched` | empty | is sent by itself, unless the callers of a large batch are about to come back |
//! | under `in_flight` | any number | | starts a batch |
//! | `in_flight` or more, under `unbatched` | over `unbatched` | the last batch had no room for some bytes | starts a batch |
//! | `in_flight` or more | over `unbatched` | | is queued |

use std::collections::VecDeque;

use super::{BatchLimits, Size};
use crate::Result;

/// What is queued, and how much is in flight.
#[derive(Debug)]
pub(super) struct Queue<T> {
    queued: VecDeque<Queued<T>>,
    queued_bytes: usize,
    batches_in_flight: usize,
    operations_in_flight: usize,
    /// How many operations were in the batch that started last.
    last_batch: usize,
    /// Whether the limit of bytes left operations queued when the last batch started.
    is_byte_limited: bool,
    /// The size of an answer, in bytes: an average of recent ones.
    answer_size: usize,
    limits: BatchLimits,
}

/// An operation with the bytes of session data in it.
#[derive(Debug)]
struct Queued<T> {
    item: T,
    bytes: usize,
}

/// How many answers a batch has given, and how many bytes were in them.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct AnswerSizes {
    answers: usize,
    bytes: usize,
}

impl AnswerSizes {
    pub(super) fn count<A: Size>(&mut self, answer: &Result<A>) {
        self.answers += 1;
        self.bytes += answer.as_ref().map_or(0, A::bytes);
    }
}

impl<T> Queue<T> {
    pub(super) fn new(limits: BatchLimits) -> Self {
        Self {
            queued: VecDeque::new(),
            queued_bytes: 0,
            batches_in_flight: 0,
            operations_in_flight: 0,
            last_batch: 0,
            is_byte_limited: false,
            answer_size: 0,
            limits,
        }
    }

    /// Has one operation start by itself, if it has nothing to wait for.
    pub(super) fn start_one(&mut self) -> bool {
        let starts = self.queued.is_empty() && !self.expects_more() && self.may_start(1);
        if starts {
            self.batches_in_flight += 1;
            self.operations_in_flight += 1;
            self.last_batch = 1;
            self.is_byte_limited = false;
        }
        starts
    }

    /// Puts `item`, with so many `bytes` of session data, at the end; gives it back if too many, or
    /// too many bytes, are queued. Into an empty queue it may be of any size.
    pub(super) fn push(&mut self, item: T, bytes: usize) -> std::result::Result<(), T> {
        let total = self.queued_bytes.saturating_add(bytes);
        let is_too_large = total > self.limits.queued_bytes && !self.queued.is_empty();
        if is_too_large || self.queued.len() >= self.limits.queued {
            return Err(item);
        }
        self.queued_bytes = total;
        self.queued.push_back(Queued { item, bytes });
        Ok(())
    }

    fn pop(&mut self) -> Option<T> {
        let Queued { item, bytes } = self.queued.pop_front()?;
        self.queued_bytes -= bytes;
        Some(item)
    }

    /// All that is queued.
    pub(super) fn take_all(&mut self) -> impl Iterator<Item = T> + use<T> {
        self.queued_bytes = 0;
        let all = std::mem::take(&mut self.queued);
        all.into_iter().map(|queued| queued.item)
    }

    pub(super) const fn queued_bytes(&self) -> usize {
        self.queued_bytes
    }

    /// Reserves room for one more batch, if one may start now and some of what is queued
    /// `is_wanted`. [`take`](Self::take) then says what is in it.
    pub(super) fn reserve(&mut self, is_wanted: impl Fn(&T) -> bool) -> Option<&mut T> {
        let is_unwanted = |first: &Queued<T>| !is_wanted(&first.item);
        while self.queued.front().is_some_and(is_unwanted) {
            self.pop();
        }
        if self.queued.is_empty() || !self.may_start(0) {
            return None;
        }
        self.batches_in_flight += 1;
        self.queued.front_mut().map(|first| &mut first.item)
    }

    /// The batch that room was reserved for: the first operations that `is_wanted`. It may be empty,
    /// if other batches have taken them.
    pub(super) fn take(&mut self, is_wanted: impl Fn(&T) -> bool) -> Vec<T> {
        let mut batch = Vec::new();
        let mut size = 0_usize;
        self.is_byte_limited = false;
        while let Some(next) = self.queued.front() {
            size = size
                .saturating_add(next.bytes)
                .saturating_add(self.answer_size);
            let too_large = size > self.limits.bytes;
            if (too_large || batch.len() >= self.limits.items) && !batch.is_empty() {
                self.is_byte_limited = too_large;
                break;
            }
            let next = self.pop();
            batch.extend(next.filter(&is_wanted));
        }
        self.operations_in_flight += batch.len();
        if !batch.is_empty() {
            self.last_batch = batch.len();
        }
        batch
    }

    /// Whether more operations are about to come: the callers of the last batch come back together,
    /// if it was so large that they are many.
    pub(super) fn expects_more(&self) -> bool {
        let BatchLimits {
            in_flight,
            unbatched,
            ..
        } = self.limits;
        self.last_batch > 1 && self.last_batch.saturating_mul(in_flight) > unbatched
    }

    /// A batch of `items` has ended, with answers of these sizes.
    pub(super) fn finish(&mut self, items: usize, sizes: AnswerSizes) {
        self.batches_in_flight -= 1;
        self.operations_in_flight -= items;
        if let Some(average) = sizes.bytes.checked_div(sizes.answers) {
            self.answer_size = (self.answer_size * 3 + average) / 4;
        }
    }

    /// Few operations go one by one: a batch would make one wait for another's round trip. Of many,
    /// a few batches are in flight, which grow with what is queued; as many as of few if the limit
    /// of bytes keeps them from growing, because then round trips are not what takes the time.
    fn may_start(&self, coming: usize) -> bool {
        let operations = self.operations_in_flight + self.queued.len() + coming;
        let more = self.is_byte_limited || operations <= self.limits.unbatched;
        self.batches_in_flight < self.limits.in_flight
            || (more && self.batches_in_flight < self.limits.unbatched)
    }

    /// How many operations are queued.
    pub(super) fn queued(&self) -> usize {
        self.queued.len()
    }

    /// How many operations are queued, and how many are in flight.
    pub(super) fn load(&self) -> (usize, usize) {
        (self.queued.len(), self.operations_in_flight)
    }
}
