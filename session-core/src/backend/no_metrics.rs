//! In the place of `metrics.rs` where the Cargo feature `metrics` is off: nothing.

use super::{Answer, Identity, Operation};
use crate::Result;

#[derive(Debug)]
pub(super) struct Metrics;

#[derive(Clone, Copy, Debug)]
pub(super) struct Began;

impl Began {
    #[inline]
    pub(super) const fn now() -> Self {
        Self
    }
}

impl Metrics {
    pub(super) const fn new(_: &Identity) -> Self {
        Self
    }

    #[inline]
    pub(super) const fn ended<T: Answer>(&self, _: Operation, _: Began, _: &Result<T>) {}

    pub(super) const fn repeated(&self) {}

    pub(super) const fn replaced(&self) {}

    pub(super) const fn opened(&self) {}

    pub(super) const fn closed(&self) {}

    pub(super) const fn rejected(&self, _: usize) {}

    pub(super) const fn batch(&self, _: Operation, _: usize) {}

    #[inline]
    pub(super) const fn queued(&self, _: isize) {}
}
