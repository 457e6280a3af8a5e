//! A hash table that grows by one bucket at a time, so that no insertion waits for a rehash.
//!
//! It is linear hashing (Litwin, 1980): buckets are split in turn, each when the table has become
//! a little fuller. A bucket is the slot of its first value; the next one's is beside each value.

use std::ops::{Index, IndexMut, Range};

use crate::list::NIL;
use crate::slab::{Chunk, Slab};

/// The chain of a value that is no longer to be found.
const UNLISTED: u32 = NIL - 1;
/// Heads are allocated in segments, which never move.
const SEGMENT: usize = 256;
/// Two buckets a value: most hold one or none. Fewer are wanted from four a value on.
const LEAST: usize = 2;
const MOST: usize = 4;

/// A value with what the table knows of it.
pub(crate) struct Node<T> {
    value: T,
    hash: u32,
    chain: u32,
}

/// Values to be found by their hash, in slots that never move.
pub(crate) struct Table<T> {
    nodes: Slab<Node<T>>,
    heads: Vec<Box<[u32]>>,
    buckets: usize,
    listed: usize,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self {
            nodes: Slab::default(),
            heads: Vec::new(),
            buckets: 0,
            listed: 0,
        }
    }
}

impl<T> Table<T> {
    /// How many values can be found.
    pub(crate) fn len(&self) -> usize {
        self.listed
    }

    /// The slot of the value with this hash that `is` the one.
    pub(crate) fn find(&self, hash: u32, is: impl Fn(&T) -> bool) -> Option<u32> {
        if self.buckets == 0 {
            return None;
        }
        let mut slot = self.head(self.bucket_of(hash));
        while slot != NIL {
            let node = &self.nodes[slot];
            if node.hash == hash && is(&node.value) {
                return Some(slot);
            }
            slot = node.chain;
        }
        None
    }

    /// Adds a value, which is not yet there.
    pub(crate) fn insert(&mut self, hash: u32, value: T) -> u32 {
        self.listed += 1;
        for _ in 0..LEAST {
            if self.buckets < LEAST * self.listed {
                self.split();
            }
        }
        let bucket = self.bucket_of(hash);
        let chain = self.head(bucket);
        let slot = self.nodes.insert(Node { value, hash, chain });
        self.set_head(bucket, slot);
        slot
    }

    /// Makes a value unfindable, but leaves it in its slot.
    pub(crate) fn unlist(&mut self, slot: u32) {
        let node = &mut self.nodes[slot];
        let (hash, chain) = (node.hash, node.chain);
        if chain == UNLISTED {
            return;
        }
        node.chain = UNLISTED;
        let bucket = self.bucket_of(hash);
        let mut before = self.head(bucket);
        if before == slot {
            self.set_head(bucket, chain);
        } else {
            while self.nodes[before].chain != slot {
                before = self.nodes[before].chain;
            }
            self.nodes[before].chain = chain;
        }
        self.listed -= 1;
        for _ in 0..MOST {
            if self.buckets > MOST * self.listed {
                self.merge();
            }
        }
    }

    /// Removes a value, whether or not it could be found.
    pub(crate) fn remove(&mut self, slot: u32) -> Option<T> {
        self.unlist(slot);
        self.nodes.remove(slot).map(|node| node.value)
    }

    /// The values in these slots that can be found.
    pub(crate) fn listed(&self, slots: Range<u32>) -> impl Iterator<Item = &T> {
        let next = |slot: &u32| self.nodes.next_taken(slot.checked_add(1)?);
        let taken = std::iter::successors(self.nodes.next_taken(slots.start), next);
        let nodes = taken.take_while(move |slot| *slot < slots.end);
        let nodes = nodes.map(|slot| &self.nodes[slot]);
        let listed = nodes.filter(|node| node.chain != UNLISTED);
        listed.map(|node| &node.value)
    }

    /// The hash of the value in `slot`.
    pub(crate) fn hash(&self, slot: u32) -> u32 {
        self.nodes[slot].hash
    }

    /// The value in `slot`, if there is one with this hash that can be found.
    pub(crate) fn get(&self, slot: u32, hash: u32) -> Option<&T> {
        let node = self.nodes.get(slot)?;
        (node.hash == hash && node.chain != UNLISTED).then_some(&node.value)
    }

    /// See [`Slab::next_taken`].
    pub(crate) fn next_taken(&self, from: u32) -> Option<u32> {
        self.nodes.next_taken(from)
    }

    /// Takes values out of a table that is not in use any more, some at a time.
    pub(crate) fn pop_chunk(&mut self) -> Option<impl Iterator<Item = T> + use<T>> {
        let nodes: Box<[_]> = self.nodes.pop_chunk()?;
        Some(nodes.into_iter().flatten().map(|node| node.value))
    }

    /// See [`Slab::take_spare`].
    pub(crate) fn take_spare(&mut self) -> Vec<Chunk<Node<T>>> {
        self.nodes.take_spare()
    }

    /// Adds a bucket, and moves to it what belongs there of the one it is split from.
    fn split(&mut self) {
        if self.buckets.is_multiple_of(SEGMENT) {
            self.heads.push(vec![NIL; SEGMENT].into());
        }
        let new = self.buckets;
        self.buckets += 1;
        if new == 0 {
            return;
        }
        let old = partner(new);
        let mut slot = self.head(old);
        let (mut stay, mut go) = (NIL, NIL);
        while slot != NIL {
            let bucket = self.bucket_of(self.nodes[slot].hash);
            let chain = if bucket == new { &mut go } else { &mut stay };
            let next = std::mem::replace(&mut self.nodes[slot].chain, *chain);
            *chain = slot;
            slot = next;
        }
        self.set_head(old, stay);
        self.set_head(new, go);
    }

