//! Who waits, and when a batch may start.

use std::collections::VecDeque;

use super::{Answer, BatchLimits};
use crate::Result;

/// What waits, and how much is under way.
#[derive(Debug)]
pub(super) struct Queue<T> {
    waiting: VecDeque<T>,
    /// Batches under way, and operations in them.
    lanes: usize,
    under_way: usize,
    /// How many operations were in the batch that started last.
    latest: usize,
    /// Whether there were too many bytes for it, so that some were left waiting.
    overflowed: bool,
    /// How many bytes an answer has, on average of late ones.
    answer: usize,
    limits: BatchLimits,
}

/// So many answers, and so many bytes in them.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Given {
    pub(super) answers: usize,
    pub(super) bytes: usize,
}

impl Given {
    pub(super) fn count<A: Answer>(&mut self, answer: &Result<A>) {
        self.answers += 1;
        self.bytes += answer.as_ref().map_or(0, A::bytes);
    }
}

impl<T> Queue<T> {
    pub(super) fn new(limits: BatchLimits) -> Self {
        Self {
            waiting: VecDeque::new(),
            lanes: 0,
            under_way: 0,
            latest: 0,
            overflowed: false,
            answer: 0,
            limits,
        }
    }

    /// Has an operation start by itself, if it has nothing to wait for.
    pub(super) fn start_alone(&mut self) -> bool {
        let alone = self.waiting.is_empty() && !self.expects_company() && self.may_start(1);
        if alone {
            self.lanes += 1;
            self.under_way += 1;
            self.latest = 1;
            self.overflowed = false;
        }
        alone
    }

    /// Puts `item` at the end; gives it back if too many wait.
    pub(super) fn push(&mut self, item: T) -> std::result::Result<(), T> {
        if self.waiting.len() >= self.limits.waiting {
            return Err(item);
        }
        self.waiting.push_back(item);
        Ok(())
    }

    /// Makes room for one more batch, if one may start now and `live` still wants some of what
    /// waits. [`take`](Self::take) then says what is in it.
    pub(super) fn reserve(&mut self, live: impl Fn(&T) -> bool) -> Option<&mut T> {
        while self.waiting.front().is_some_and(|first| !live(first)) {
            self.waiting.pop_front();
        }
        if self.waiting.is_empty() || !self.may_start(0) {
            return None;
        }
        self.lanes += 1;
        self.waiting.front_mut()
    }

    /// The batch there was room made for: those in front, of `bytes` each, that `live` still
    /// wants. It may be empty, if other batches have taken them.
    pub(super) fn take(
        &mut self,
        bytes: impl Fn(&T) -> usize,
        live: impl Fn(&T) -> bool,
    ) -> Vec<T> {
        let mut batch = Vec::new();
        let mut size = 0_usize;
        self.overflowed = false;
        while let Some(next) = self.waiting.front() {
            size = size.saturating_add(bytes(next)).saturating_add(self.answer);
            let too_large = size > self.limits.bytes;
            if (too_large || batch.len() >= self.limits.items) && !batch.is_empty() {
                self.overflowed = too_large;
                break;
            }
            let next = self.waiting.pop_front();
            batch.extend(next.filter(&live));
        }
        self.under_way += batch.len();
        if !batch.is_empty() {
            self.latest = batch.len();
        }
        batch
    }

    /// Whether others are about to come: the callers of the latest batch come back together, if it
    /// had so many that they are not few.
    pub(super) fn expects_company(&self) -> bool {
        let BatchLimits { lanes, alone, .. } = self.limits;
        self.latest > 1 && self.latest.saturating_mul(lanes) > alone
    }

    /// A batch of `items` is over, and gave these answers.
    pub(super) fn finish(&mut self, items: usize, given: Given) {
        self.lanes -= 1;
        self.under_way -= items;
        if let Some(average) = given.bytes.checked_div(given.answers) {
            self.answer = (self.answer * 3 + average) / 4;
        }
    }

    /// While callers are few, each goes by itself: a batch would make it wait for another's round
    /// trip. Once they are many, a few batches at a time, which grow with what waits; as many as
    /// before if they can't, for then it is not the trips that take the time.
    fn may_start(&self, coming: usize) -> bool {
        let callers = self.under_way + self.waiting.len() + coming;
        let more = self.overflowed || callers <= self.limits.alone;
        self.lanes < self.limits.lanes || (more && self.lanes < self.limits.alone)
    }

    pub(super) fn load(&self) -> (usize, usize) {
        (self.waiting.len(), self.under_way)
    }
}
