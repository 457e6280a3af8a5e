//! Lists whose links are in the values themselves: joining and leaving one costs no allocation.

use std::marker::PhantomData;
use std::ops::IndexMut;

/// No slot.
pub(crate) const NIL: u32 = u32::MAX;

/// A value's neighbours in a list, by their slots. The ends are neighbours too.
#[derive(Clone, Copy)]
pub(crate) struct Links {
    before: u32,
    after: u32,
}

impl Links {
    /// Of a value that is in no list.
    pub(crate) const NONE: Self = Self {
        before: NIL,
        after: NIL,
    };
}

/// A value that can be in one list of the kind `L`.
pub(crate) trait Linked<L> {
    fn links(&self) -> Links;
    fn links_mut(&mut self) -> &mut Links;
}

/// A list of slots. It does not know what the slots are of: each call is given that.
pub(crate) struct List<L> {
    head: u32,
    kind: PhantomData<fn() -> L>,
}

impl<L> Default for List<L> {
    fn default() -> Self {
        Self {
            head: NIL,
            kind: PhantomData,
        }
    }
}

impl<L> List<L> {
    pub(crate) fn is_empty(&self) -> bool {
        self.head == NIL
    }

    pub(crate) fn first(&self) -> Option<u32> {
        (!self.is_empty()).then_some(self.head)
    }

    /// The slot after `slot`, which is in this list; `None` after the last.
    pub(crate) fn after<N>(&self, nodes: &N, slot: u32) -> Option<u32>
    where
        N: IndexMut<u32, Output: Linked<L>>,
    {
        Some(nodes[slot].links().after).filter(|after| *after != self.head)
    }

    /// Adds a slot that is in no such list, as the last.
    pub(crate) fn push<N>(&mut self, nodes: &mut N, slot: u32)
    where
        N: IndexMut<u32, Output: Linked<L>>,
    {
        let (before, after) = match self.head {
            NIL => (slot, slot),
            head => (nodes[head].links().before, head),
        };
        *nodes[slot].links_mut() = Links { before, after };
        nodes[before].links_mut().after = slot;
        nodes[after].links_mut().before = slot;
        if self.is_empty() {
            self.head = slot;
        }
    }

    /// Removes a slot that is in this list.
    pub(crate) fn remove<N>(&mut self, nodes: &mut N, slot: u32)
    where
        N: IndexMut<u32, Output: Linked<L>>,
    {
        let Links { before, after } = std::mem::replace(nodes[slot].links_mut(), Links::NONE);
        if after == slot {
            self.head = NIL;
            return;
        }
        nodes[before].links_mut().after = after;
        nodes[after].links_mut().before = before;
        if self.head == slot {
            self.head = after;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::slab::Slab;

    struct Any;

    impl Linked<Any> for Links {
        fn links(&self) -> Links {
            *self
        }

        fn links_mut(&mut self) -> &mut Links {
            self
        }
    }

    fn all(list: &List<Any>, nodes: &Slab<Links>) -> Vec<u32> {
        let after = |slot: &u32| list.after(nodes, *slot);
        std::iter::successors(list.first(), after).collect()
    }

    proptest! {
        #[test]
        fn it_keeps_the_order_of_a_vec(steps in prop::collection::vec(any::<(u8, usize)>(), 0..200)) {
            let (mut nodes, mut list, mut model) = (Slab::default(), List::default(), Vec::new());
            for (kind, n) in steps {
                match kind % 4 {
                    0 | 1 => {
                        let slot = nodes.insert(Links::NONE);
                        list.push(&mut nodes, slot);
                        model.push(slot);
                    }
                    2 if !model.is_empty() => {
                        let slot = model.remove(n % model.len());
                        list.remove(&mut nodes, slot);
                        nodes.remove(slot);
                    }
                    _ => prop_assert_eq!(list.first(), model.first().copied()),
                }
                prop_assert_eq!(&all(&list, &nodes), &model);
                prop_assert_eq!(list.is_empty(), model.is_empty());
            }
        }
    }
}
