//! Values in numbered slots that never move: growing allocates a chunk of slots and copies nothing.

use std::ops::{Index, IndexMut, Range};

/// The slots of a chunk, one for each bit of [`Usage::taken`].
const SLOTS: usize = 64;

/// A chunk's memory.
pub(crate) type Chunk<T> = Box<[Option<T>; SLOTS]>;

pub(crate) struct Slab<T> {
    /// `None` for an empty chunk, which has no memory.
    chunks: Vec<Option<Chunk<T>>>,
    usage: Vec<Usage>,
    /// Chunks that may have a free slot. An insert drops those that are full or without memory.
    with_room: Vec<u32>,
    /// Chunks without memory.
    unallocated: Vec<u32>,
    /// Memory of empty chunks, to be reused or freed.
    spare: Vec<Chunk<T>>,
}

#[derive(Clone, Copy)]
struct Usage {
    /// One bit for each taken slot.
    taken: u64,
    /// Whether the chunk's number is in `with_room`.
    is_listed: bool,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self {
            chunks: Vec::new(),
            usage: Vec::new(),
            with_room: Vec::new(),
            unallocated: Vec::new(),
            spare: Vec::new(),
        }
    }
}

impl<T> Slab<T> {
    /// Puts `value` into a free slot and returns the slot's number.
    pub(crate) fn insert(&mut self, value: T) -> u32 {
        let number = self.chunk_with_room();
        let usage = &mut self.usage[number as usize];
        let offset = usage.taken.trailing_ones();
        usage.taken |= 1 << offset;
        let chunk = self.chunks[number as usize].get_or_insert_with(|| {
            let spare = self.spare.pop();
            spare.unwrap_or_else(|| Box::new([const { None }; SLOTS]))
        });
        chunk[offset as usize] = Some(value);
        number * SLOTS as u32 + offset
    }

    /// Empties a slot, which later inserts may use.
    pub(crate) fn remove(&mut self, slot: u32) -> Option<T> {
        let (number, offset) = split(slot);
        let chunk = self.chunks.get_mut(number)?;
        let value = chunk.as_mut()?[offset].take()?;
        let usage = &mut self.usage[number];
        usage.taken &= !(1 << offset);
        if usage.taken == 0 {
            self.spare.extend(chunk.take());
            self.unallocated.push(number as u32);
        } else if !usage.is_listed {
            usage.is_listed = true;
            self.with_room.push(number as u32);
        }
        Some(value)
    }

    /// The value in a slot; `None` if the slot is free or does not exist.
    pub(crate) fn get(&self, slot: u32) -> Option<&T> {
        let (number, offset) = split(slot);
        self.chunks.get(number)?.as_ref()?[offset].as_ref()
    }

    pub(crate) fn get_mut(&mut self, slot: u32) -> Option<&mut T> {
        let (number, offset) = split(slot);
        self.chunks.get_mut(number)?.as_mut()?[offset].as_mut()
    }

    /// The first taken slot from `from` on.
    pub(crate) fn next_taken(&self, from: u32) -> Option<u32> {
        let (first, offset) = split(from);
        let mut mask = u64::MAX << offset;
        for (number, usage) in self.usage.iter().enumerate().skip(first) {
            let taken = usage.taken & mask;
            if taken != 0 {
                return Some((number * SLOTS) as u32 + taken.trailing_zeros());
            }
            mask = u64::MAX;
        }
        None
    }

    /// The taken slots in order.
    pub(crate) fn slots(&self) -> impl Iterator<Item = u32> {
        let next = |slot: &u32| self.next_taken(slot.checked_add(1)?);
        std::iter::successors(self.next_taken(0), next)
    }

    /// The values in `slots`, in the order of their slots.
    pub(crate) fn taken(&self, slots: Range<u32>) -> impl Iterator<Item = &T> {
        let next = |slot: &u32| self.next_taken(slot.checked_add(1)?);
        let taken = std::iter::successors(self.next_taken(slots.start), next);
        let taken = taken.take_while(move |slot| *slot < slots.end);
        taken.filter_map(|slot| self.get(slot))
    }

