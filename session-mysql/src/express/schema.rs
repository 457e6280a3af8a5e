//! The table, and every statement on it.
//!
//! Names are quoted and all values are bound. The server computes all times.

use session_sql::Dialect as _;

use crate::Mysql;

type Statement = session_sql::Statement<Mysql>;

const CREATE_TABLE: &str = "\
CREATE TABLE IF NOT EXISTS {table} (
    {sid} varchar(128) COLLATE utf8mb4_bin NOT NULL,
    {expires} int(11) unsigned NOT NULL,
    {data} mediumtext COLLATE utf8mb4_bin,
    PRIMARY KEY ({sid})
) ENGINE = InnoDB";

/// Binds: the id.
const GET: &str = "SELECT {value}, {left} FROM {table} WHERE {sid} = ? AND {live}";

/// Binds: the id, milliseconds to live, the value.
const ADD: &str = "INSERT INTO {table} ({sid}, {expires}, {data}) VALUES (?, {at}, ?)";

/// Binds: the id.
const REMOVE_EXPIRED: &str = "DELETE FROM {table} WHERE {sid} = ? AND {over}";

/// Binds: the new id, milliseconds to live, the new value, the id, the old value.
const SWAP: &str = "\
UPDATE {table} SET {sid} = ?, {expires} = {at}, {data} = ?
WHERE {sid} = ? AND {value} = ? AND {live}";

/// Binds: milliseconds to live, the id.
const EXTEND: &str = "\
UPDATE {table} SET {expires} = GREATEST({expires}, {at}) WHERE {sid} = ? AND {live}";

/// Binds: the id.
const REMOVE: &str = "DELETE FROM {table} WHERE {sid} = ? AND {live}";

const COUNT: &str = "SELECT COUNT(*) FROM {table} WHERE {live}";

/// Binds: the id before the page, the most rows.
const PAGE: &str = "\
SELECT {name}, {value}, {left} FROM {table}
WHERE {sid} > ? AND {live} ORDER BY {sid} LIMIT ?";

/// Binds: the most rows.
const CLEAR: &str = "DELETE FROM {table} ORDER BY {sid} LIMIT ?";

/// Binds: the most rows. Takes no lock.
const EXPIRED: &str = "SELECT {name} FROM {table} WHERE {over} LIMIT ?";

/// The clock is the server's, where express-mysql-session uses the app's. There a row has expired
/// if `expires` is null or less than the clock rounded to the nearest second.
const FRAGMENTS: [(&str, &str); 5] = [
    ("{over}", "NOT IFNULL({live}, FALSE)"),
    (
        "{value}",
        "CAST(CAST({data} AS CHAR CHARACTER SET utf8mb4) AS BINARY)",
    ),
    (
        "{left}",
        "CAST({expires} AS SIGNED) * 1000 + 499 - CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED)",
    ),
    ("{live}", "({expires} >= ROUND(UNIX_TIMESTAMP(NOW(3))))"),
    (
        "{at}",
        "LEAST(ROUND(UNIX_TIMESTAMP(NOW(3)) + ? / 1000), 4294967295)",
    ),
];

/// An id as UTF-8, from a text column and from a column of bytes.
const NAME: [&str; 2] = [
    "CAST(CAST({sid} AS CHAR CHARACTER SET utf8mb4) AS BINARY)",
    "CAST({sid} AS BINARY)",
];

/// The names of the table and its columns.
#[derive(Clone, Debug)]
pub(super) struct Names {
    pub(super) table: String,
    pub(super) sid: String,
    pub(super) expires: String,
    pub(super) data: String,
}

#[derive(Clone, Debug)]
pub(super) struct Statements {
    pub(super) create_table: [Statement; 1],
    pub(super) get: Statement,
    pub(super) add: Statement,
    pub(super) remove_expired: Statement,
    pub(super) swap: Statement,
    pub(super) extend: Statement,
    pub(super) remove: Statement,
    pub(super) count: Statement,
    pub(super) page: Statement,
    pub(super) clear: Statement,
    pub(super) expired: Statement,
}

impl Statements {
    /// `is_bytes` says whether ids are in a column of bytes.
    pub(super) fn new(names: &Names, is_bytes: bool) -> Self {
        let statement = |text: &str| {
            let mut text = text.replace("{name}", NAME[usize::from(is_bytes)]);
            for (name, fragment) in FRAGMENTS {
                text = text.replace(name, fragment);
            }
            // One pass, because a table may be named like a fragment.
            let mut filled = String::with_capacity(text.len());
            let mut rest = text.as_str();
            while let Some((before, after)) = rest.split_once('{') {
                let (name, after) = after.split_once('}').unwrap_or((after, ""));
                filled.push_str(before);
                filled.push_str(&Mysql::quoted(match name {
                    "table" => &names.table,
                    "sid" => &names.sid,
                    "expires" => &names.expires,
                    _ => &names.data,
                }));
                rest = after;
            }
            filled.push_str(rest);
            Statement::new(filled)
        };
        Self {
            create_table: [statement(CREATE_TABLE)],
            get: statement(GET),
            add: statement(ADD),
            remove_expired: statement(REMOVE_EXPIRED),
            swap: statement(SWAP),
            extend: statement(EXTEND),
            remove: statement(REMOVE),
            count: statement(COUNT),
            page: statement(PAGE),
            clear: statement(CLEAR),
            expired: statement(EXPIRED),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted_and_never_read_as_sql() {
        let odd = Names {
            table: "a`; DROP TABLE b; --{data}".to_owned(),
            sid: "{live}".to_owned(),
            expires: "e".to_owned(),
            data: "d".to_owned(),
        };
        let sql = Statements::new(&odd, false);
        assert_eq!(
            sql.remove.text(),
            "DELETE FROM `a``; DROP TABLE b; --{data}` WHERE `{live}` = ? \
             AND (`e` >= ROUND(UNIX_TIMESTAMP(NOW(3))))"
        );
    }
}
