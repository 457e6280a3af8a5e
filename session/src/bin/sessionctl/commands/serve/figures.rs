//! Sizes, ages and owners of the sessions of a walk.

use std::collections::HashMap;

use serde_json::{Value, json};
use session_store::SessionInfo;

/// The greatest size of each group in bytes, and its name.
const SIZES: [(u64, &str); 6] = [
    (255, "under 256 B"),
    (1_023, "256 B to 1 KiB"),
    (4_095, "1 to 4 KiB"),
    (16_383, "4 to 16 KiB"),
    (65_535, "16 to 64 KiB"),
    (u64::MAX, "64 KiB and more"),
];

/// The greatest age of each group in seconds, and its name.
const AGES: [(u64, &str); 6] = [
    (59, "under a minute"),
    (3_599, "up to an hour"),
    (86_399, "up to a day"),
    (604_799, "up to a week"),
    (2_591_999, "up to 30 days"),
    (u64::MAX, "30 days and more"),
];

/// How many owners are shown.
const TOP: usize = 10;

/// Counts over the sessions that a walk has seen.
#[derive(Debug, Default)]
pub(super) struct Figures {
    sizes: [u64; SIZES.len()],
    ages: [u64; AGES.len()],
    owners: HashMap<String, u64>,
    without_owner: u64,
}

impl Figures {
    pub(super) fn add(&mut self, session: &SessionInfo) {
        self.sizes[group(&SIZES, session.size as u64)] += 1;
        self.ages[group(&AGES, session.age.as_secs())] += 1;
        match &session.owner {
            Some(owner) => *self.owners.entry(owner.as_str().to_owned()).or_default() += 1,
            None => self.without_owner += 1,
        }
    }

    pub(super) fn json(&self) -> Value {
        json!({
            "sizes": histogram(&SIZES, &self.sizes),
            "ages": histogram(&AGES, &self.ages),
            "owners": self.top().iter().map(|(owner, count)| json!({
                "owner": owner,
                "count": count,
            })).collect::<Vec<_>>(),
            "owner_count": self.owners.len(),
            "without_owner": self.without_owner,
        })
    }

    /// The owners with the most sessions, by name where they have as many.
    fn top(&self) -> Vec<(&str, u64)> {
        let owners = self.owners.iter();
        let mut owners: Vec<(&str, u64)> =
            owners.map(|(owner, &count)| (&**owner, count)).collect();
        owners.sort_by(|(a, x), (b, y)| y.cmp(x).then(a.cmp(b)));
        owners.truncate(TOP);
        owners
    }
}

fn group(groups: &[(u64, &str)], value: u64) -> usize {
    groups.partition_point(|(most, _)| *most < value)
}

fn histogram(groups: &[(u64, &str)], counts: &[u64]) -> Vec<Value> {
    let bars = groups.iter().zip(counts);
    bars.map(|((_, label), count)| json!({ "label": label, "count": count }))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_fall_into_the_group_that_they_do_not_exceed() {
        for (bytes, at) in [
            (0, 0),
            (255, 0),
            (256, 1),
            (65_535, 4),
            (65_536, 5),
            (u64::MAX, 5),
        ] {
            assert_eq!(group(&SIZES, bytes), at, "{bytes}");
        }
        assert_eq!(group(&AGES, 60), 1);
    }

    #[test]
    fn owners_are_listed_by_how_many_sessions_they_have() {
        let mut figures = Figures::default();
        for (owner, count) in [("b", 2), ("a", 2), ("c", 5)] {
            figures.owners.insert(owner.to_owned(), count);
        }
        assert_eq!(figures.top(), [("c", 5), ("a", 2), ("b", 2)]);
    }
}
