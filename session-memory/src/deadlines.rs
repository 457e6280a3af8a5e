//! When which slot is to be looked at, the earliest first.

use std::collections::BTreeSet;

/// A time in microseconds.
pub(crate) type Micros = u64;

/// A time and a slot, in 12 bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(Rust, packed(4))]
struct Due {
    time: Micros,
    slot: u32,
}

/// Slots by time. Whoever gets one that is due looks whether its session has really expired, or
/// puts it back for the deadline it has by now: so moving a deadline to a later time costs nothing.
#[derive(Default)]
pub(crate) struct Deadlines(BTreeSet<Due>);

impl Deadlines {
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn insert(&mut self, time: Micros, slot: u32) {
        self.0.insert(Due { time, slot });
    }

    /// Removes a slot by the time it was inserted for.
    pub(crate) fn remove(&mut self, time: Micros, slot: u32) {
        self.0.remove(&Due { time, slot });
    }

    /// Takes out a slot whose time has come by `until`.
    pub(crate) fn pop(&mut self, until: Micros) -> Option<u32> {
        if self.earliest() > until {
            return None;
        }
        self.0.pop_first().map(|due| due.slot)
    }

    /// The first time that a slot waits for; the end of time if none does.
    pub(crate) fn earliest(&self) -> Micros {
        self.0.first().map_or(Micros::MAX, |due| due.time)
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
                    0 | 1 => {
                        deadlines.insert(time, slot);
                        model.insert((time, slot));
                    }
                    2 => {
                        if let Some((time, slot)) = model.pop_last() {
                            deadlines.remove(time, slot);
                        }
                    }
                    _ => {
                        now += Micros::from(number) / 4;
                        while let Some(slot) = deadlines.pop(now) {
                            let (time, expected) = model.pop_first().expect("one more");
                            prop_assert!(time <= now);
                            prop_assert_eq!(slot, expected);
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
    fn a_deadline_takes_twelve_bytes() {
        assert_eq!(size_of::<Due>(), 12);
    }
}
