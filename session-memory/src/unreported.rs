//! The sessions that have ended and wait for a reaper, in the order in which they ended.

use crate::entry::Entry;
use crate::slab::Slab;

/// A queue whose links are in the entries, so that an end allocates nothing. While many sessions
/// expire, the allocator has their memory to sort: a vector that grew then took up to 4 ms.
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

    /// Takes the first one out, whose slot is still taken.
    pub(crate) fn pop(&mut self, entries: &Slab<Entry>) -> Option<u32> {
        let (first, last) = self.ends?;
        self.ends = (first != last).then(|| (entries[first].hash, last));
        self.len -= 1;
        Some(first)
    }
}
