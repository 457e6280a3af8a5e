//! The table, and every statement on it.
//!
//! The table's name is quoted and everything else is bound. Times are computed by the server:
//! callers bind durations. A session is live if `{live}`, expired if `{expired}`.

use std::sync::Arc;

use sqlx::mysql::MySqlArguments;
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, MySql};

/// How many ids one statement takes; shorter lists are filled up with the last one, so that one
/// prepared statement serves.
pub(crate) const BATCH: usize = 100;

/// The statement that creates the table `name`: what [`migrate`](crate::MysqlStore::migrate) runs.
/// It does nothing if the table exists.
#[must_use]
pub fn schema(name: &str) -> String {
    CREATE_TABLE.replace("{table}", &quoted(name))
}

const CREATE_TABLE: &str = "\
CREATE TABLE IF NOT EXISTS {table} (
    `id` VARBINARY(255) NOT NULL PRIMARY KEY,
    `stamp` BINARY(16) NOT NULL,
    `owner` VARBINARY(1024) NULL,
    `born` DATETIME(6) NOT NULL,
    `idle` BIGINT NULL COMMENT 'milliseconds, NULL for never',
    `absolute` BIGINT NULL COMMENT 'milliseconds, NULL for never',
    `deadline` DATETIME(6) NULL COMMENT 'UTC, NULL for never',
    `data` LONGBLOB NOT NULL,
    KEY `owner` (`owner`),
    KEY `deadline` (`deadline`)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC";

/// Binds: id, stamp, owner, idle, absolute, first limit in µs, data.
const CREATE: &str = "\
INSERT INTO {table} (`id`, `stamp`, `owner`, `born`, `idle`, `absolute`, `deadline`, `data`)
VALUES (?, ?, ?, UTC_TIMESTAMP(6), ?, ?, UTC_TIMESTAMP(6) + INTERVAL ? MICROSECOND, ?)";

/// Binds: id.
const LOAD: &str = "\
SELECT `data`, `stamp`, `owner`, `idle`, `absolute`, {ttl}, {age}
FROM {table} WHERE `id` = ? AND {live}";

/// Binds: new id, stamp, owner, idle, absolute, idle in µs, restart, absolute in µs, idle in µs,
/// restart, absolute in µs, restart, data, id, expected stamp.
///
/// `deadline` comes before `born`: whether an assignment sees the ones before it depends on the
/// server's mode. Of two limits, one of which is null, the other counts.
const SAVE: &str = "\
UPDATE {table} SET `id` = ?, `stamp` = ?, `owner` = ?, `idle` = ?, `absolute` = ?,
    `deadline` = COALESCE(
        LEAST(UTC_TIMESTAMP(6) + INTERVAL ? MICROSECOND,
              IF(?, UTC_TIMESTAMP(6), `born`) + INTERVAL ? MICROSECOND),
        UTC_TIMESTAMP(6) + INTERVAL ? MICROSECOND,
        IF(?, UTC_TIMESTAMP(6), `born`) + INTERVAL ? MICROSECOND),
    `born` = IF(?, UTC_TIMESTAMP(6), `born`),
    `data` = ?
WHERE `id` = ? AND `stamp` = ? AND {live}";

/// Binds: id.
const STAMP: &str = "SELECT `stamp` FROM {table} WHERE `id` = ? AND {live}";

/// Binds: idle in µs, twice; id. `GREATEST` is null, which is never, if one of the two is.
const TOUCH: &str = "\
UPDATE {table} SET `deadline` = GREATEST(`deadline`, COALESCE(
    LEAST(UTC_TIMESTAMP(6) + INTERVAL ? MICROSECOND, `born` + INTERVAL `absolute` * 1000 MICROSECOND),
    UTC_TIMESTAMP(6) + INTERVAL ? MICROSECOND,
    `born` + INTERVAL `absolute` * 1000 MICROSECOND))
WHERE `id` = ? AND {live}";

/// Binds: id.
const TTL: &str = "SELECT {ttl} FROM {table} WHERE `id` = ? AND {live}";

/// Binds: id.
const DESTROY: &str = "DELETE FROM {table} WHERE `id` = ? AND {live}";

/// Binds: id.
const REMOVE_EXPIRED: &str = "DELETE FROM {table} WHERE `id` = ? AND {expired}";

const COUNT: &str = "SELECT COUNT(*) FROM {table} WHERE {live}";

/// Binds: the id before the page, the most rows.
const LIST: &str = "SELECT {info} FROM {table} WHERE `id` > ? AND {live} ORDER BY `id` LIMIT ?";

/// Binds: owner.
const OWNED: &str = "SELECT {info} FROM {table} WHERE `owner` = ? AND {live}";

/// Binds: owner, the id to spare (or an empty one), the most rows.
const OWNED_IDS: &str = "\
SELECT `id` FROM {table} WHERE `owner` = ? AND `id` <> ? AND {live} LIMIT ?";

