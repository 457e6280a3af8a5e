//! Who has which sessions in a shard: each owner once, and the slots of their sessions in order.

use std::collections::BTreeSet;
use std::hash::{BuildHasher, RandomState};

use session_core::Owner;

use crate::index::Index;
use crate::slab::Slab;

/// The owner of nobody's sessions.
pub(crate) const NOBODY: u32 = u32::MAX;

pub(crate) struct Owners {
    known: Slab<Known>,
    index: Index,
    /// The numbers of owners with the slots of their sessions that have not ended.
    sessions: BTreeSet<(u32, u32)>,
    hasher: RandomState,
}

struct Known {
    owner: Owner,
    hash: u32,
    /// How many entries have its number: live sessions, and ended ones that are to be reported.
    uses: u32,
}

impl Owners {
    pub(crate) fn new(hasher: RandomState) -> Self {
        Self {
            known: Slab::default(),
            index: Index::default(),
            sessions: BTreeSet::new(),
            hasher,
        }
    }

    pub(crate) fn get(&self, number: u32) -> Option<&Owner> {
        (number != NOBODY).then(|| &self.known[number].owner)
    }

    /// Gives `owner` the session in `slot`, which has none, and tells the owner's number.
    pub(crate) fn adopt(&mut self, slot: u32, owner: &Owner) -> u32 {
        let number = self.number_of(owner).unwrap_or_else(|| self.add(owner));
        self.known[number].uses += 1;
        self.sessions.insert((number, slot));
        number
    }

    /// Takes the session in `slot`, which is ending, from its owner's. The number stays in use.
    pub(crate) fn unlist(&mut self, number: u32, slot: u32) {
        self.sessions.remove(&(number, slot));
    }

    /// Ends the use of a number by an entry that is not listed any more, and gives its owner.
    pub(crate) fn release(&mut self, number: u32) -> Option<Owner> {
        if number == NOBODY {
            return None;
        }
        let known = &mut self.known[number];
        known.uses -= 1;
        if known.uses > 0 {
            return Some(known.owner.clone());
        }
        self.index.remove(known.hash, number);
        self.known.remove(number).map(|known| known.owner)
    }

    /// The slots of the sessions of `owner`, in order, from `from` on.
    pub(crate) fn slots(&self, owner: &Owner, from: u32) -> impl Iterator<Item = u32> {
        let number = self.number_of(owner).into_iter();
        let slots = number.flat_map(move |number| {
            let all = (number, from)..=(number, u32::MAX);
            self.sessions.range(all)
        });
        slots.map(|(_, slot)| *slot)
    }

    /// Gives memory back that is no longer used.
    pub(crate) fn shrink(&mut self) {
        self.index.shrink();
    }

    /// Frees some owners, if there are any.
    pub(crate) fn dismantle(&mut self) -> bool {
        self.known.pop_chunk().is_some()
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.index.len()
    }

    fn number_of(&self, owner: &Owner) -> Option<u32> {
        let is = |number: u32| self.known[number].owner == *owner;
        self.index.find(self.hash(owner), is)
    }

    fn add(&mut self, owner: &Owner) -> u32 {
        let (owner, hash) = (owner.clone(), self.hash(owner));
        let number = self.known.insert(Known {
            owner,
            hash,
            uses: 0,
        });
        self.index.insert(hash, number);
        number
    }

    fn hash(&self, owner: &Owner) -> u32 {
        self.hasher.hash_one(owner) as u32
    }
}
