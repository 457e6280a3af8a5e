//! The table, and every statement on it.
//!
//! The table's name is quoted and everything else is bound. Times are computed by the server:
//! callers bind durations. A session is live if `{live}`, expired if `{expired}`.

use crate::save_many::{OWN, SAVE_MANY};
use crate::statement::{Bound, Many, SIZES, Statement};

/// The layout of a row, which each row names in its column `version`. A row of another one is
/// corrupt for its reader.
pub(crate) const VERSION: u8 = 1;

/// The statement that creates the table `name`: what [`migrate`](crate::MysqlStore::migrate) runs.
/// It does nothing if the table exists.
#[must_use]
pub fn schema(name: &str) -> String {
    CREATE_TABLE.replace("{table}", &quoted(name))
}

const CREATE_TABLE: &str = "\
CREATE TABLE IF NOT EXISTS {table} (
    `id` VARBINARY(255) NOT NULL PRIMARY KEY,
    `version` TINYINT UNSIGNED NOT NULL COMMENT 'of the layout of the row',
    `stamp` BINARY(16) NOT NULL,
    `credential` VARBINARY(192) NOT NULL COMMENT 'empty for none',
    `owner` VARBINARY(1024) NULL,
    `born` DATETIME(6) NOT NULL,
    `idle` BIGINT NULL COMMENT 'milliseconds, NULL for never',
    `absolute` BIGINT NULL COMMENT 'milliseconds, NULL for never',
    `deadline` DATETIME(6) NULL COMMENT 'UTC, NULL for never',
    `due` BIGINT AS (TO_SECONDS(`deadline`) DIV 60) STORED COMMENT 'the minute of the deadline',
    `data` LONGBLOB NOT NULL,
    KEY `owner` (`owner`),
    KEY `due` (`due`)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC";

/// Binds for each session: id, stamp, credential, owner, idle, absolute, first limit in µs, data.
///
/// Every write names the version itself: a default would be that of whoever made the table.
const CREATE: &str = "\
INSERT INTO {table} (`id`, `version`, `stamp`, `credential`, `owner`, `born`, `idle`, `absolute`,
    `deadline`, `data`)
VALUES {rows}";
const ROW: &str = "\
(?, {version}, ?, ?, ?, UTC_TIMESTAMP(6), ?, ?, UTC_TIMESTAMP(6) + INTERVAL ? MICROSECOND, ?)";

/// All but the data is in one column, for every column of an answer costs the server and the
/// driver a description of it: with eight of them, a load by itself took a seventh longer.
///
/// Binds: the id.
const LOAD: &str = "SELECT {head}, `data` FROM {table} WHERE `id` = ? AND {live}";

/// Loads many, for which columns are described once, and putting them together would cost more.
///
/// Binds: the ids.
const LOAD_MANY: &str = "\
SELECT `id`, `version`, `stamp`, `credential`, `owner`, `idle`, `absolute`, {ttl}, {age}, `data`
FROM {table} WHERE `id` IN ({ids}) AND {live}";

/// Binds: stamp, credential, owner, the binds of `{lifetime}`, data, id, expected stamp.
const SAVE: &str = "\
UPDATE {table} SET `version` = {version}, `stamp` = ?, `credential` = ?, `owner` = ?,
    {lifetime},
    `data` = ?
WHERE `id` = ? AND `stamp` = ? AND {live}";

/// What a save sets of the times: `{lifetime}`.
///
/// Binds: idle, absolute, idle in µs, restart, absolute in µs, idle in µs, restart, absolute in µs,
/// restart.
///
/// `deadline` comes before `born`: whether an assignment sees the ones before it depends on the
/// server's mode. Of two limits, one of which is null, the other counts.
const LIFETIME: &str = "\
`idle` = ?, `absolute` = ?,
    `deadline` = COALESCE(
        LEAST(UTC_TIMESTAMP(6) + INTERVAL ? MICROSECOND,
              IF(?, UTC_TIMESTAMP(6), `born`) + INTERVAL ? MICROSECOND),
        UTC_TIMESTAMP(6) + INTERVAL ? MICROSECOND,
        IF(?, UTC_TIMESTAMP(6), `born`) + INTERVAL ? MICROSECOND),
    `born` = IF(?, UTC_TIMESTAMP(6), `born`)";

/// Binds: the ids.
const STAMPS: &str = "SELECT `id`, `stamp` FROM {table} WHERE `id` IN ({ids}) AND {live}";

/// Binds: idle in µs, twice; the ids. `GREATEST` is null, which is never, if one of the two is.
const TOUCH: &str = "\
UPDATE {table} SET `deadline` = GREATEST(`deadline`, COALESCE(
    LEAST(UTC_TIMESTAMP(6) + INTERVAL ? MICROSECOND, `born` + INTERVAL `absolute` * 1000 MICROSECOND),
    UTC_TIMESTAMP(6) + INTERVAL ? MICROSECOND,
    `born` + INTERVAL `absolute` * 1000 MICROSECOND))
