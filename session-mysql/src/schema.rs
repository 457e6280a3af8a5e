//! The table, and every statement on it.
//!
//! The table's name is quoted and all values are bound. The server computes all times: callers bind
//! durations. A session is live if `{live}`, expired if `{expired}`.

use session_sql::{Dialect as _, Expected};

use crate::Mysql;
use crate::save_many::{OWN_VALUE, SAVE_MANY, SAVE_MANY_DESCRIBED};

type BatchStatement = session_sql::BatchStatement<Mysql>;
type Statement = session_sql::Statement<Mysql>;

/// The version of the layout, in the column `version` of each row. A row of another version is
/// corrupt.
pub(crate) const VERSION: u8 = 3;

/// Returns the statement that creates the table `name`, which
/// [`migrate`](crate::MysqlStore::migrate) runs. It does nothing if the table exists.
#[must_use]
pub fn schema(name: &str) -> String {
    CREATE_TABLE.replace("{table}", &Mysql::quoted(name))
}

/// The columns of `CREATE_TABLE`.
pub(crate) const COLUMNS: [Expected; 13] = [
    Expected::new("id", "varbinary(255)"),
    Expected::new("version", "tinyint unsigned"),
    Expected::new("stamp", "binary(16)"),
    Expected::new("credential", "varbinary(192)"),
    Expected::new("description", "varbinary(255)").or_null(),
    Expected::new("owner", "varbinary(1024)").or_null(),
    Expected::new("born", "datetime(6)"),
    Expected::new("idle", "bigint").or_null(),
    Expected::new("absolute", "bigint").or_null(),
    Expected::new("deadline", "datetime(6)").or_null(),
    Expected::new("due", "bigint").or_null().generated(),
    Expected::new("claimed", "datetime(6)").or_null(),
    Expected::new("data", "longblob"),
];

const CREATE_TABLE: &str = "\
CREATE TABLE IF NOT EXISTS {table} (
    `id` VARBINARY(255) NOT NULL PRIMARY KEY,
    `version` TINYINT UNSIGNED NOT NULL COMMENT 'of the layout of the row',
    `stamp` BINARY(16) NOT NULL,
    `credential` VARBINARY(192) NOT NULL COMMENT 'empty for none',
    `description` VARBINARY(255) NULL,
    `owner` VARBINARY(1024) NULL,
    `born` DATETIME(6) NOT NULL,
    `idle` BIGINT NULL COMMENT 'milliseconds, NULL for never',
    `absolute` BIGINT NULL COMMENT 'milliseconds, NULL for never',
    `deadline` DATETIME(6) NULL COMMENT 'UTC, NULL for never',
    `due` BIGINT AS (TO_SECONDS(`deadline`) DIV 60) STORED COMMENT 'the minute of the deadline',
    `claimed` DATETIME(6) NULL COMMENT 'UTC, until when a reaper reports the expired session',
    `data` LONGBLOB NOT NULL,
    KEY `owner` (`owner`),
    KEY `due` (`due`)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC";

/// Binds for each session: id, stamp, credential, description, owner, idle, absolute, first limit in
/// µs, data.
///
/// Every write sets the version: a default would be that of the program that created the table.
const CREATE: &str = "\
INSERT INTO {table} (`id`, `version`, `stamp`, `credential`, `description`, `owner`, `born`, `idle`,
    `absolute`, `deadline`, `data`)
VALUES {rows}";
const ROW: &str = "\
(?, {version}, ?, ?, ?, ?, UTC_TIMESTAMP(6) - INTERVAL ? MICROSECOND, ?, ?,
    UTC_TIMESTAMP(6) + INTERVAL ? MICROSECOND, ?)";

/// All but the data is in one column, because the server describes each column of an answer to the
/// driver: with eight columns, a single load took a seventh longer.
///
/// Binds: the id.
const LOAD: &str = "SELECT {head}, `data` FROM {table} WHERE `id` = ? AND {live}";

/// Loads a batch, for which the server describes the columns once and `{head}` would cost more.
///
/// Binds: the ids.
const LOAD_MANY: &str = "\
SELECT `id`, `version`, `stamp`, `credential`, `owner`, `idle`, `absolute`, {ttl}, {age}, `data`,
    `description`
