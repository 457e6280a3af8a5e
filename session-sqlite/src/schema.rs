//! The table, and every statement on it.
//!
//! The table's name is quoted and all values are bound. SQLite computes all times, by the clock of
//! the machine: callers bind durations. A session is live if `{live}`, expired if `{expired}`.
//!
//! Names of columns stand without quotes: SQLite reads a quoted name that no column has as text.

use session_sql::{BatchStatement, Dialect, Expected, Statement};

use crate::Sqlite;

/// The version of the layout, in the column `version` of each row. A row of another version is
/// corrupt.
pub(crate) const VERSION: u8 = 2;

/// The columns of the table.
pub(crate) const COLUMNS: [Expected; 13] = [
    Expected::new("id", "blob"),
    Expected::new("version", "integer"),
    Expected::new("stamp", "blob"),
    Expected::new("credential", "blob"),
    Expected::new("description", "blob").or_null(),
    Expected::new("owner", "blob").or_null(),
    Expected::new("born", "integer"),
    Expected::new("idle", "integer").or_null(),
    Expected::new("absolute", "integer").or_null(),
    Expected::new("deadline", "integer").or_null(),
    Expected::new("due", "integer").or_null().generated(),
    Expected::new("claimed", "integer").or_null(),
    Expected::new("data", "blob"),
];

/// Returns the statements that create the table `name` and its indexes, which
/// [`migrate`](crate::SqliteStore::migrate) runs. They do nothing if the table exists.
#[must_use]
pub fn schema(name: &str) -> String {
    filled_in(CREATE_TABLE, name, 1)
}

/// [`schema`] in one transaction, so that no store finds a table without its indexes.
fn create_table(name: &str) -> String {
    format!("BEGIN IMMEDIATE;\n{};\nCOMMIT", schema(name))
}

/// Not `WITHOUT ROWID`: there a search for a key reads whole rows on its way, so one large session
/// makes the operations on all others slow. Measured, the load of a 2-byte session takes 79 µs among
/// 2,000 sessions of 100 KB, and 1,656 µs among 300 of 1 MB; in this table 6 and 7 µs. A batch of 64
/// saves takes about the same in both at 300 bytes each (113 and 124 µs), and 233 and 100 µs at
/// 1,500 bytes.
const CREATE_TABLE: &str = "\
CREATE TABLE IF NOT EXISTS {table} (
    id BLOB NOT NULL PRIMARY KEY,
    version INTEGER NOT NULL, -- of the layout of the row
    stamp BLOB NOT NULL CHECK (length(stamp) = 16),
    credential BLOB NOT NULL, -- empty for none
    description BLOB,
    owner BLOB,
    born INTEGER NOT NULL, -- milliseconds since 1970, UTC
    idle INTEGER, -- milliseconds, NULL for never
    absolute INTEGER, -- milliseconds, NULL for never
    deadline INTEGER, -- milliseconds since 1970, NULL for never
    due INTEGER AS (deadline / 60000), -- the minute of the deadline
    claimed INTEGER, -- milliseconds since 1970, until when a reaper reports the expired session
    data BLOB NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS {owner_index} ON {table} (owner, id) WHERE owner IS NOT NULL;
CREATE INDEX IF NOT EXISTS {due_index} ON {table} (due) WHERE due IS NOT NULL";

/// Binds for each session: id, stamp, credential, description, owner, age, idle, absolute, what is
/// left, data.
///
/// Every write sets the version: a default would be that of the program that created the table.
const INSERT: &str = "\
INSERT INTO {table} (id, version, stamp, credential, description, owner, born, idle, absolute,
    deadline, data)
VALUES {rows}
ON CONFLICT (id) DO UPDATE SET version = excluded.version, stamp = excluded.stamp,
    credential = excluded.credential, description = excluded.description, owner = excluded.owner,
    born = excluded.born, idle = excluded.idle, absolute = excluded.absolute,
    deadline = excluded.deadline, data = excluded.data, claimed = NULL
