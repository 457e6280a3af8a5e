//! The expired sessions that `reap` has not reported, in the order in which they ended.

use crate::entry::Entry;
use crate::slab::Slab;

/// A queue whose links are in the entries, so that ending a session allocates nothing. While many
/// sessions expire, the allocator is busy with their memory: growing a vector then took up to 4 ms.
#[derive(Default)]
pub(crate) struct Unreported {
    /// The first slot and the last one.
    ends: Option<(u32, u32)>,
    len: usize,
}

impl Unreported {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn first(&self) -> Option<u32> {
        self.ends.map(|(first, _)| first)
    }

    /// Adds a session that has just ended.
    pub(crate) fn push(&mut self, slot: u32, entries: &mut Slab<Entry>) {
        let (first, last) = self.ends.unwrap_or((slot, slot));
        entries[last].hash = slot;
        self.ends = Some((first, slot));
        self.len += 1;
    }

    /// Removes the first session from the queue and returns its slot, which is still taken.
    pub(crate) fn pop(&mut self, entries: &Slab<Entry>) -> Option<u32> {
        let (first, last) = self.ends?;
        self.ends = (first != last).then(|| (entries[first].hash, last));
        self.len -= 1;
        Some(first)
    }
}
