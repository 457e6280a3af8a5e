//! Many saves in one `UPDATE`.
//!
//! Each row takes its own values from lists of values. `FIELD` or `CASE` would find a row's place in
//! the list by comparing its id with up to 128 others, once for each of five columns. `INTERVAL`
//! finds a number in a sorted list by halves, so the place is looked up by the checksum (CRC-32) of
//! the id; `ELT` takes what is at that place of another list.
//!
//! # An example
//! The sessions `a`, `b` and `c` are saved. Their checksums are 3904355907, 1908338681 and
//! 112844655, so in ascending order they are `c`, `b`, `a`. Statements are prepared for 1, 2, 4, 8, …
//! sessions, so the list is filled up to four by `a` again. Of the columns, only two are shown:
//!
//! ```sql
//! UPDATE `session_store` SET
//!     `stamp` = ELT(
//!         INTERVAL(CRC32(`id`) + 0E0, 112844655, 1908338681, 3904355907, 3904355907),
//!         'stamp of c', 'stamp of b', 'stamp of a', 'stamp of a'),
//!     `data` = ELT(
//!         INTERVAL(CRC32(`id`) + 0E0, 112844655, 1908338681, 3904355907, 3904355907),
//!         'data of c', 'data of b', NULL, 'data of a')
//! WHERE `id` IN ('c', 'b', 'a', 'a')
//!     AND `stamp` = ELT(
//!         INTERVAL(CRC32(`id`) + 0E0, 112844655, 1908338681, 3904355907, 3904355907),
//!         'expected of c', 'expected of b', 'expected of a', 'expected of a')
//! ```
//!
//! * In the row of `b`, `INTERVAL` gives how many of the numbers are at most 1908338681, which is 2:
//!   `ELT` takes the second of each list.
//! * In the row of `a` it gives 4. Where a number is there several times, the last place counts, so
//!   the data of `a` need not be sent for the third.
//! * `+ 0E0` makes the number a double, as those that are bound are.
//!
//! Two ids of one checksum would share a place: they go in different statements. All that are saved
//! by one statement have the same limits, which it has once.

use session_core::backend::Save;

use crate::bind::lifetime;
use crate::row::{credential_bytes, id_bytes, owner_bytes};
use crate::schema::Statements;
use crate::statement::{Bound, Filled};

/// Neither compares nor writes anything that a single save does not.
///
/// Binds: the checksums, the stamps; the checksums, the credentials; the checksums, the owners;
/// the binds of `{lifetime}`; the checksums, the data; the ids; the checksums, the expected stamps.
pub(crate) const SAVE_MANY: &str = "\
UPDATE {table} SET `version` = {version}, `stamp` = {own}, `credential` = {own}, `owner` = {own},
    {lifetime},
    `data` = {own}
WHERE `id` IN ({ids}) AND `stamp` = {own} AND {live}";

/// What the row has of a list: `{own}`.
pub(crate) const OWN: &str = "ELT(INTERVAL(CRC32(`id`) + 0E0, {ids}), {ids})";

/// A save, and the checksum of its id.
type Summed<'s> = (u32, &'s Save);

