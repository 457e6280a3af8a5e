//! Who waits, and when a batch may start.

use std::collections::VecDeque;

use super::BatchLimits;

/// What waits, and how much is under way.
#[derive(Debug)]
pub(super) struct Queue<T> {
    waiting: VecDeque<T>,
    /// Batches under way, and operations in them.
    lanes: usize,
    under_way: usize,
    limits: BatchLimits,
}

impl<T> Queue<T> {
    pub(super) fn new(limits: BatchLimits) -> Self {
        Self {
            waiting: VecDeque::new(),
            lanes: 0,
            under_way: 0,
            limits,
        }
    }

    /// Puts `item` at the end; gives it back if too many wait.
    pub(super) fn push(&mut self, item: T) -> Result<(), T> {
        if self.waiting.len() >= self.limits.waiting {
            return Err(item);
        }
        self.waiting.push_back(item);
        Ok(())
    }

    /// The next batch, if one may start now: those in front, of `bytes` each, that `live` still
    /// wants. It then is under way.
    pub(super) fn start(
        &mut self,
        bytes: impl Fn(&T) -> usize,
        live: impl Fn(&T) -> bool,
    ) -> Option<Vec<T>> {
        if !self.may_start() {
            return None;
        }
        let mut batch = Vec::new();
        let mut size = 0_usize;
        while let Some(next) = self.waiting.front() {
            size = size.saturating_add(bytes(next));
            let full = batch.len() >= self.limits.items || size > self.limits.bytes;
            if full && !batch.is_empty() {
                break;
            }
            let next = self.waiting.pop_front();
            batch.extend(next.filter(&live));
        }
        if batch.is_empty() {
            return None;
        }
        self.lanes += 1;
        self.under_way += batch.len();
        Some(batch)
    }

    /// A batch of `items` is no longer under way.
    pub(super) fn finish(&mut self, items: usize) {
        self.lanes -= 1;
        self.under_way -= items;
    }

    /// While callers are few, each goes by itself: a batch would make it wait for another's round
    /// trip. Once they are many, a few batches at a time, which grow with what waits.
    fn may_start(&self) -> bool {
        let callers = self.under_way + self.waiting.len();
        self.lanes < self.limits.lanes
            || (self.lanes < self.limits.alone && callers <= self.limits.alone)
    }

    pub(super) fn load(&self) -> (usize, usize) {
        (self.waiting.len(), self.under_way)
    }
}