WHERE deadline <= {now}";
const INSERT_ROW: &str = "(?, {version}, ?, ?, ?, ?, {now} - ?, ?, ?, {now} + ?, ?)";

/// Binds: the ids.
const LOAD: &str = "\
SELECT id, version, stamp, credential, owner, idle, absolute, {ttl}, {age}, data, description
FROM {table} WHERE id IN ({ids}) AND {live}";

/// Binds: id, expected stamp, new stamp, credential, description, owner, idle, absolute, whether the
/// age restarts, data.
const SAVE: &str = "\
UPDATE {table} SET version = {version}, stamp = ?3, credential = ?4, description = ?5, owner = ?6,
    born = iif(?9, {now}, born), idle = ?7, absolute = ?8,
    deadline = coalesce(
        min({now} + ?7, iif(?9, {now}, born) + ?8), {now} + ?7, iif(?9, {now}, born) + ?8),
    data = ?10
WHERE id = ?1 AND stamp = ?2 AND {live}";

/// The same binds for each session.
const SAVE_MANY: &str = "\
WITH saved (id, expected, stamp, credential, description, owner, idle, absolute, restart, data)
    AS (VALUES {saves})
UPDATE {table} AS held SET version = {version}, stamp = saved.stamp,
    credential = saved.credential, description = saved.description, owner = saved.owner,
    born = iif(saved.restart, {now}, held.born), idle = saved.idle, absolute = saved.absolute,
    deadline = coalesce(
        min({now} + saved.idle, iif(saved.restart, {now}, held.born) + saved.absolute),
        {now} + saved.idle, iif(saved.restart, {now}, held.born) + saved.absolute),
    data = saved.data
FROM saved
WHERE held.id = saved.id AND held.stamp = saved.expected
    AND (held.deadline IS NULL OR held.deadline > {now})";

/// Binds: the ids.
const STAMPS: &str = "SELECT id, stamp FROM {table} WHERE id IN ({ids}) AND {live}";

/// Binds for each session: id, idle. `max` is null (never) if one of the two is null.
const EXTEND: &str = "\
WITH touched (id, idle) AS (VALUES {pairs})
UPDATE {table} AS held SET deadline = max(held.deadline, coalesce(
    min({now} + touched.idle, held.born + min(held.absolute, {longest})),
    {now} + touched.idle, held.born + min(held.absolute, {longest})))
FROM touched
WHERE held.id = touched.id AND (held.deadline IS NULL OR held.deadline > {now})
RETURNING id, {ttl}";

/// Binds for each session: id, expected stamp or null.
const DESTROY: &str = "\
WITH ended (id, expected) AS (VALUES {pairs})
DELETE FROM {table} WHERE {live} AND id IN (
    SELECT held.id FROM ended JOIN {table} AS held ON held.id = ended.id
    WHERE held.stamp = coalesce(ended.expected, held.stamp))
RETURNING {end}";

/// Binds: the owner, the ids.
const DELETE_OWNED: &str = "\
DELETE FROM {table} WHERE owner = ? AND {live} AND id IN ({ids}) RETURNING {end}";

/// Binds: the ids.
const CLAIM: &str = "\
UPDATE {table} SET claimed = {now} + 60000 WHERE {claimable} AND id IN ({ids}) RETURNING {end}";

/// Binds: the ids. A session that was created anew under such an id is not claimed.
const DELETE_CLAIMED: &str = "\
DELETE FROM {table} WHERE deadline <= {now} AND claimed IS NOT NULL AND id IN ({ids})";

const COUNT: &str = "SELECT count(*) FROM {table} WHERE {live}";

/// Binds: the id before the page, the most rows.
const LIST: &str = "SELECT {info} FROM {table} WHERE id > ? AND {live} ORDER BY id LIMIT ?";

/// Binds: owner, the id before the page, the most rows. The index of owners has the ids in order.
const OWNED: &str = "\
SELECT {info} FROM {table} WHERE owner = ? AND id > ? AND {live} ORDER BY id LIMIT ?";