    /// Removes the last bucket, and moves what is in it to the one it was split from.
    fn merge(&mut self) {
        let last = self.buckets - 1;
        let mut slot = self.head(last);
        while slot != NIL {
            let target = partner(last);
            let chain = self.head(target);
            let next = std::mem::replace(&mut self.nodes[slot].chain, chain);
            self.set_head(target, slot);
            slot = next;
        }
        self.set_head(last, NIL);
        self.buckets = last;
        if last.is_multiple_of(SEGMENT) {
            self.heads.pop();
        }
    }

    fn bucket_of(&self, hash: u32) -> usize {
        let mask = self.buckets.next_power_of_two() - 1;
        let bucket = hash as usize & mask;
        // Not yet split from its partner.
        if bucket < self.buckets {
            bucket
        } else {
            bucket & (mask >> 1)
        }
    }

    fn head(&self, bucket: usize) -> u32 {
        self.heads[bucket / SEGMENT][bucket % SEGMENT]
    }

    fn set_head(&mut self, bucket: usize, slot: u32) {
        self.heads[bucket / SEGMENT][bucket % SEGMENT] = slot;
    }
}

/// The bucket that `bucket`, which is not the first, is split from: without its highest bit.
fn partner(bucket: usize) -> usize {
    bucket ^ (1 << bucket.ilog2())
}

impl<T> Index<u32> for Table<T> {
    type Output = T;

    fn index(&self, slot: u32) -> &T {
        &self.nodes[slot].value
    }
}

impl<T> IndexMut<u32> for Table<T> {
    fn index_mut(&mut self, slot: u32) -> &mut T {
        &mut self.nodes[slot].value
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    fn find(table: &Table<u32>, hash: u32, value: u32) -> Option<u32> {
        table.find(hash, |found| *found == value)
    }

    proptest! {
        #[test]
        fn it_finds_what_a_map_finds(
            steps in prop::collection::vec(any::<(u8, u16)>(), 0..1_500),
            // Few hashes are many values in one bucket.
            hashes in prop::sample::select(vec![1_u32, 7, u32::MAX]),
        ) {
            let (mut table, mut model) = (Table::default(), HashMap::new());
            for (kind, value) in steps {
                let value = u32::from(value % 256);
                let hash = value.wrapping_mul(0x9E37_79B9) % hashes;
                let before = table.buckets;
                match (kind % 4, model.get(&value).copied()) {
                    (0 | 1, None) => {
                        let slot = table.insert(hash, value);
                        prop_assert_eq!(table.get(slot, hash), Some(&value));
                        prop_assert_eq!(table.get(slot, !hash), None, "another's slot");
                        model.insert(value, slot);
                    }
                    (2, Some(slot)) => {
                        prop_assert_eq!(table.remove(slot), Some(value));
                        model.remove(&value);
                    }
                    (3, Some(slot)) if kind < 32 => {
                        table.unlist(slot);
                        model.remove(&value);
                        prop_assert_eq!(table[slot], value, "it is still there");
                        prop_assert_eq!(table.get(slot, hash), None, "but not to be found");
                    }
                    (_, slot) => prop_assert_eq!(find(&table, hash, value), slot),
                }
                prop_assert!(table.buckets.abs_diff(before) <= MOST, "it changes little by little");
                prop_assert_eq!(table.len(), model.len());
                let wanted = LEAST * table.len()..=MOST * table.len();
                prop_assert!(wanted.contains(&table.buckets), "{} of {}", table.buckets, table.len());
            }
            let mut listed: Vec<u32> = table.listed(0..u32::MAX).copied().collect();
            let mut values: Vec<u32> = model.keys().copied().collect();
            listed.sort_unstable();
            values.sort_unstable();
            prop_assert_eq!(listed, values);
        }
    }

    #[test]
    fn who_stays_is_found_however_many_go() {
        let (mut table, hash) = (Table::default(), |n: u32| n.wrapping_mul(0x9E37_79B9));
        let slots: Vec<u32> = (0..10_000).map(|n| table.insert(hash(n), n)).collect();
        for (n, slot) in slots.iter().enumerate().filter(|(n, _)| n % 100 > 0) {
            assert_eq!(table.remove(*slot), Some(n as u32));
        }
        assert!(table.buckets <= MOST * 100 && table.heads.len() <= 2);
        for n in (0..10_000).step_by(100) {
            assert_eq!(find(&table, hash(n), n), Some(slots[n as usize]));
        }
    }

    #[test]
    fn buckets_are_short_however_many_there_are() {
        let mut table = Table::default();
        for n in 0..100_000_u32 {
            table.insert(n.wrapping_mul(0x9E37_79B9), n);
        }
        let longest = (0..table.buckets).map(|bucket| {
            let chain = |slot: &u32| Some(table.nodes[*slot].chain).filter(|slot| *slot != NIL);
            let head = Some(table.head(bucket)).filter(|slot| *slot != NIL);
            std::iter::successors(head, chain).count()
        });
        assert!(longest.max() < Some(8));
    }
}