    /// Takes the memory of empty chunks, so that the caller can free it without the lock.
    pub(crate) fn take_spare(&mut self) -> Vec<Chunk<T>> {
        std::mem::take(&mut self.spare)
    }

    /// Removes the last chunk of a discarded slab.
    pub(crate) fn pop_chunk(&mut self) -> Option<Chunk<T>> {
        while let Some(chunk) = self.chunks.pop() {
            if chunk.is_some() {
                return chunk;
            }
        }
        None
    }

    /// The number of a chunk with a free slot. It may have no memory yet.
    fn chunk_with_room(&mut self) -> u32 {
        while let Some(&number) = self.with_room.last() {
            let usage = &mut self.usage[number as usize];
            if usage.taken != 0 && usage.taken != u64::MAX {
                return number;
            }
            usage.is_listed = false;
            self.with_room.pop();
        }
        let number = self.unallocated.pop().unwrap_or_else(|| {
            self.chunks.push(None);
            self.usage.push(Usage {
                taken: 0,
                is_listed: false,
            });
            (self.chunks.len() - 1) as u32
        });
        self.usage[number as usize].is_listed = true;
        self.with_room.push(number);
        number
    }
}

/// The number of a slot's chunk, and the slot's offset in it.
fn split(slot: u32) -> (usize, usize) {
    (slot as usize / SLOTS, slot as usize % SLOTS)
}

impl<T> Index<u32> for Slab<T> {
    type Output = T;

    fn index(&self, slot: u32) -> &T {
        self.get(slot).expect("a slot that is taken")
    }
}

impl<T> IndexMut<u32> for Slab<T> {
    fn index_mut(&mut self, slot: u32) -> &mut T {
        self.get_mut(slot).expect("a slot that is taken")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn all(slab: &Slab<u32>) -> Vec<u32> {
        slab.slots().collect()
    }

    proptest! {
        #[test]
        fn it_is_a_map_of_numbers(steps in prop::collection::vec(any::<(u8, u32)>(), 0..1_000)) {
            let (mut slab, mut model) = (Slab::default(), BTreeMap::new());
            for (kind, value) in steps {
                // Removals outnumber inserts now and then, so that chunks become empty.
                match kind % 8 {
                    0 if kind < 32 => drop(slab.take_spare()),
                    0..=4 => {
                        let slot = slab.insert(value);
                        prop_assert_eq!(model.insert(slot, value), None, "a slot of its own");
                    }
                    _ => {
                        let chosen = model.keys().nth(value as usize % (model.len() + 1)).copied();
                        let slot = chosen.unwrap_or(value);
                        prop_assert_eq!(slab.remove(slot), model.remove(&slot));
                    }
                }
            }
            prop_assert_eq!(all(&slab), model.keys().copied().collect::<Vec<_>>());
            prop_assert!(model.iter().all(|(slot, value)| slab[*slot] == *value));
        }
    }

    #[test]
    fn an_iteration_reads_each_chunk_from_its_start() {
        let mut slab = Slab::default();
        let slots: Vec<u32> = (0..200).map(|n| slab.insert(n)).collect();
        let (gone, left): (Vec<u32>, Vec<u32>) =
            slots.iter().partition(|slot| (40..64).contains(*slot));
        for slot in gone {
            slab.remove(slot);
        }
        assert_eq!(all(&slab), left);
    }

    #[test]
    fn an_emptied_slab_keeps_no_memory() {
        let mut slab = Slab::default();
        for round in 0..100 {
            let slots: Vec<u32> = (0..10_000).map(|n| slab.insert(n)).collect();
            assert!(slab.chunks.len() <= 10_000 / SLOTS + 1, "round {round}");
            for slot in slots {
                slab.remove(slot);
            }
            assert!(slab.with_room.len() <= slab.chunks.len(), "round {round}");
            let spare = slab.take_spare();
            assert_eq!(spare.len(), slab.chunks.len(), "all of the memory");
            assert!(slab.chunks.iter().all(Option::is_none));
        }
    }
}