/// Binds: owner, the id to keep (or an empty one), the most rows.
const OWNED_IDS: &str = "SELECT {end} FROM {table} WHERE owner = ? AND id <> ? AND {live} LIMIT ?";

/// Binds: the most rows.
const EXPIRED_IDS: &str = "\
SELECT id FROM {table} WHERE due <= {now} / 60000 AND {claimable} LIMIT ?";

/// Binds: the ids. Selects those that have rows, live or expired.
const PRESENT: &str = "SELECT id FROM {table} WHERE id IN ({ids})";

/// Binds: the most rows.
const CLEAR: &str = "\
DELETE FROM {table} WHERE id IN (SELECT id FROM {table} ORDER BY id LIMIT ?)";

/// The names of the indexes come last: a table may be named like a fragment.
const FRAGMENTS: [(&str, &str); 9] = [
    ("{version}", "2"),
    ("{end}", "id, owner, {age}"),
    (
        "{info}",
        "id, owner, idle, absolute, {ttl}, {age}, length(data), description",
    ),
    ("{live}", "(deadline IS NULL OR deadline > {now})"),
    // A claim that is longer than any is from before the clock was set back.
    (
        "{claimable}",
        "deadline <= {now} \
         AND (claimed IS NULL OR claimed NOT BETWEEN {now} AND {now} + 120000)",
    ),
    // The driver's and the store's unit is the microsecond, the clock's the millisecond.
    ("{ttl}", "(deadline - {now}) * 1000"),
    ("{age}", "({now} - born) * 1000"),
    // A century, as for durations that are bound: a sum may not exceed 64 bits.
    ("{longest}", "3162240000000"),
    // The same moment in all of a statement. Rounded, because the seconds are a float.
    (
        "{now}",
        "CAST(round(unixepoch('subsec') * 1000) AS INTEGER)",
    ),
];

/// All statements on one table.
#[derive(Clone, Debug)]
pub(crate) struct Statements {
    pub(crate) table: String,
    pub(crate) create_table: [Statement<Sqlite>; 1],
    pub(crate) insert: BatchStatement<Sqlite>,
    pub(crate) load: BatchStatement<Sqlite>,
    pub(crate) save: Statement<Sqlite>,
    pub(crate) save_many: BatchStatement<Sqlite>,
    pub(crate) stamps: BatchStatement<Sqlite>,
    pub(crate) extend: BatchStatement<Sqlite>,
    pub(crate) destroy: BatchStatement<Sqlite>,
    pub(crate) delete_owned: BatchStatement<Sqlite>,
    pub(crate) claim: BatchStatement<Sqlite>,
    pub(crate) delete_claimed: BatchStatement<Sqlite>,
    pub(crate) count: Statement<Sqlite>,
    pub(crate) list: Statement<Sqlite>,
    pub(crate) owned: Statement<Sqlite>,
    pub(crate) owned_ids: Statement<Sqlite>,
    pub(crate) expired_ids: Statement<Sqlite>,
    pub(crate) present: BatchStatement<Sqlite>,
    pub(crate) clear: Statement<Sqlite>,
}

impl Statements {
    pub(crate) fn new(table: &str) -> Self {
        let sized = |text: &str, size: usize| Statement::new(filled_in(text, table, size));
        let statement = |text: &str| sized(text, 1);
        let many = |text: &str| BatchStatement::new(|size| sized(text, size));
        Self {
            table: table.to_owned(),
            create_table: [Statement::new(create_table(table))],
            insert: many(INSERT),
            load: many(LOAD),
            save: statement(SAVE),
            save_many: many(SAVE_MANY),
            stamps: many(STAMPS),
            extend: many(EXTEND),
            destroy: many(DESTROY),
            delete_owned: many(DELETE_OWNED),
            claim: many(CLAIM),
            delete_claimed: many(DELETE_CLAIMED),
            count: statement(COUNT),
            list: statement(LIST),
            owned: statement(OWNED),
            owned_ids: statement(OWNED_IDS),
            expired_ids: statement(EXPIRED_IDS),
            present: many(PRESENT),
            clear: statement(CLEAR),
        }
    }
}

