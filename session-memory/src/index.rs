//! The slots of a slab, by the hashes of their values.

use hashbrown::HashTable;

/// The capacity below which shrinking is not worth its cost.
const MIN_CAPACITY: usize = 64;

/// Finds slots by the hashes of their values. It does not hold the values: a search compares them
/// with a closure. The hash is kept beside the slot, so that growing does not read the values; with
/// a million sessions, growing then takes a third of the time.
#[derive(Default)]
pub(crate) struct Index(HashTable<(u32, u32)>);

impl Index {
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The slot with this hash for which `is` holds.
    pub(crate) fn find(&self, hash: u32, is: impl Fn(u32) -> bool) -> Option<u32> {
        let same = |(other, slot): &(u32, u32)| *other == hash && is(*slot);
        self.0.find(spread(hash), same).map(|(_, slot)| *slot)
    }

    /// Adds a slot that is not in the index.
    pub(crate) fn insert(&mut self, hash: u32, slot: u32) {
        let hash_of = |(hash, _): &(u32, u32)| spread(*hash);
        self.0.insert_unique(spread(hash), (hash, slot), hash_of);
    }

    /// Removes a slot, if it is in the index.
    pub(crate) fn remove(&mut self, hash: u32, slot: u32) {
        if let Ok(found) = self.0.find_entry(spread(hash), |(_, other)| *other == slot) {
            found.remove();
        }
    }

    /// Frees memory if most of the capacity is unused.
    pub(crate) fn shrink(&mut self) {
        let wanted = 2 * self.0.len();
        if self.0.capacity() > MIN_CAPACITY.max(4 * wanted) {
            self.0.shrink_to(wanted, |(hash, _)| spread(*hash));
        }
    }
}

/// hashbrown takes the bucket from the lowest bits and a tag from the seven highest.
fn spread(hash: u32) -> u64 {
    (u64::from(hash) << 32) | u64::from(hash)
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, HashSet};

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_finds_what_a_map_finds(
            steps in prop::collection::vec(any::<(u8, u16)>(), 0..1_500),
            // With few hashes, many values share a bucket.
            hashes in prop::sample::select(vec![1_u32, 7, u32::MAX]),
        ) {
            let hash_of = |slot: u32| slot.wrapping_mul(0x9E37_79B9) % hashes;
            let (mut index, mut model) = (Index::default(), HashMap::new());
            for (kind, slot) in steps {
                let slot = u32::from(slot % 256);
                match kind % 4 {
                    0 | 1 if !model.contains_key(&slot) => {
                        index.insert(hash_of(slot), slot);
                        model.insert(slot, ());
                    }
                    2 => {
                        index.remove(hash_of(slot), slot);
                        model.remove(&slot);
                    }
                    3 if kind < 8 => index.shrink(),
                    _ => {}
                }
                let found = index.find(hash_of(slot), |other| other == slot);
                prop_assert_eq!(found.is_some(), model.contains_key(&slot));
                prop_assert_eq!(index.len(), model.len());
            }
        }
    }

    #[test]
    fn the_bucket_and_the_tag_are_different_bits() {
        // Hashes that share a bucket of a small table, and hashes with the same tag.
        let tags: HashSet<u64> = (0..128).map(|n| spread(n << 25 | 7) >> 57).collect();
        let buckets: HashSet<u64> = (0..128).map(|n| spread(7 << 25 | n) & 127).collect();
        assert_eq!((tags.len(), buckets.len()), (128, 128));
    }

    #[test]
    fn memory_is_freed_when_most_slots_have_gone() {
        let (mut index, hash_of) = (Index::default(), |slot: u32| slot.wrapping_mul(0x9E37_79B9));
        (0..10_000).for_each(|slot| index.insert(hash_of(slot), slot));
        (100..10_000).for_each(|slot| index.remove(hash_of(slot), slot));
        index.shrink();
        assert!(index.0.capacity() < 1_000, "{}", index.0.capacity());
        let stayed = |slot: &u32| index.find(hash_of(*slot), |other| other == *slot);
        assert!((0..100).all(|slot| stayed(&slot) == Some(slot)));
    }
}