/// Binds: the ids, owner. Waits for whoever holds one of the rows.
const LOCK_OWNED: &str = "\
SELECT `id`, `owner`, {age} FROM {table} FORCE INDEX (PRIMARY)
WHERE `id` IN ({ids}) AND `owner` = ? AND {live} FOR UPDATE";

/// Binds: the most rows. Takes no lock.
const EXPIRED_IDS: &str = "SELECT `id` FROM {table} WHERE {expired} LIMIT ?";

/// Binds: the ids. By primary key, as writers go, so neither waits for the other in a circle.
const LOCK_EXPIRED: &str = "\
SELECT `id`, `owner`, {age} FROM {table} FORCE INDEX (PRIMARY)
WHERE `id` IN ({ids}) AND {expired} FOR UPDATE SKIP LOCKED";

/// Binds: the ids.
const DELETE: &str = "DELETE FROM {table} WHERE `id` IN ({ids})";

/// Binds: the most rows. `TRUNCATE` would need the right to drop the table.
const CLEAR: &str = "DELETE FROM {table} ORDER BY `id` LIMIT ?";

const FRAGMENTS: [(&str, &str); 5] = [
    (
        "{info}",
        "`id`, `owner`, `idle`, `absolute`, {ttl}, {age}, LENGTH(`data`)",
    ),
    (
        "{live}",
        "(`deadline` IS NULL OR `deadline` > UTC_TIMESTAMP(6))",
    ),
    ("{expired}", "`deadline` <= UTC_TIMESTAMP(6)"),
    (
        "{ttl}",
        "TIMESTAMPDIFF(MICROSECOND, UTC_TIMESTAMP(6), `deadline`)",
    ),
    (
        "{age}",
        "TIMESTAMPDIFF(MICROSECOND, `born`, UTC_TIMESTAMP(6))",
    ),
];

/// A statement on one table.
#[derive(Clone, Debug)]
pub(crate) struct Statement(Arc<str>);

impl Statement {
    /// A query of this statement, for its binds.
    pub(crate) fn query<'q>(&self) -> Query<'q, MySql, MySqlArguments> {
        // Its only part that comes from outside is the table's quoted name.
        sqlx::query(AssertSqlSafe(Arc::clone(&self.0)))
    }
}

/// All statements on one table.
#[derive(Debug)]
pub(crate) struct Statements {
    pub(crate) table: String,
    pub(crate) create_table: Statement,
    pub(crate) create: Statement,
    pub(crate) load: Statement,
    pub(crate) save: Statement,
    pub(crate) stamp: Statement,
    pub(crate) touch: Statement,
    pub(crate) ttl: Statement,
    pub(crate) destroy: Statement,
    pub(crate) remove_expired: Statement,
    pub(crate) count: Statement,
    pub(crate) list: Statement,
    pub(crate) owned: Statement,
    pub(crate) owned_ids: Statement,
    pub(crate) lock_owned: Statement,
    pub(crate) expired_ids: Statement,
    pub(crate) lock_expired: Statement,
    pub(crate) delete: Statement,
    pub(crate) clear: Statement,
}

impl Statements {
    pub(crate) fn new(table: &str) -> Self {
        let ids = vec!["?"; BATCH].join(", ");
        let statement = |text: &str| {
            let mut text = text.replace("{ids}", &ids);
            for (name, fragment) in FRAGMENTS {
                text = text.replace(name, fragment);
            }
            // Last, for a table may be named like a fragment.
            Statement(text.replace("{table}", &quoted(table)).into())
        };
        Self {
            table: table.to_owned(),
            create_table: statement(CREATE_TABLE),
            create: statement(CREATE),
            load: statement(LOAD),
            save: statement(SAVE),
            stamp: statement(STAMP),
            touch: statement(TOUCH),
            ttl: statement(TTL),
            destroy: statement(DESTROY),
            remove_expired: statement(REMOVE_EXPIRED),
            count: statement(COUNT),
            list: statement(LIST),
            owned: statement(OWNED),
            owned_ids: statement(OWNED_IDS),
            lock_owned: statement(LOCK_OWNED),
            expired_ids: statement(EXPIRED_IDS),
            lock_expired: statement(LOCK_EXPIRED),
            delete: statement(DELETE),
            clear: statement(CLEAR),
        }
    }
}

/// An identifier in quotes, whatever it is made of.
fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted_and_never_read_as_sql() {
        assert_eq!(quoted("a`; DROP TABLE b; --"), "`a``; DROP TABLE b; --`");
        let odd = Statements::new("{ids}{live}");
        assert!(odd.count.0.contains("`{ids}{live}`"), "{}", odd.count.0);
    }

    #[test]
    fn every_fragment_is_filled_in() {
        let all = format!("{:?}", Statements::new("t"));
        assert!(
            !all.contains('{'.to_string().as_str()) || !all.contains("{live}"),
            "{all}"
        );
        for (name, _) in FRAGMENTS {
            assert!(!all.contains(name), "{name} is left in {all}");
        }
        assert!(!all.contains("{table}") && !all.contains("{ids}"), "{all}");
    }
}
