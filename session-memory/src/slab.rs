//! Values in numbered slots that never move: growing allocates a chunk of slots, and copies
//! nothing.

use std::ops::{Index, IndexMut, Range};

/// The slots of a chunk; one bit each says which are taken.
const SLOTS: usize = 64;

/// A chunk's memory.
pub(crate) type Chunk<T> = Box<[Option<T>; SLOTS]>;

pub(crate) struct Slab<T> {
    /// `None` where nothing is in a chunk.
    chunks: Vec<Option<Chunk<T>>>,
    uses: Vec<Use>,
    /// Chunks that may have room. Full ones and ones without memory are dropped on the way.
    room: Vec<u32>,
    /// Chunks without memory.
    absent: Vec<u32>,
    /// The memory of those, until somebody takes it to free it.
    spare: Vec<Chunk<T>>,
}

#[derive(Clone, Copy)]
struct Use {
    taken: u64,
    /// Whether the chunk's number is in `room`.
    in_room: bool,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self {
            chunks: Vec::new(),
            uses: Vec::new(),
            room: Vec::new(),
            absent: Vec::new(),
            spare: Vec::new(),
        }
    }
}

impl<T> Slab<T> {
    /// Puts `value` into a free slot, and gives its number.
    pub(crate) fn insert(&mut self, value: T) -> u32 {
        let number = self.chunk_with_room();
        let usage = &mut self.uses[number as usize];
        let place = usage.taken.trailing_ones();
        usage.taken |= 1 << place;
        let chunk = self.chunks[number as usize].get_or_insert_with(|| {
            let spare = self.spare.pop();
            spare.unwrap_or_else(|| Box::new([const { None }; SLOTS]))
        });
        chunk[place as usize] = Some(value);
        number * SLOTS as u32 + place
    }

    /// Empties a slot. Its number may be given to another value from now on.
    pub(crate) fn remove(&mut self, slot: u32) -> Option<T> {
        let (number, place) = split(slot);
        let chunk = self.chunks.get_mut(number)?;
        let value = chunk.as_mut()?[place].take()?;
        let usage = &mut self.uses[number];
        usage.taken &= !(1 << place);
        if usage.taken == 0 {
            self.spare.extend(chunk.take());
            self.absent.push(number as u32);
        } else if !usage.in_room {
            usage.in_room = true;
            self.room.push(number as u32);
        }
        Some(value)
    }

    /// What is in a slot, if there is such a slot and it is taken.
    pub(crate) fn get(&self, slot: u32) -> Option<&T> {
        let (number, place) = split(slot);
        self.chunks.get(number)?.as_ref()?[place].as_ref()
    }

    pub(crate) fn get_mut(&mut self, slot: u32) -> Option<&mut T> {
        let (number, place) = split(slot);
        self.chunks.get_mut(number)?.as_mut()?[place].as_mut()
    }

    /// The first taken slot from `from` on, in the order of their numbers.
    pub(crate) fn next_taken(&self, from: u32) -> Option<u32> {
        let (first, place) = split(from);
        let mut mask = u64::MAX << place;
        for (number, usage) in self.uses.iter().enumerate().skip(first) {
            let taken = usage.taken & mask;
            if taken != 0 {
                return Some((number * SLOTS) as u32 + taken.trailing_zeros());
            }
            mask = u64::MAX;
        }
        None
    }

    /// The taken slots, in the order of their numbers.
    pub(crate) fn slots(&self) -> impl Iterator<Item = u32> {
        let next = |slot: &u32| self.next_taken(slot.checked_add(1)?);
        std::iter::successors(self.next_taken(0), next)
    }

    /// What is in these slots, in the order of their numbers.
    pub(crate) fn taken(&self, slots: Range<u32>) -> impl Iterator<Item = &T> {
        let next = |slot: &u32| self.next_taken(slot.checked_add(1)?);
        let taken = std::iter::successors(self.next_taken(slots.start), next);
        let taken = taken.take_while(move |slot| *slot < slots.end);
        taken.filter_map(|slot| self.get(slot))
    }

    /// The memory of chunks with nothing in them, for the caller to free where it delays nobody.
    pub(crate) fn take_spare(&mut self) -> Vec<Chunk<T>> {
        std::mem::take(&mut self.spare)
    }

    /// Takes a chunk apart. The slab is not in use any more.
    pub(crate) fn pop_chunk(&mut self) -> Option<Chunk<T>> {
        while let Some(chunk) = self.chunks.pop() {
            if chunk.is_some() {
                return chunk;
            }
        }
        None
    }

    /// The number of a chunk with a free slot. It may be without memory.
    fn chunk_with_room(&mut self) -> u32 {
        while let Some(&number) = self.room.last() {
            let usage = &mut self.uses[number as usize];
            if usage.taken != 0 && usage.taken != u64::MAX {
                return number;
            }
            usage.in_room = false;
            self.room.pop();
        }
        let number = self.absent.pop().unwrap_or_else(|| {
            self.chunks.push(None);
            self.uses.push(Use {
                taken: 0,
                in_room: false,
            });
            (self.chunks.len() - 1) as u32
        });
        self.uses[number as usize].in_room = true;
        self.room.push(number);
        number
    }
}

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
                // More are removed than inserted, now and then, so that chunks empty themselves.
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
    fn a_walk_begins_each_chunk_at_its_start() {
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
    fn nothing_is_kept_of_what_was_removed() {
        let mut slab = Slab::default();
        for round in 0..100 {
            let slots: Vec<u32> = (0..10_000).map(|n| slab.insert(n)).collect();
            assert!(slab.chunks.len() <= 10_000 / SLOTS + 1, "round {round}");
            for slot in slots {
                slab.remove(slot);
            }
            assert!(slab.room.len() <= slab.chunks.len(), "round {round}");
            let spare = slab.take_spare();
            assert_eq!(spare.len(), slab.chunks.len(), "all of the memory");
            assert!(slab.chunks.iter().all(Option::is_none));
        }
    }
}