FROM {table} WHERE `id` IN ({ids}) AND {live}";

/// Binds: stamp, credential, description, owner, the binds of `{lifetime}`, data, id, expected
/// stamp.
const SAVE: &str = "\
UPDATE {table} SET `version` = {version}, `stamp` = ?, `credential` = ?, `description` = ?,
    `owner` = ?,
    {lifetime},
    `data` = ?
WHERE `id` = ? AND `stamp` = ? AND {live}";

/// The limits and times that a save sets: `{lifetime}`.
///
/// Binds: idle, absolute, idle in µs, restart, absolute in µs, idle in µs, restart, absolute in µs,
/// restart.
///
/// `deadline` comes before `born`, because it depends on the server's mode whether an assignment
/// sees earlier ones. `LEAST` is null if a limit is null; `COALESCE` then takes the other limit.
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

/// Binds: idle in µs, twice; the ids. `GREATEST` is null (never) if one of the two is null.
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

/// Binds: owner, the id before the page, the most rows. The index on the owner has the ids in
/// order.
const OWNED: &str = "\
SELECT {info} FROM {table} WHERE `owner` = ? AND `id` > ? AND {live} ORDER BY `id` LIMIT ?";

/// Binds: owner, the id to keep (or an empty one), the most rows.
const OWNED_IDS: &str = "\
SELECT {end} FROM {table} WHERE `owner` = ? AND `id` <> ? AND {live} LIMIT ?";

/// Binds: the ids. Waits for locks on the rows.
const LOCK_LIVE: &str = "\
SELECT {end} FROM {table} FORCE INDEX (PRIMARY) WHERE `id` IN ({ids}) AND {live} FOR UPDATE";

/// Binds: the most rows. Takes no lock.
const EXPIRED_IDS: &str = "SELECT `id` FROM {table} WHERE {claimable} LIMIT ?";

/// Binds: the ids. Locks by primary key, as writers do, so that no deadlock arises.
const LOCK_EXPIRED: &str = "\
SELECT {end} FROM {table} FORCE INDEX (PRIMARY)
WHERE `id` IN ({ids}) AND {claimable} FOR UPDATE SKIP LOCKED";

/// Binds: the ids.
const CLAIM: &str = "\
UPDATE {table} SET `claimed` = UTC_TIMESTAMP(6) + INTERVAL 60 SECOND WHERE `id` IN ({ids})";

/// Binds: the ids. A session that was created anew under such an id is not claimed.
const DELETE_CLAIMED: &str = "\
DELETE FROM {table}
WHERE `id` IN ({ids}) AND `claimed` IS NOT NULL AND `deadline` <= UTC_TIMESTAMP(6)";

/// Binds: the ids. Selects those that have rows, live or expired. Takes no lock.
const PRESENT: &str = "SELECT `id` FROM {table} WHERE `id` IN ({ids})";

/// Binds: the ids.
const DELETE: &str = "DELETE FROM {table} WHERE `id` IN ({ids})";

/// Binds: the most rows. `TRUNCATE` would need the right to drop the table.
const CLEAR: &str = "DELETE FROM {table} ORDER BY `id` LIMIT ?";