/// `text` for a batch of `size` on `table`.
fn filled_in(text: &str, table: &str, size: usize) -> String {
    let list = |item: &str| vec![item; size].join(", ");
    let mut text = text.replace("{rows}", &list(INSERT_ROW));
    for (name, fragment) in FRAGMENTS {
        text = text.replace(name, fragment);
    }
    let text = text
        .replace("{saves}", &list("(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"))
        .replace("{pairs}", &list("(?, ?)"))
        .replace("{ids}", &list("?"));
    // Names at once, because a table may be named like a fragment.
    let mut done = String::new();
    let mut rest = text.as_str();
    while let Some(at) = rest.find('{') {
        let (before, named) = rest.split_at(at);
        let (name, after) = named.split_once('}').unwrap_or((named, ""));
        done.push_str(before);
        done.push_str(&match name {
            "{owner_index" => Sqlite::quoted(&format!("{table}_by_owner")),
            "{due_index" => Sqlite::quoted(&format!("{table}_by_due")),
            _ => Sqlite::quoted(table),
        });
        rest = after;
    }
    done + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A change of the layout needs another [`VERSION`].
    #[test]
    fn the_table_is_unchanged() {
        let table = "\
CREATE TABLE IF NOT EXISTS \"session_store\" (
    id BLOB NOT NULL PRIMARY KEY,
    version INTEGER NOT NULL, -- of the layout of the row
    stamp BLOB NOT NULL CHECK (length(stamp) = 16),
    credential BLOB NOT NULL, -- empty for none
    description BLOB,
    owner BLOB,
    born INTEGER NOT NULL, -- milliseconds since 1970, UTC
    idle INTEGER, -- milliseconds, NULL for never
    absolute INTEGER, -- milliseconds, NULL for never
    deadline INTEGER, -- milliseconds since 1970, NULL for never
    due INTEGER AS (deadline / 60000), -- the minute of the deadline
    claimed INTEGER, -- milliseconds since 1970, until when a reaper reports the expired session
    data BLOB NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS \"session_store_by_owner\" ON \"session_store\" (owner, id) WHERE owner IS NOT NULL;
CREATE INDEX IF NOT EXISTS \"session_store_by_due\" ON \"session_store\" (due) WHERE due IS NOT NULL";
        assert_eq!(schema("session_store"), table);
        let version = FRAGMENTS.iter().find(|(name, _)| *name == "{version}");
        assert_eq!(version.map(|(_, text)| *text), Some("2"));
        assert_eq!(VERSION, 2);
    }

    #[test]
    fn names_are_quoted_and_never_read_as_sql_or_fragments() {
        let odd = Statements::new("{ids}{live}\"; DROP TABLE b");
        let count = odd.count.text();
        assert!(
            count.contains("FROM \"{ids}{live}\"\"; DROP TABLE b\" WHERE (deadline"),
            "{count}"
        );
    }

    #[test]
    fn every_fragment_is_filled_in() {
        let sql = Statements::new("t");
        for text in [
            sql.save.text(),
            sql.count.text(),
            sql.owned.text(),
            sql.expired_ids.text(),
            &filled_in(INSERT, "t", 2),
            &filled_in(LOAD, "t", 2),
            &filled_in(SAVE_MANY, "t", 2),
            &filled_in(EXTEND, "t", 2),
            &filled_in(DESTROY, "t", 2),
            &filled_in(DELETE_OWNED, "t", 2),
            &filled_in(CLAIM, "t", 2),
            &filled_in(DELETE_CLAIMED, "t", 2),
        ] {
            assert!(!text.contains('{'), "{text}");
        }
    }
}
