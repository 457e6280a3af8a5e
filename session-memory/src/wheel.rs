//! When what is to be looked at: a hierarchical timing wheel over slots, exact to the microsecond.
//!
//! Level 0 has a bucket for each of 64 microseconds, level 1 for each 64 of those, and so on. A
//! slot waits in the level of the highest digit (in base 64) in which its time differs from the
//! wheel's. When the wheel reaches its bucket, the slot is handed out, and whoever gets it looks
//! whether its time has really come, or puts it back: into a lower level, or where it belongs by
//! now. So moving a deadline to a later time costs nothing.

use std::ops::IndexMut;

use crate::list::{Linked, List};

/// A time in microseconds.
pub(crate) type Micros = u64;

const BITS: u32 = 6;
const PLACES: usize = 1 << BITS;
const LEVELS: usize = Micros::BITS.div_ceil(BITS) as usize;

/// The kind of list that a bucket is.
pub(crate) struct ByTime;

/// A bucket, by level and place.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bucket(u16);

impl Bucket {
    /// Of what does not wait.
    pub(crate) const NONE: Self = Self(u16::MAX);

    fn new(level: usize, place: usize) -> Self {
        Self((level * PLACES + place) as u16)
    }

    fn level(self) -> usize {
        usize::from(self.0) / PLACES
    }

    fn place(self) -> usize {
        usize::from(self.0) % PLACES
    }
}

/// A value that can wait in a wheel.
pub(crate) trait Timed: Linked<ByTime> {
    fn bucket(&self) -> Bucket;
    fn set_bucket(&mut self, bucket: Bucket);
}

#[derive(Default)]
pub(crate) struct Wheel {
    /// All that is due before has been handed out.
    now: Micros,
    levels: [Level; LEVELS],
    /// The bucket that is being emptied. The wheel has reached it, so nothing new gets there
    /// unless it is due at once.
    open: Option<Bucket>,
}

#[derive(Default)]
struct Level {
    /// The places with something in them, a bit each.
    occupied: u64,
    /// Empty until the level is used for the first time.
    buckets: Vec<List<ByTime>>,
}

impl Wheel {
    /// Lets a slot, which is not waiting, wait for a time. One that has passed is due at once.
    pub(crate) fn insert<N>(&mut self, nodes: &mut N, slot: u32, time: Micros)
    where
        N: IndexMut<u32, Output: Timed>,
    {
        let time = time.max(self.now);
        let highest = ((time ^ self.now) | 1).ilog2();
        let level = (highest / BITS) as usize;
        let place = (time >> (level as u32 * BITS)) as usize % PLACES;
        nodes[slot].set_bucket(Bucket::new(level, place));
        let level = &mut self.levels[level];
        if level.buckets.is_empty() {
            level.buckets.resize_with(PLACES, List::default);
        }
        level.buckets[place].push(nodes, slot);
        level.occupied |= 1 << place;
    }

    /// Takes a slot out, if it is waiting.
    pub(crate) fn remove<N>(&mut self, nodes: &mut N, slot: u32)
    where
        N: IndexMut<u32, Output: Timed>,
    {
        let bucket = nodes[slot].bucket();
        if bucket == Bucket::NONE {
            return;
        }
        nodes[slot].set_bucket(Bucket::NONE);
        let level = &mut self.levels[bucket.level()];
        let list = &mut level.buckets[bucket.place()];
        list.remove(nodes, slot);
        if list.is_empty() {
            level.occupied &= !(1 << bucket.place());
            self.open = self.open.filter(|open| *open != bucket);
        }
    }

    /// Takes out a slot whose bucket begins by `until`: its time may have come. No slot whose time
    /// is by `until` is left waiting when there is none to take.
    pub(crate) fn pop<N>(&mut self, nodes: &mut N, until: Micros) -> Option<u32>
    where
        N: IndexMut<u32, Output: Timed>,
    {
        let bucket = self.open.or_else(|| self.reach(until))?;
        self.open = Some(bucket);
        let slot = self.levels[bucket.level()].buckets[bucket.place()].first()?;
        self.remove(nodes, slot);
        Some(slot)
    }

    /// Goes on to the next bucket with something in it, or to `until` if that is earlier.
    fn reach(&mut self, until: Micros) -> Option<Bucket> {
        let next = self.earliest();
        let due = next.filter(|(_, begins)| *begins <= until);
        self.now = self.now.max(due.map_or(until, |(_, begins)| begins));
        due.map(|(bucket, _)| bucket)
    }

