//! When which slot is to be looked at, the earliest first.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Below so many the memory is not worth giving back.
const KEPT: usize = 64;

/// A time in microseconds.
pub(crate) type Micros = u64;

/// A time and a slot, in 12 bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(Rust, packed(4))]
struct Due {
    time: Micros,
    slot: u32,
}

/// Slots by time. Nothing is removed before its time: the caller knows for which time a slot waits
/// now, and passes over what comes out for another one. So a destroyed session costs nothing here,
/// nor does a deadline that moves to a later time.
#[derive(Default)]
pub(crate) struct Deadlines(BinaryHeap<Reverse<Due>>);

impl Deadlines {
    /// How many there are, those that nobody waits for any more too.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn insert(&mut self, time: Micros, slot: u32) {
        self.0.push(Reverse(Due { time, slot }));
    }

    /// Takes out the first time by `until`, and its slot.
    pub(crate) fn pop(&mut self, until: Micros) -> Option<(Micros, u32)> {
        if self.earliest() > until {
            return None;
        }
        self.0.pop().map(|Reverse(due)| (due.time, due.slot))
    }

    /// The first time that there is; the end of time if there is none.
    pub(crate) fn earliest(&self) -> Micros {
        self.0.peek().map_or(Micros::MAX, |Reverse(due)| due.time)
    }

    /// Keeps only these, which are all that anybody waits for.
    pub(crate) fn replace(&mut self, all: impl Iterator<Item = (Micros, u32)>) {
        let mut memory = std::mem::take(&mut self.0).into_vec();
        memory.clear();
        memory.extend(all.map(|(time, slot)| Reverse(Due { time, slot })));
        self.0 = memory.into();
    }

    /// Gives memory back once most of it is unused.
    pub(crate) fn shrink(&mut self) {
        let wanted = 2 * self.0.len();
        if self.0.capacity() > KEPT.max(4 * wanted) {
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
        fn all_that_is_due_comes_out_in_order_and_nothing_else(
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
    fn what_is_due_now_comes_out_and_what_is_due_later_does_not() {
        let mut deadlines = Deadlines::default();
        deadlines.insert(10, 1);
        assert_eq!(deadlines.pop(9), None);
        assert_eq!(deadlines.pop(10), Some((10, 1)));
        assert_eq!(deadlines.pop(Micros::MAX - 1), None);
    }

    #[test]
    fn memory_is_given_back_when_most_have_gone() {
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
