//! Who has which sessions in a shard: each owner once, with a list of their sessions.

use std::hash::{BuildHasher, RandomState};
use std::ops::IndexMut;

use session_core::Owner;

use crate::entry::Entry;
use crate::list::{List, NIL};
use crate::table::Table;

/// The kind of list that an owner's sessions are.
pub(crate) struct ByOwner;

/// The owner of nobody's sessions.
pub(crate) const NOBODY: u32 = NIL;

pub(crate) struct Owners {
    table: Table<Kin>,
    hasher: RandomState,
}

struct Kin {
    owner: Owner,
    /// The sessions that have not ended.
    sessions: List<ByOwner>,
    /// How many entries have its number: those, and ended ones that are to be reported.
    uses: u32,
}

impl Owners {
    pub(crate) fn new(hasher: RandomState) -> Self {
        Self {
            table: Table::default(),
            hasher,
        }
    }

    pub(crate) fn get(&self, number: u32) -> Option<&Owner> {
        (number != NOBODY).then(|| &self.table[number].owner)
    }

    /// Gives the entry in `slot`, which has no owner, this one.
    pub(crate) fn adopt<N>(&mut self, entries: &mut N, slot: u32, owner: &Owner)
    where
        N: IndexMut<u32, Output = Entry>,
    {
        let number = self.number_of(owner).unwrap_or_else(|| {
            let kin = Kin {
                owner: owner.clone(),
                sessions: List::default(),
                uses: 0,
            };
            self.table.insert(self.hash(owner), kin)
        });
        let entry = &mut entries[slot];
        entry.owner = number;
        entry.adoptions = entry.adoptions.wrapping_add(1);
        let kin = &mut self.table[number];
        kin.uses += 1;
        kin.sessions.push(entries, slot);
    }

    /// Takes an entry, which is ending, from its owner's sessions. It still says whose it was.
    pub(crate) fn unlist<N>(&mut self, entries: &mut N, slot: u32)
    where
        N: IndexMut<u32, Output = Entry>,
    {
        let number = entries[slot].owner;
        if number != NOBODY {
            self.table[number].sessions.remove(entries, slot);
        }
    }

    /// Forgets whose an unlisted entry was, and gives that.
    pub(crate) fn release(&mut self, entry: &mut Entry) -> Option<Owner> {
        let number = std::mem::replace(&mut entry.owner, NOBODY);
        if number == NOBODY {
            return None;
        }
        let kin = &mut self.table[number];
        kin.uses -= 1;
        if kin.uses > 0 {
            return Some(kin.owner.clone());
        }
        self.table.remove(number).map(|kin| kin.owner)
    }

    /// The first session of `owner`.
    pub(crate) fn first(&self, owner: &Owner) -> Option<u32> {
        self.table[self.number_of(owner)?].sessions.first()
    }

    /// The session after that in `slot`, of the same owner.
    pub(crate) fn after<N>(&self, entries: &N, slot: u32) -> Option<u32>
    where
        N: IndexMut<u32, Output = Entry>,
    {
        let kin = &self.table[entries[slot].owner];
        kin.sessions.after(entries, slot)
    }

    /// Frees some owners, if there are any.
    pub(crate) fn dismantle(&mut self) -> bool {
        self.table.pop_chunk().is_some()
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    fn number_of(&self, owner: &Owner) -> Option<u32> {
        self.table.find(self.hash(owner), |kin| kin.owner == *owner)
    }

    fn hash(&self, owner: &Owner) -> u32 {
        self.hasher.hash_one(owner) as u32
    }
}