impl Statements {
    /// Saves sessions that have the same limits, in the order of their checksums.
    pub(crate) fn save_many(&self, items: &[Summed<'_>]) -> Bound {
        let (query, saves) = self.save_many.query(items);
        let sums = |query| saves.bind(query, |query, (sum, _)| query.bind(f64::from(*sum)));
        let query = saves.bind(sums(query), |query, (_, save)| {
            query.bind(save.draft.stamp.as_bytes().as_slice())
        });
        let query = saves.bind(sums(query), |query, (_, save)| {
            query.bind(credential_bytes(&save.draft))
        });
        let query = saves.bind(sums(query), |query, (_, save)| {
            query.bind(owner_bytes(&save.draft))
        });
        let query = match items {
            [(_, first), ..] => lifetime(query, &first.draft),
            [] => query,
        };
        let query = bind_once(saves, sums(query), |(_, save)| &*save.draft.data);
        let query = saves.bind(query, |query, (_, save)| query.bind(id_bytes(&save.id)));
        saves.bind(sums(query), |query, (_, save)| {
            query.bind(save.expected.stamp().as_bytes().as_slice())
        })
    }
}

/// Binds something large of each item once: what fills up goes in front of the last one, and is
/// null.
fn bind_once<'i, T>(
    items: Filled<'i, T>,
    query: Bound,
    large: impl Fn(&'i T) -> &'i [u8],
) -> Bound {
    let Some((last, others)) = items.items.split_last() else {
        return query;
    };
    let query = (others.iter()).fold(query, |query, item| query.bind(large(item)));
    let filling = items.items.len()..items.size;
    let query = filling.fold(query, |query, _| query.bind(None::<&[u8]>));
    query.bind(large(last))
}

/// `saves` in lists that one statement can save: in the order of their ids' checksums, of which no
/// two are the same.
pub(crate) fn split_by_checksum<'s>(
    saves: impl IntoIterator<Item = &'s Save>,
) -> Vec<Vec<Summed<'s>>> {
    let sum = |save: &Save| crc32fast::hash(id_bytes(&save.id));
    let mut rest: Vec<Summed<'s>> = saves.into_iter().map(|save| (sum(save), save)).collect();
    rest.sort_unstable_by_key(|(sum, _)| *sum);
    let mut lists = Vec::with_capacity(1);
    while !rest.is_empty() {
        let mut list: Vec<Summed<'s>> = Vec::with_capacity(rest.len());
        rest.retain(|next| {
            let again = list.last().is_some_and(|(sum, _)| *sum == next.0);
            if !again {
                list.push(*next);
            }
            again
        });
        lists.push(list);
    }
    lists
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use session_core::{Draft, Lifetime, SessionId, Stamp, Version};
    use sqlx::Execute;

    use super::*;

    fn save(id: &str) -> Save {
        let draft = Draft::new("{}", Lifetime::idle(Duration::from_secs(60)));
        let id = SessionId::from_stored(id).expect("valid");
        Save::new(id, draft, Version::new(Stamp::generate()))
    }

    #[test]
    fn saves_are_in_the_order_of_their_checksums() {
        let saves = ["a", "b", "c"].map(save);
        let lists = split_by_checksum(&saves);
        let sums: Vec<(u32, &str)> = (lists.iter().flatten())
            .map(|(sum, save)| (*sum, save.id.as_str()))
            .collect();
        let expected = [
            (112_844_655, "c"),
            (1_908_338_681, "b"),
            (3_904_355_907, "a"),
        ];
        assert_eq!(lists.len(), 1);
        assert_eq!(sums, expected);
    }

    #[test]
    fn ids_of_one_checksum_go_apart() {
        // The checksums of the second and the last are the same.
        let saves = ["a", "plumless", "b", "c", "buckeroo"].map(save);
        let lists = split_by_checksum(&saves);
        let sizes: Vec<usize> = lists.iter().map(Vec::len).collect();
        assert_eq!(sizes, [4, 1]);
        for list in &lists {
            assert!(list.is_sorted_by(|a, b| a.0 < b.0));
        }
        let all = lists.iter().flatten().map(|(_, save)| save.id.as_str());
        assert_eq!(all.collect::<BTreeSet<&str>>().len(), 5);
    }

    #[test]
    fn what_is_large_is_sent_once_and_stands_last() {
        let many = Statements::new("t").save_many;
        let bound = |items: &[&str], binds: &[Option<&str>]| {
            let (query, filled) = many.query(items);
            let mut once = bind_once(filled, query, |item| item.as_bytes());
            let query = many.query(items).0;
            let bytes = binds.iter().map(|bind| bind.map(str::as_bytes));
            let mut each = bytes.fold(query, |query, bytes| query.bind(bytes));
            let [once, each] = [&mut once, &mut each].map(|query| query.take_arguments());
            (format!("{once:?}"), format!("{each:?}"))
        };
        let (once, each) = bound(&["a"], &[Some("a")]);
        assert_eq!(once, each);
        let three = [Some("c"), Some("b"), None, Some("a")];
        let (once, each) = bound(&["c", "b", "a"], &three);
        assert_eq!(once, each);
    }
}