    /// Until when nothing is due; the end of time if nothing waits.
    pub(crate) fn quiet_until(&self) -> Micros {
        self.earliest().map_or(Micros::MAX, |(_, begins)| begins)
    }

    /// The first bucket with something in it, and when it begins. A lower level comes before all
    /// higher ones: its times differ from the wheel's in lower digits only.
    fn earliest(&self) -> Option<(Bucket, Micros)> {
        let level = self.levels.iter().position(|level| level.occupied != 0)?;
        let place = self.levels[level].occupied.trailing_zeros();
        let shift = level as u32 * BITS;
        let above = Micros::MAX.checked_shl(shift + BITS).unwrap_or(0);
        let begins = (self.now & above) | (Micros::from(place) << shift);
        Some((Bucket::new(level, place as usize), begins))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::list::Links;
    use crate::slab::Slab;

    struct Waiting {
        links: Links,
        bucket: Bucket,
    }

    impl Linked<ByTime> for Waiting {
        fn links(&self) -> Links {
            self.links
        }

        fn links_mut(&mut self) -> &mut Links {
            &mut self.links
        }
    }

    impl Timed for Waiting {
        fn bucket(&self) -> Bucket {
            self.bucket
        }

        fn set_bucket(&mut self, bucket: Bucket) {
            self.bucket = bucket;
        }
    }

    const WAITING: Waiting = Waiting {
        links: Links::NONE,
        bucket: Bucket::NONE,
    };

    /// A wheel, and the times that its slots wait for.
    #[derive(Default)]
    struct Model {
        nodes: Slab<Waiting>,
        wheel: Wheel,
        times: BTreeMap<u32, Micros>,
    }

    impl Model {
        fn add(&mut self, time: Micros) {
            let slot = self.nodes.insert(WAITING);
            self.wheel.insert(&mut self.nodes, slot, time);
            self.times.insert(slot, time);
        }

        fn remove(&mut self, n: usize) {
            let chosen = self.times.keys().nth(n % (self.times.len() + 1)).copied();
            if let Some(slot) = chosen {
                self.wheel.remove(&mut self.nodes, slot);
                self.nodes.remove(slot);
                self.times.remove(&slot);
            }
        }

        /// Up to `most` steps: the number of steps made, and the times that had come.
        fn pop(&mut self, until: Micros, most: usize) -> (usize, Vec<Micros>) {
            let mut due = Vec::new();
            for step in 0..most {
                let Some(slot) = self.wheel.pop(&mut self.nodes, until) else {
                    return (step, due);
                };
                let time = self.times[&slot];
                if time > until {
                    self.wheel.insert(&mut self.nodes, slot, time);
                    continue;
                }
                self.nodes.remove(slot);
                self.times.remove(&slot);
                due.push(time);
            }
            (most, due)
        }
    }

    proptest! {
        #[test]
        fn all_that_is_due_comes_out_and_nothing_else(
            start in prop::sample::select(vec![0, 1 << 60, (1 << 60) + 4_095, u64::MAX - 100_000]),
            steps in prop::collection::vec(any::<(u8, u32, u8)>(), 0..400),
        ) {
            let mut model = Model::default();
            let mut now: Micros = start;
            for (kind, number, size) in steps {
                // From next to nothing to an hour, and now and then to the end of time.
                let ahead = Micros::from(number) >> (size % 32);
                match kind % 8 {
                    0..=2 => model.add(now.saturating_add(ahead)),
                    3 => model.add(now.saturating_sub(ahead)),
                    4 => model.add(Micros::MAX - ahead),
                    5 => model.remove(number as usize),
                    6 => drop(model.pop(now, number as usize % 4)),
                    _ => {
                        now = now.saturating_add(ahead);
                        let waiting = model.times.len();
                        let (steps, _) = model.pop(now, usize::MAX);
                        prop_assert!(model.times.values().all(|time| *time > now));
                        prop_assert!(steps <= waiting * LEVELS, "{steps} steps for {waiting}");
                    }
                }
            }
            let waiting = model.times.len();
            prop_assert_eq!(model.pop(Micros::MAX, usize::MAX).1.len(), waiting);
            prop_assert!(model.wheel.earliest().is_none());
        }
    }

    #[test]
    fn what_is_not_due_stays_where_it_is() {
        let mut model = Model::default();
        for n in 0..1_000 {
            model.add((1 << 40) + n);
        }
        assert_eq!(model.pop((1 << 40) - 1, usize::MAX), (0, Vec::new()));
    }
}
