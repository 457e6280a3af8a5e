//! The table, and every statement on it.
//!
//! Names are quoted and all values are bound. The server computes all times. A row is live if `{live}`,
//! and over if `{over}`.
//!
//! `clock_timestamp()` is the time at which it is evaluated; in a subquery, once for all rows, so that
//! the index on the expiry can be used.

use session_sql::Statement;

use super::format::Format;
use crate::Postgres;
use crate::schema::{create_once, literal, quoted};

const CREATE_TABLE: &str = "\
CREATE TABLE {table} (
    \"sid\" varchar NOT NULL COLLATE \"default\" PRIMARY KEY,
    \"sess\" json NOT NULL,
    \"expire\" timestamp(6) NOT NULL
);
CREATE INDEX ON {table} (\"expire\")";

/// The server's encoding, and the zone of a new connection that sets none: that of the role in this
/// database, the role, the database, all of them. The server's own is not shown to clients that set one,
/// as the driver does.
pub(super) const SELECT_SETTINGS: &str = "\
SELECT current_setting('server_encoding'), coalesce((
    SELECT split_part(entry, '=', 2)
    FROM pg_catalog.pg_db_role_setting AS s
        LEFT JOIN pg_catalog.pg_roles AS r ON r.oid = s.setrole
        LEFT JOIN pg_catalog.pg_database AS d ON d.oid = s.setdatabase
        CROSS JOIN LATERAL unnest(s.setconfig) AS entry
    WHERE lower(split_part(entry, '=', 1)) = 'timezone'
        AND (s.setrole = 0 OR r.rolname = session_user)
        AND (s.setdatabase = 0 OR d.datname = current_database())
    ORDER BY s.setrole = 0, s.setdatabase = 0 LIMIT 1), current_setting('log_timezone'))";

/// Binds: a time zone.
pub(super) const CHECK_TIME_ZONE: &str = "SELECT clock_timestamp() AT TIME ZONE $1";

/// Binds: the id.
const GET: &str = "SELECT {value}, {left} FROM {table} AS s WHERE s.sid = $1 AND {live}";

/// Binds: the id, milliseconds to live, the value. Replaces an expired row, never a live one.
const ADD: &str = "\
INSERT INTO {table} AS s (sid, expire, sess) VALUES ($1, {at}, $3::{json})
ON CONFLICT (sid) DO UPDATE SET expire = EXCLUDED.expire, sess = EXCLUDED.sess WHERE {over}";

/// Binds: the id.
const REMOVE_EXPIRED: &str = "DELETE FROM {table} AS s WHERE s.sid = $1 AND {over}";

/// Binds: the new id, milliseconds to live, the new value, the id, the old value.
const SWAP: &str = "\
UPDATE {table} AS s SET sid = $1, expire = {at}, sess = $3::{json}
WHERE s.sid = $4 AND {same} AND {live}";

/// Binds: the id, milliseconds to live.
const EXTEND: &str = "\
UPDATE {table} AS s SET expire = GREATEST(s.expire, {at}) WHERE s.sid = $1 AND {live}";

/// Binds: the id.
const REMOVE: &str = "DELETE FROM {table} AS s WHERE s.sid = $1 AND {live}";

const COUNT: &str = "SELECT count(*) FROM {table} AS s WHERE {live}";

/// Binds: the id before the page, the most rows.
const PAGE: &str = "\
SELECT s.sid, {value}, {left} FROM {table} AS s
WHERE s.sid > $1 AND {live} ORDER BY s.sid LIMIT $2";

/// Binds: the most rows.
const CLEAR: &str = "\
DELETE FROM {table} WHERE sid = ANY(ARRAY(
    SELECT s.sid FROM {table} AS s ORDER BY s.sid LIMIT $1 FOR UPDATE))";

/// Binds: the most rows. Never waits: a row that another statement has locked is left.
const PURGE: &str = "\
DELETE FROM {table} WHERE sid = ANY(ARRAY(
    SELECT s.sid FROM {table} AS s WHERE s.expire < (SELECT {now}) AND {over}
    LIMIT $1 FOR UPDATE SKIP LOCKED))";

