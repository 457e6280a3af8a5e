//! Many saves in one `UPDATE`.
//!
//! Each row takes its values from lists. `FIELD` or `CASE` would find a row's position by comparing
//! its id with up to 128 others, once for each of five columns or six. `INTERVAL` finds a number in a
//! sorted list by binary search, so the position is looked up by the checksum (CRC-32) of the id;
//! `ELT` returns the element at that position of another list.
//!
//! # An example
//! The sessions `a`, `b` and `c` are saved. Their checksums are 3904355907, 1908338681 and
//! 112844655, so in ascending order they are `c`, `b`, `a`. Statements are prepared for 1, 2, 4, 8,
//! … sessions, so `a` is repeated to make four. Only two of the columns are shown:
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
//! * For the row of `b`, `INTERVAL` returns how many of the numbers are at most 1908338681, which is 2:
//!   `ELT` returns the second element of each list.
//! * For the row of `a` it returns 4: of equal numbers the last position counts, so the data of `a` is
//!   sent only there.
//! * `+ 0E0` makes the number a double, like the bound numbers.
//!
//! Two ids with the same checksum would share a position, so they go into different statements. All
//! sessions of one statement have the same limits, which are bound once, and all have a description
//! or none has: without, it is one constant, and nothing is bound.

use session_core::backend::Save;
use session_core::{Anchor, Draft, Lifetime};
use session_sql::Padded;
use session_sql::record::{credential_bytes, description_bytes, id_bytes, owner_of};

use crate::Mysql;
use crate::schema::Statements;
use crate::statement::{groups, lifetime};

type Bound = session_sql::Bound<Mysql>;

/// Compares and writes the same as a single save of a draft without a description.
///
/// Binds: the checksums, the stamps; the checksums, the credentials; the checksums, the owners;
/// the binds of `{lifetime}`; the checksums, the data; the ids; the checksums, the expected stamps.
pub(crate) const SAVE_MANY: &str = "\
UPDATE {table} SET `version` = {version}, `stamp` = {own}, `credential` = {own}, `owner` = {own},
    `description` = NULL,
    {lifetime},
    `data` = {own}
WHERE `id` IN ({ids}) AND `stamp` = {own} AND {live}";

/// The same for drafts with descriptions.
///
/// Binds: as `SAVE_MANY`; the checksums, the descriptions after the owners.
pub(crate) const SAVE_MANY_DESCRIBED: &str = "\
UPDATE {table} SET `version` = {version}, `stamp` = {own}, `credential` = {own}, `owner` = {own},
    `description` = {own},
    {lifetime},
    `data` = {own}
WHERE `id` IN ({ids}) AND `stamp` = {own} AND {live}";

/// The element of a list that belongs to the row: `{own}`.
pub(crate) const OWN_VALUE: &str = "ELT(INTERVAL(CRC32(`id`) + 0E0, {ids}), {ids})";

/// A save, and the checksum of its id.
type Checksummed<'s> = (u32, &'s Save);

impl Statements {
    /// Saves sessions that have the same limits, and all of which have a description or none has, in
    /// the order of their checksums.
    pub(crate) fn save_many(&self, saves: &[&Save]) -> Bound {
        let items: Vec<Checksummed<'_>> = saves.iter().map(|save| checksummed(save)).collect();
        self.save_checksummed(&items)
    }

    fn save_checksummed(&self, items: &[Checksummed<'_>]) -> Bound {
        let has_description = |(_, save): &Checksummed<'_>| save.draft.description.is_some();
        let is_described = items.iter().any(has_description);
        let statement = match is_described {
            true => &self.save_many_described,
            false => &self.save_many,
        };
        let (query, saves) = statement.query(items);
        let checksums = |query: Bound| {
            saves.bind(query, |query, (checksum, _)| {
                query.bind(f64::from(*checksum))
            })
        };
        let query = saves.bind(checksums(query), |query, (_, save)| {
            query.bind(save.draft.stamp.as_bytes().as_slice())
        });
        let query = saves.bind(checksums(query), |query, (_, save)| {
            query.bind(credential_bytes(&save.draft))
        });
        let query = saves.bind(checksums(query), |query, (_, save)| {
            query.bind(owner_of(&save.draft))
        });
        let query = match is_described {
            true => saves.bind(checksums(query), |query, (_, save)| {
                query.bind(description_bytes(&save.draft))
            }),
            false => query,
        };
        let query = match items {
            [(_, first), ..] => lifetime(query, &first.draft),
            [] => query,
        };
        let query = bind_once(saves, checksums(query), |(_, save)| &*save.draft.data);
        let query = saves.bind(query, |query, (_, save)| query.bind(id_bytes(&save.id)));
        saves.bind(checksums(query), |query, (_, save)| {
            query.bind(save.expected.stamp().as_bytes().as_slice())
        })
    }
}

/// Binds a large value of each item once: the padding is null and comes before the last item.
fn bind_once<'i, T>(
    items: Padded<'i, T>,
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

fn checksummed(save: &Save) -> Checksummed<'_> {
    (crc32fast::hash(id_bytes(&save.id)), save)
}

/// Groups saves by what one statement can save. Most sites have one lifetime, or two: with
/// "remember me" and without.
pub(crate) fn groups_to_save(saves: &[Save]) -> Vec<Vec<&Save>> {
    if let [save] = saves {
        return vec![vec![save]];
    }
    let groups = groups(saves, |save| shared_by(&save.draft));
    let lists = groups.into_iter().flat_map(split_by_checksum);
    lists
        .map(|list| list.into_iter().map(|(_, save)| save).collect())
        .collect()
}

/// What the drafts of one statement have in common: the limits that it sets once for all its
/// sessions, and whether it sets descriptions.
fn shared_by(draft: &Draft) -> (Lifetime, Anchor, bool) {
    (draft.lifetime, draft.anchor, draft.description.is_some())
}

/// Splits `saves` into lists that one statement can save: sorted by the checksums of their ids,
/// which are distinct.
fn split_by_checksum<'s>(saves: impl IntoIterator<Item = &'s Save>) -> Vec<Vec<Checksummed<'s>>> {
    let mut rest: Vec<Checksummed<'s>> = saves.into_iter().map(checksummed).collect();
    rest.sort_unstable_by_key(|(checksum, _)| *checksum);
    let mut lists = Vec::with_capacity(1);
    while !rest.is_empty() {
        let mut list: Vec<Checksummed<'s>> = Vec::with_capacity(rest.len());
        rest.retain(|next| {
            let again = list.last().is_some_and(|(checksum, _)| *checksum == next.0);
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
        let checksums: Vec<(u32, &str)> = (lists.iter().flatten())
            .map(|(checksum, save)| (*checksum, save.id.as_str()))
            .collect();
        let expected = [
            (112_844_655, "c"),
            (1_908_338_681, "b"),
            (3_904_355_907, "a"),
        ];
        assert_eq!(lists.len(), 1);
        assert_eq!(checksums, expected);
    }

    #[test]
    fn ids_with_the_same_checksum_are_in_different_lists() {
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
    fn a_large_value_is_sent_once_and_comes_last() {
        let many = Statements::new("t").save_many;
        let bound = |items: &[&str], binds: &[Option<&str>]| {
            let (query, padded) = many.query(items);
            let mut once = bind_once(padded, query, |item| item.as_bytes());
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
