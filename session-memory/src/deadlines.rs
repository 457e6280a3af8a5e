//! A queue of slots by the time at which their deadlines must be checked.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// The capacity below which shrinking is not worth its cost.
const MIN_CAPACITY: usize = 64;

/// A time in microseconds.
pub(crate) type Micros = u64;

/// A time and a slot, in 12 bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(Rust, packed(4))]
struct Due {
    time: Micros,
    slot: u32,
}

/// Slots by time. An item stays until its time has come: the caller knows the current time of a
/// slot and skips items with another one. So destroying a session or moving its deadline later
/// costs nothing here.
#[derive(Default)]
pub(crate) struct Deadlines(BinaryHeap<Reverse<Due>>);

impl Deadlines {
    /// The number of items, stale ones included.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn insert(&mut self, time: Micros, slot: u32) {
        self.0.push(Reverse(Due { time, slot }));
    }

    /// Removes and returns the earliest item that is due at `until`.
    pub(crate) fn pop(&mut self, until: Micros) -> Option<(Micros, u32)> {
        if self.earliest() > until {
            return None;
        }
        self.0.pop().map(|Reverse(due)| (due.time, due.slot))
    }

    /// The earliest time; `Micros::MAX` if there is none.
    pub(crate) fn earliest(&self) -> Micros {
        self.0.peek().map_or(Micros::MAX, |Reverse(due)| due.time)
    }

    /// Replaces all items, to drop the stale ones.
    pub(crate) fn replace(&mut self, all: impl Iterator<Item = (Micros, u32)>) {
        let mut memory = std::mem::take(&mut self.0).into_vec();
        memory.clear();
        memory.extend(all.map(|(time, slot)| Reverse(Due { time, slot })));
        self.0 = memory.into();
    }

    /// Frees memory if most of the capacity is unused.
    pub(crate) fn shrink(&mut self) {
        let wanted = 2 * self.0.len();
        if self.0.capacity() > MIN_CAPACITY.max(4 * wanted) {
            self.0.shrink_to(wanted);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn due_items_are_popped_in_order_and_no_others(
            steps in prop::collection::vec(any::<(u8, u16, u8)>(), 0..400),
        ) {
            let (mut deadlines, mut model) = (Deadlines::default(), BTreeSet::new());
            let mut now: Micros = 1 << 60;
            for (kind, number, slot) in steps {
                let (time, slot) = (now - 1_000 + Micros::from(number), u32::from(slot));
                match kind % 4 {
                    0 | 1 if model.insert((time, slot)) => deadlines.insert(time, slot),
                    0 | 1 => {}
                    2 => {
                        model.retain(|(_, other)| *other != slot);
                        deadlines.replace(model.iter().copied());
                        deadlines.shrink();
                    }
                    _ => {
                        now += Micros::from(number) / 4;
                        while let Some(due) = deadlines.pop(now) {
                            prop_assert!(due.0 <= now);
                            prop_assert_eq!(Some(due), model.pop_first());
                        }
                    }
                }
                let earliest = model.first().map_or(Micros::MAX, |(time, _)| *time);
                prop_assert_eq!(deadlines.earliest(), earliest);
                prop_assert!(earliest > now || kind % 4 < 3);
            }
        }
    }

    #[test]
    fn an_item_due_now_is_popped_and_a_later_one_is_not() {
        let mut deadlines = Deadlines::default();
        deadlines.insert(10, 1);
        assert_eq!(deadlines.pop(9), None);
        assert_eq!(deadlines.pop(10), Some((10, 1)));
        assert_eq!(deadlines.pop(Micros::MAX - 1), None);
    }

    #[test]
    fn memory_is_freed_when_most_items_have_gone() {
        let mut deadlines = Deadlines::default();
        (0..10_000).for_each(|slot| deadlines.insert(slot.into(), slot));
        (0..9_900).for_each(|_| assert!(deadlines.pop(Micros::MAX).is_some()));
        deadlines.shrink();
        assert!(deadlines.0.capacity() < 1_000, "{}", deadlines.0.capacity());
        assert_eq!((deadlines.len(), deadlines.earliest()), (100, 9_900));
    }

    #[test]
    fn a_deadline_takes_twelve_bytes() {
        assert_eq!(size_of::<Due>(), 12);
    }
}