/// connect-pg-simple takes the app's clock, rounded up to the second, for what the server's is here.
/// `infinity` can't be subtracted from.
const FRAGMENTS: [(&str, &str); 7] = [
    ("{over}", "({live}) IS NOT TRUE"),
    ("{value}", "s.sess::text"),
    (
        "{left}",
        "floor(date_part('epoch', LEAST({ends}, clock_timestamp() + interval '5000 years') \
         - clock_timestamp()) * 1000)::bigint",
    ),
    ("{live}", "{ends} >= clock_timestamp()"),
    (
        "{at}",
        "to_timestamp(ceil(date_part('epoch', \
         clock_timestamp() + $2::bigint * interval '1 millisecond'))){local}",
    ),
    ("{ends}", "(s.expire{local})"),
    ("{now}", "clock_timestamp(){local}"),
];

#[derive(Clone, Debug)]
pub(super) struct Statements {
    pub(super) create_table: [Statement<Postgres>; 1],
    pub(super) get: Statement<Postgres>,
    pub(super) add: Statement<Postgres>,
    pub(super) remove_expired: Statement<Postgres>,
    pub(super) swap: Statement<Postgres>,
    pub(super) extend: Statement<Postgres>,
    pub(super) remove: Statement<Postgres>,
    pub(super) count: Statement<Postgres>,
    pub(super) page: Statement<Postgres>,
    pub(super) clear: Statement<Postgres>,
    pub(super) purge: Statement<Postgres>,
}

impl Statements {
    /// The statements on `table`, which may be [qualified](crate::schema::qualified).
    pub(super) fn new(table: &str, format: &Format) -> Self {
        let (json, same) = match format.is_parsed {
            true => ("jsonb", "s.sess = $5::jsonb"),
            false => ("json", "s.sess::text = $5::text"),
        };
        let local = match &format.time_zone {
            Some(zone) => format!(" AT TIME ZONE {}", literal(zone)),
            None => String::new(),
        };
        let quoted = quoted(table);
        let statement = |text: &str| {
            let fill = |text: String, (name, fragment): (&str, &str)| text.replace(name, fragment);
            let text = FRAGMENTS.into_iter().fold(text.to_owned(), fill);
            let text = text.replace("{json}", json).replace("{same}", same);
            // Last, because a table may be named like a fragment.
            let text = text.replace("{local}", &local);
            Statement::new(text.replace("{table}", &quoted))
        };
        let create = CREATE_TABLE.replace("{table}", &quoted);
        Self {
            create_table: [Statement::new(create_once(table, &create))],
            get: statement(GET),
            add: statement(ADD),
            remove_expired: statement(REMOVE_EXPIRED),
            swap: statement(SWAP),
            extend: statement(EXTEND),
            remove: statement(REMOVE),
            count: statement(COUNT),
            page: statement(PAGE),
            clear: statement(CLEAR),
            purge: statement(PURGE),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_zones_are_quoted_and_never_read_as_sql() {
        let format = Format::new("it's".to_owned());
        let sql = Statements::new("a\"; DROP TABLE b; --{local}", &format);
        assert_eq!(
            sql.remove.text(),
            "DELETE FROM \"a\"\"; DROP TABLE b; --{local}\" AS s WHERE s.sid = $1 \
             AND (s.expire AT TIME ZONE E'it''s') >= clock_timestamp()"
        );
    }

    #[test]
    fn every_fragment_is_filled_in() {
        for is_parsed in [false, true] {
            let format = Format {
                is_parsed,
                time_zone: None,
            };
            let all = format!("{:?}", Statements::new("t", &format));
            for (name, _) in FRAGMENTS {
                assert!(!all.contains(name), "{name} is left in {all}");
            }
            for name in ["{table}", "{json}", "{same}", "{local}"] {
                assert!(!all.contains(name), "{name} is left in {all}");
            }
            assert_eq!(all.contains("$3::jsonb"), is_parsed, "{all}");
        }
    }
}