const FRAGMENTS: [(&str, &str); 12] = [
    ("{version}", "3"),
    ("{lifetime}", LIFETIME),
    (
        "{head}",
        "CONCAT(`stamp`, CONCAT_WS(',', `version`, IFNULL(`idle`, ''), IFNULL(`absolute`, ''), \
         IFNULL({ttl}, ''), {age}, LENGTH(`credential`), IFNULL(LENGTH(`description`), ''), ''), \
         `credential`, IFNULL(`description`, ''), IFNULL(`owner`, ''))",
    ),
    ("{end}", "`id`, `owner`, {age}, `stamp`"),
    ("{expected}", "`stamp` = COALESCE(?, `stamp`)"),
    (
        "{info}",
        "`id`, `owner`, `idle`, `absolute`, {ttl}, {age}, LENGTH(`data`), `description`",
    ),
    (
        "{live}",
        "(`deadline` IS NULL OR `deadline` > UTC_TIMESTAMP(6))",
    ),
    // A claim that is longer than any is from before the clock was set back.
    (
        "{claimable}",
        "{expired} AND (`claimed` IS NULL OR `claimed` NOT BETWEEN UTC_TIMESTAMP(6) \
         AND UTC_TIMESTAMP(6) + INTERVAL 120 SECOND)",
    ),
    (
        "{expired}",
        "(`due` <= TO_SECONDS(UTC_TIMESTAMP()) DIV 60 AND `deadline` <= UTC_TIMESTAMP(6))",
    ),
    ("{own}", OWN_VALUE),
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
    pub(crate) create: BatchStatement,
    pub(crate) load: Statement,
    pub(crate) load_many: BatchStatement,
    pub(crate) save: Statement,
    pub(crate) save_many: BatchStatement,
    pub(crate) save_many_described: BatchStatement,
    pub(crate) stamps: BatchStatement,
    pub(crate) touch: BatchStatement,
    pub(crate) ttls: BatchStatement,
    pub(crate) destroy_returning: Statement,
    pub(crate) find: Statement,
    pub(crate) destroy: Statement,
    pub(crate) remove_expired: Statement,
    pub(crate) count: Statement,
    pub(crate) list: Statement,
    pub(crate) owned: Statement,
    pub(crate) owned_ids: Statement,
    pub(crate) lock_live: BatchStatement,
    pub(crate) expired_ids: Statement,
    pub(crate) lock_expired: BatchStatement,
    pub(crate) claim: BatchStatement,
    pub(crate) delete_claimed: BatchStatement,
    pub(crate) present: BatchStatement,
    pub(crate) delete: BatchStatement,
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
            // Last, because a table may be named like a fragment.
            Statement::new(text.replace("{table}", &Mysql::quoted(table)))
        };
        let statement = |text: &str| sized(text, 1);
        let many = |text: &str| BatchStatement::new(|size| sized(text, size));
        Self {
            table: table.to_owned(),
            create_table: statement(CREATE_TABLE),
            create: many(CREATE),
            load: statement(LOAD),
            load_many: many(LOAD_MANY),
            save: statement(SAVE),
            save_many: many(SAVE_MANY),
            save_many_described: many(SAVE_MANY_DESCRIBED),
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
            claim: many(CLAIM),
            delete_claimed: many(DELETE_CLAIMED),
            present: many(PRESENT),
            delete: many(DELETE),
            clear: statement(CLEAR),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted_and_never_read_as_sql() {
        assert_eq!(
            Mysql::quoted("a`; DROP TABLE b; --"),
            "`a``; DROP TABLE b; --`"
        );
        let odd = Statements::new("{ids}{live}");
        let count = odd.count.text();
        assert!(count.contains("`{ids}{live}`"), "{count}");
        let no_op_write = Mysql::no_op_write("a`b");
        assert_eq!(no_op_write, "DELETE FROM `a``b` WHERE FALSE");
    }

    /// A change of the layout needs another [`VERSION`].
    #[test]
    fn the_table_is_unchanged() {
        let table = "\
CREATE TABLE IF NOT EXISTS `session_store` (
    `id` VARBINARY(255) NOT NULL PRIMARY KEY,
    `version` TINYINT UNSIGNED NOT NULL COMMENT 'of the layout of the row',
    `stamp` BINARY(16) NOT NULL,
    `credential` VARBINARY(192) NOT NULL COMMENT 'empty for none',
    `description` VARBINARY(255) NULL,
    `owner` VARBINARY(1024) NULL,
    `born` DATETIME(6) NOT NULL,
    `idle` BIGINT NULL COMMENT 'milliseconds, NULL for never',
    `absolute` BIGINT NULL COMMENT 'milliseconds, NULL for never',
    `deadline` DATETIME(6) NULL COMMENT 'UTC, NULL for never',
    `due` BIGINT AS (TO_SECONDS(`deadline`) DIV 60) STORED COMMENT 'the minute of the deadline',
    `claimed` DATETIME(6) NULL COMMENT 'UTC, until when a reaper reports the expired session',
    `data` LONGBLOB NOT NULL,
    KEY `owner` (`owner`),
    KEY `due` (`due`)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC";
        assert_eq!(schema("session_store"), table);
        let version = FRAGMENTS.iter().find(|(name, _)| *name == "{version}");
        assert_eq!(version.map(|(_, text)| *text), Some("3"));
        assert_eq!(VERSION, 3);
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