WHERE `id` IN ({ids}) AND {live}";

/// Binds: the ids.
const TTLS: &str = "SELECT `id`, {ttl} FROM {table} WHERE `id` IN ({ids}) AND {live}";

/// Binds: id, expected stamp or null. MariaDB only.
const DESTROY_RETURNING: &str = "\
DELETE FROM {table} WHERE `id` = ? AND {expected} AND {live} RETURNING {end}";

/// Binds: id, expected stamp or null. Takes no lock.
const FIND: &str = "SELECT {end} FROM {table} WHERE `id` = ? AND {expected} AND {live}";

/// Binds: id, expected stamp or null.
const DESTROY: &str = "DELETE FROM {table} WHERE `id` = ? AND {expected} AND {live}";

/// Binds: id.
const REMOVE_EXPIRED: &str = "DELETE FROM {table} WHERE `id` = ? AND {expired}";

const COUNT: &str = "SELECT COUNT(*) FROM {table} WHERE {live}";

/// Binds: the id before the page, the most rows.
const LIST: &str = "SELECT {info} FROM {table} WHERE `id` > ? AND {live} ORDER BY `id` LIMIT ?";

/// Binds: owner, the id before the page, the most rows. The index on the owner has the ids of each
/// in order.
const OWNED: &str = "\
SELECT {info} FROM {table} WHERE `owner` = ? AND `id` > ? AND {live} ORDER BY `id` LIMIT ?";

/// Binds: owner, the id to spare (or an empty one), the most rows.
const OWNED_IDS: &str = "\
SELECT `id` FROM {table} WHERE `owner` = ? AND `id` <> ? AND {live} LIMIT ?";

/// Binds: the ids. Waits for whoever holds one of the rows.
const LOCK_LIVE: &str = "\
SELECT {end} FROM {table} FORCE INDEX (PRIMARY) WHERE `id` IN ({ids}) AND {live} FOR UPDATE";

/// Binds: the most rows. Takes no lock.
const EXPIRED_IDS: &str = "SELECT `id` FROM {table} WHERE {expired} LIMIT ?";

/// Binds: the ids. By primary key, as writers go, so neither waits for the other in a circle.
const LOCK_EXPIRED: &str = "\
SELECT {end} FROM {table} FORCE INDEX (PRIMARY)
WHERE `id` IN ({ids}) AND {expired} FOR UPDATE SKIP LOCKED";

/// Binds: the ids. Which of them have rows, live or expired. Takes no lock.
const PRESENT: &str = "SELECT `id` FROM {table} WHERE `id` IN ({ids})";

/// Binds: the ids.
const DELETE: &str = "DELETE FROM {table} WHERE `id` IN ({ids})";

/// Changes nothing. A server that takes no writes refuses it before it looks for rows.
const PROBE: &str = "DELETE FROM {table} WHERE FALSE";

/// Binds: the most rows. `TRUNCATE` would need the right to drop the table.
const CLEAR: &str = "DELETE FROM {table} ORDER BY `id` LIMIT ?";

const FRAGMENTS: [(&str, &str); 11] = [
    ("{version}", "1"),
    ("{lifetime}", LIFETIME),
    (
        "{head}",
        "CONCAT(`stamp`, CONCAT_WS(',', `version`, IFNULL(`idle`, ''), IFNULL(`absolute`, ''), \
         IFNULL({ttl}, ''), {age}, LENGTH(`credential`), ''), `credential`, IFNULL(`owner`, ''))",
    ),
    ("{end}", "`id`, `owner`, {age}, `stamp`"),
    ("{expected}", "`stamp` = COALESCE(?, `stamp`)"),
    (
        "{info}",
        "`id`, `owner`, `idle`, `absolute`, {ttl}, {age}, LENGTH(`data`)",
    ),
    (
        "{live}",
        "(`deadline` IS NULL OR `deadline` > UTC_TIMESTAMP(6))",
    ),
    (
        "{expired}",
        "(`due` <= TO_SECONDS(UTC_TIMESTAMP()) DIV 60 AND `deadline` <= UTC_TIMESTAMP(6))",
    ),
    ("{own}", OWN),
    (
        "{ttl}",
        "TIMESTAMPDIFF(MICROSECOND, UTC_TIMESTAMP(6), `deadline`)",
    ),
    (
        "{age}",
        "TIMESTAMPDIFF(MICROSECOND, `born`, UTC_TIMESTAMP(6))",
    ),
];

