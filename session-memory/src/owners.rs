//! The owner index of a shard: each owner once, with the slots of its sessions in order.

use std::collections::BTreeSet;
use std::hash::{BuildHasher, RandomState};

use session_core::Owner;

use crate::index::Index;
use crate::slab::Slab;

/// The owner number of sessions without an owner.
pub(crate) const NO_OWNER: u32 = u32::MAX;

pub(crate) struct Owners {
    owners: Slab<OwnerEntry>,
    index: Index,
    /// The number of an owner and the slot of one of its sessions, for all that have not ended.
    sessions: BTreeSet<(u32, u32)>,
    hasher: RandomState,
}

struct OwnerEntry {
    owner: Owner,
    hash: u32,
    /// How many entries refer to it: live sessions, and ended ones that are not yet reported.
    uses: u32,
}

impl Owners {
    pub(crate) fn new(hasher: RandomState) -> Self {
        Self {
            owners: Slab::default(),
            index: Index::default(),
            sessions: BTreeSet::new(),
            hasher,
        }
    }

    pub(crate) fn get(&self, number: u32) -> Option<&Owner> {
        (number != NO_OWNER).then(|| &self.owners[number].owner)
    }

    /// Adds the session in `slot`, which has no owner, to `owner` and returns the owner's number.
    pub(crate) fn add_session(&mut self, slot: u32, owner: &Owner) -> u32 {
        let number = self.number_of(owner).unwrap_or_else(|| self.add(owner));
        self.owners[number].uses += 1;
        self.sessions.insert((number, slot));
        number
    }

    /// Removes the session in `slot` from its owner's. The entry still refers to the owner.
    pub(crate) fn remove_session(&mut self, number: u32, slot: u32) {
        self.sessions.remove(&(number, slot));
    }

    /// Ends an entry's reference to the owner and returns the owner. The session must be removed.
    pub(crate) fn release(&mut self, number: u32) -> Option<Owner> {
        if number == NO_OWNER {
            return None;
        }
        let entry = &mut self.owners[number];
        entry.uses -= 1;
        if entry.uses > 0 {
            return Some(entry.owner.clone());
        }
        self.index.remove(entry.hash, number);
        self.owners.remove(number).map(|entry| entry.owner)
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

    /// Frees memory if most of the capacity is unused.
    pub(crate) fn shrink(&mut self) {
        self.index.shrink();
    }

    /// Frees some owners of a discarded shard. Returns whether there were any.
    pub(crate) fn dismantle(&mut self) -> bool {
        self.owners.pop_chunk().is_some()
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.index.len()
    }

    fn number_of(&self, owner: &Owner) -> Option<u32> {
        let is = |number: u32| self.owners[number].owner == *owner;
        self.index.find(self.hash(owner), is)
    }

    fn add(&mut self, owner: &Owner) -> u32 {
        let (owner, hash) = (owner.clone(), self.hash(owner));
        let number = self.owners.insert(OwnerEntry {
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