/// All statements on one table.
#[derive(Clone, Debug)]
pub(crate) struct Statements {
    pub(crate) table: String,
    pub(crate) create_table: Statement,
    pub(crate) create: Many,
    pub(crate) load: Statement,
    pub(crate) load_many: Many,
    pub(crate) save: Statement,
    pub(crate) save_many: Many,
    pub(crate) stamps: Many,
    pub(crate) touch: Many,
    pub(crate) ttls: Many,
    pub(crate) destroy_returning: Statement,
    pub(crate) find: Statement,
    pub(crate) destroy: Statement,
    pub(crate) remove_expired: Statement,
    pub(crate) count: Statement,
    pub(crate) list: Statement,
    pub(crate) owned: Statement,
    pub(crate) owned_ids: Statement,
    pub(crate) lock_live: Many,
    pub(crate) expired_ids: Statement,
    pub(crate) lock_expired: Many,
    pub(crate) present: Many,
    pub(crate) delete: Many,
    pub(crate) clear: Statement,
}

impl Statements {
    pub(crate) fn new(table: &str) -> Self {
        let sized = |text: &str, size: usize| {
            let mut text = text.replace("{rows}", &vec![ROW; size].join(", "));
            for (name, fragment) in FRAGMENTS {
                text = text.replace(name, fragment);
            }
            let text = text.replace("{ids}", &vec!["?"; size].join(", "));
            // Last, for a table may be named like a fragment.
            Statement::new(text.replace("{table}", &quoted(table)))
        };
        let statement = |text: &str| sized(text, 1);
        let many = |text: &str| Many(SIZES.map(|size| sized(text, size)));
        Self {
            table: table.to_owned(),
            create_table: statement(CREATE_TABLE),
            create: many(CREATE),
            load: statement(LOAD),
            load_many: many(LOAD_MANY),
            save: statement(SAVE),
            save_many: many(SAVE_MANY),
            stamps: many(STAMPS),
            touch: many(TOUCH),
            ttls: many(TTLS),
            destroy_returning: statement(DESTROY_RETURNING),
            find: statement(FIND),
            destroy: statement(DESTROY),
            remove_expired: statement(REMOVE_EXPIRED),
            count: statement(COUNT),
            list: statement(LIST),
            owned: statement(OWNED),
            owned_ids: statement(OWNED_IDS),
            lock_live: many(LOCK_LIVE),
            expired_ids: statement(EXPIRED_IDS),
            lock_expired: many(LOCK_EXPIRED),
            present: many(PRESENT),
            delete: many(DELETE),
            clear: statement(CLEAR),
        }
    }
}

/// A statement on `table` that changes nothing, and that only a server which takes writes carries out.
pub(crate) fn probe(table: &str) -> Bound {
    Statement::new(PROBE.replace("{table}", &quoted(table))).query()
}

/// An identifier in quotes, whatever it is made of.
pub(crate) fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

#[cfg(test)]
mod tests {
    use sqlx::{Execute, MySql};

    use super::*;

    #[test]
    fn names_are_quoted_and_never_read_as_sql() {
        assert_eq!(quoted("a`; DROP TABLE b; --"), "`a``; DROP TABLE b; --`");
        let odd = Statements::new("{ids}{live}");
        let count = odd.count.text();
        assert!(count.contains("`{ids}{live}`"), "{count}");
        let probe = probe("a`b");
        assert_eq!(
            Execute::<MySql>::sql(probe).as_str(),
            "DELETE FROM `a``b` WHERE FALSE"
        );
    }

    /// The layout, to the letter: whoever changes it gives it another version.
    #[test]
    fn the_table_is_as_it_was() {
        let table = "\
CREATE TABLE IF NOT EXISTS `session_store` (
    `id` VARBINARY(255) NOT NULL PRIMARY KEY,
    `version` TINYINT UNSIGNED NOT NULL COMMENT 'of the layout of the row',
    `stamp` BINARY(16) NOT NULL,
    `credential` VARBINARY(192) NOT NULL COMMENT 'empty for none',
    `owner` VARBINARY(1024) NULL,
    `born` DATETIME(6) NOT NULL,
    `idle` BIGINT NULL COMMENT 'milliseconds, NULL for never',
    `absolute` BIGINT NULL COMMENT 'milliseconds, NULL for never',
    `deadline` DATETIME(6) NULL COMMENT 'UTC, NULL for never',
    `due` BIGINT AS (TO_SECONDS(`deadline`) DIV 60) STORED COMMENT 'the minute of the deadline',
    `data` LONGBLOB NOT NULL,
    KEY `owner` (`owner`),
    KEY `due` (`due`)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC";
        assert_eq!(schema("session_store"), table);
        let version = FRAGMENTS.iter().find(|(name, _)| *name == "{version}");
        assert_eq!(version.map(|(_, text)| *text), Some("1"));
        assert_eq!(VERSION, 1);
    }

    #[test]
    fn every_fragment_is_filled_in() {
        let all = format!("{:?}", Statements::new("t"));
        for (name, _) in FRAGMENTS {
            assert!(!all.contains(name), "{name} is left in {all}");
        }
        for name in ["{table}", "{ids}", "{rows}"] {
            assert!(!all.contains(name), "{name} is left in {all}");
        }
    }
}
