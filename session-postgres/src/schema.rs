//! The table, and every statement on it.
//!
//! Names are quoted and all values are bound. The server computes all times: callers bind
//! durations. A session is live if `{live}`, expired if `{expired}`.
//!
//! `clock_timestamp()` is the time at which it is evaluated. `now()` would be the time at which the
//! statement began, so a save that waits for a lock could write to a session that has expired since.
//!
//! A condition in an `UPDATE` or `DELETE` is evaluated before the row is locked, and once more only if
//! the row was changed meanwhile. So `{locked}` locks the rows first, in the order of their ids, and
//! the conditions are on the columns of the locked row: `found` is its stamp, `ends` its deadline. A
//! statement that updates rows as it finds them takes locks in the order of its plan, which for a small
//! table is that of the pages, not of the ids. It costs the server about a tenth of its time for batches
//! of 16 saves without a wait for the disk, and nothing measurable for single ones and with that wait.

use session_sql::Statement;

use crate::Postgres;

/// The version of the layout, in the column `version` of each row. A row of another version is
/// corrupt.
pub(crate) const VERSION: u8 = 2;

/// What separates the name of a schema from that of a table: no name contains it.
const IN_SCHEMA: char = '\0';

/// Returns the statements that create the table `table`, which
/// [`migrate`](crate::PostgresStore::migrate) runs if it does not exist. For a table in a named schema
/// or an unlogged one, use [`PostgresStoreBuilder::create_table`](crate::PostgresStoreBuilder::create_table).
#[must_use]
pub fn schema(table: &str) -> String {
    create_table(table, false)
}

/// The statements that create a table.
pub(crate) fn create_table(name: &str, is_unlogged: bool) -> String {
    let kind = if is_unlogged {
        "UNLOGGED TABLE"
    } else {
        "TABLE"
    };
    let text = CREATE_TABLE.replace("{kind}", kind);
    text.replace("{table}", &quoted(name))
}

/// `deadline` comes before `born`, because the server computes columns in this order: no deadline is
/// later than `born` and the absolute limit.
///
/// `due` is the deadline in units of ten minutes, counted from 2000. A save or touch that leaves it as it
/// is changes no column that has an index, so it can be a HOT update; measured with eight connections
/// that save 20,000 rows of 300 bytes, those are a third more a second. With minutes hardly any touch
/// would be one: a session that ends after 30 minutes without use is touched every 90 s. With hours
/// reaping would have to read all such sessions: 60 ms for 200,000 of them, instead of 12 ms with minutes.
///
/// The free fifth of each page is for the next versions of its rows. The server removes old versions
/// after changes of a fiftieth of the rows, instead of a fifth; likewise of data of more than 2 kB, which
/// is in another table.
const CREATE_TABLE: &str = "\
CREATE {kind} {table} (
    \"id\" bytea NOT NULL PRIMARY KEY,
    \"version\" smallint NOT NULL,
    \"deadline\" timestamptz NULL,
    \"born\" timestamptz NOT NULL,
    \"idle\" bigint NULL,
    \"absolute\" bigint NULL,
    \"due\" bigint GENERATED ALWAYS AS (floor(date_part('epoch',
        \"deadline\" - timestamptz '2000-01-01 00:00:00+00') / 600)::bigint) STORED,
    \"claimed\" timestamptz NULL,
    \"stamp\" bytea NOT NULL,
    \"credential\" bytea NOT NULL,
    \"description\" bytea NULL,
    \"owner\" bytea NULL,
    \"data\" bytea NOT NULL
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000,
    toast.autovacuum_vacuum_scale_factor = 0.02, toast.autovacuum_vacuum_threshold = 1000);
CREATE INDEX ON {table} (\"owner\", \"id\") WHERE \"owner\" IS NOT NULL;
CREATE INDEX ON {table} (\"due\")";

/// What programs lock that create a table, so that of many that start at once one creates it: any
/// number that others are unlikely to lock.
const MIGRATION_LOCK: i64 = 0x7365_7373_696f_6e73;

/// Replaces an expired session, never a live one.
const CREATE: &str = "\
INSERT INTO {table} AS s (id, version, deadline, born, idle, absolute, stamp, credential,
    description, owner, data)
SELECT {n.id}, {version}, clock_timestamp() + {n.left} * interval '1 microsecond',
    clock_timestamp() - {n.age} * interval '1 microsecond', {n.idle}, {n.absolute}, {n.stamp}, {n.credential}, {n.description},
    {n.owner}, {n.data}
{FROM}
ON CONFLICT (id) DO UPDATE SET version = EXCLUDED.version, deadline = EXCLUDED.deadline,
    born = EXCLUDED.born, idle = EXCLUDED.idle, absolute = EXCLUDED.absolute,
    stamp = EXCLUDED.stamp, credential = EXCLUDED.credential,
    description = EXCLUDED.description, owner = EXCLUDED.owner, data = EXCLUDED.data,
    claimed = NULL
WHERE s.deadline <= clock_timestamp()";
const CREATE_BINDS: Binds = &[
    ("id", "bytea"),
    ("left", "bigint"),
    ("age", "bigint"),
    ("idle", "bigint"),
    ("absolute", "bigint"),
    ("stamp", "bytea"),
    ("credential", "bytea"),
    ("description", "bytea"),
    ("owner", "bytea"),
    ("data", "bytea"),
];

/// `LEAST` leaves nulls out: it is null if both limits are.
const SAVE: &str = "\
UPDATE {table} AS s SET version = {version}, stamp = {n.stamp}, credential = {n.credential},
    description = {n.description}, owner = {n.owner}, idle = {n.idle}, absolute = {n.absolute},
    deadline = LEAST(clock_timestamp() + {n.idle_micros} * interval '1 microsecond',
        CASE WHEN {n.restart} THEN clock_timestamp() ELSE s.born END
            + {n.absolute_micros} * interval '1 microsecond'),
    born = CASE WHEN {n.restart} THEN clock_timestamp() ELSE s.born END,
    data = {n.data}
FROM {locked} FOR NO KEY UPDATE) AS l
WHERE s.id = l.id AND l.found = {n.expected} AND {still_live}";
const SAVE_BINDS: Binds = &[
    ("id", "bytea"),
    ("expected", "bytea"),
    ("stamp", "bytea"),
    ("credential", "bytea"),
    ("description", "bytea"),
    ("owner", "bytea"),
    ("idle", "bigint"),
    ("absolute", "bigint"),
    ("idle_micros", "bigint"),
    ("absolute_micros", "bigint"),
    ("restart", "boolean"),
    ("data", "bytea"),
];

/// Null is never, and the later of two deadlines if there is one.
const TOUCH: &str = "\
UPDATE {table} AS s SET deadline = CASE
    WHEN s.deadline IS NULL OR ({n.idle_micros} IS NULL AND s.absolute IS NULL) THEN NULL
    ELSE GREATEST(s.deadline, LEAST(clock_timestamp() + {n.idle_micros} * interval '1 microsecond',
        s.born + GREATEST(LEAST(s.absolute, {longest}), 0) * interval '1 millisecond')) END
FROM {locked} FOR NO KEY UPDATE) AS l
WHERE s.id = l.id AND {still_live}
RETURNING s.id, {ttl}";
const TOUCH_BINDS: Binds = &[("id", "bytea"), ("idle_micros", "bigint")];

const DESTROY: &str = "\
DELETE FROM {table} AS s
USING {locked} FOR UPDATE) AS l
WHERE s.id = l.id AND ({n.expected} IS NULL OR l.found = {n.expected}) AND {still_live}
RETURNING {end}{announce_end}";
const DESTROY_BINDS: Binds = &[("id", "bytea"), ("expected", "bytea")];

/// Binds: the id.
const LOAD: &str = "SELECT {record} FROM {table} AS s WHERE s.id = $1 AND {live}";

/// Binds: the ids.
const LOAD_MANY: &str = "SELECT {record} FROM {table} AS s WHERE s.id = ANY($1) AND {live}";

/// Binds: the ids.
const STAMPS: &str = "SELECT s.id, s.stamp FROM {table} AS s WHERE s.id = ANY($1) AND {live}";

const COUNT: &str = "SELECT count(*) FROM {table} AS s WHERE {live}";

/// Binds: the id before the page, the most rows.
const LIST: &str = "\
SELECT {info} FROM {table} AS s WHERE s.id > $1 AND {live} ORDER BY s.id LIMIT $2";

/// Binds: owner, the id before the page, the most rows. The index on the owner has the ids in order.
const OWNED: &str = "\
SELECT {info} FROM {table} AS s WHERE s.owner = $1 AND s.id > $2 AND {live}
ORDER BY s.id LIMIT $3";

/// Binds: owner, the id to keep (or an empty one), the most rows.
const OWNED_IDS: &str = "\
SELECT {end} FROM {table} AS s WHERE s.owner = $1 AND s.id <> $2 AND {live} LIMIT $3";

/// Binds: the ids, the owner. Waits for locks on the rows, in the order of the ids.
const DELETE_OWNED: &str = "\
WITH l AS MATERIALIZED (
    SELECT s.id, s.deadline AS ends FROM {table} AS s WHERE s.id = ANY($1) AND s.owner = $2
    ORDER BY s.id FOR UPDATE)
DELETE FROM {table} AS s USING l WHERE s.id = l.id AND {still_live}
RETURNING {end}{announce_end}";

/// Binds: the most rows. Takes no lock.
const EXPIRED_IDS: &str = "SELECT s.id FROM {table} AS s WHERE {claimable} LIMIT $1";

/// Binds: the ids. Never waits: a row that another statement has locked is left.
const CLAIM: &str = "\
UPDATE {table} AS s SET claimed = clock_timestamp() + interval '60 seconds'
WHERE s.id = ANY(ARRAY(
    SELECT s.id FROM {table} AS s WHERE s.id = ANY($1) AND {claimable}
    ORDER BY s.id FOR NO KEY UPDATE SKIP LOCKED))
RETURNING {end}";

/// Binds: the ids. A session that was created anew under such an id is not claimed.
const DELETE_CLAIMED: &str = "\
DELETE FROM {table} AS s WHERE s.id = ANY(ARRAY(
    SELECT s.id FROM {table} AS s
    WHERE s.id = ANY($1) AND s.claimed IS NOT NULL AND s.deadline <= clock_timestamp()
    ORDER BY s.id FOR UPDATE))";

/// Binds: the ids. Selects those that have rows, live or expired. Takes no lock.
const PRESENT: &str = "SELECT s.id FROM {table} AS s WHERE s.id = ANY($1)";

/// Binds: the most rows. `TRUNCATE` is a right of its own.
const CLEAR: &str = "\
DELETE FROM {table} AS s
WHERE s.id = ANY(ARRAY(
    SELECT s.id FROM {table} AS s ORDER BY s.id LIMIT $1 FOR UPDATE)){announce_clear}";

/// What a statement that ends sessions returns beside its columns, so that listeners hear of each end
/// once it is committed. Listeners and all names of one table agree on the number of the table.
const ANNOUNCE_END: &str =
    ", CASE WHEN {room} THEN pg_notify({channel}, '-' || encode(s.id, 'hex')) END";
const ANNOUNCE_CLEAR: &str = "\nRETURNING CASE WHEN {room} THEN pg_notify({channel}, '*') END";
const ANNOUNCE_CHANGE: &str = "\nRETURNING CASE WHEN {n.restart} AND {room} \
     THEN pg_notify({channel}, '~' || encode(s.id, 'hex')) END";

/// Whether the server's queue of notices, which all databases share, has room: a statement that
/// announces is rolled back if it has none. The queue is full if a connection that listens stays in a
/// transaction for days. Evaluated once a statement.
const ROOM: &str = "(SELECT pg_notification_queue_usage() < 0.9)";

/// The channel of the table's announcements.
const CHANNEL: &str = "'session_store_' || {name}::regclass::oid";

/// `statement_timestamp()` does not change within a statement, so the index on `due` can be used.
///
/// `infinity` can't be subtracted from: a row that is `born` then has no age, and is corrupt. No
/// deadline is infinite, because `due` is computed from it.
const FRAGMENTS: [(&str, &str); 11] = [
    ("{version}", "2"),
    (
        "{record}",
        "s.id, s.version, s.stamp, s.credential, s.owner, s.idle, s.absolute, {ttl}, {age}, s.data, \
         s.description",
    ),
    (
        "{info}",
        "s.id, s.owner, s.idle, s.absolute, {ttl}, {age}, octet_length(s.data), s.description",
    ),
    ("{end}", "s.id, s.owner, {age}"),
    (
        "{live}",
        "(s.deadline IS NULL OR s.deadline > clock_timestamp())",
    ),
    (
        "{still_live}",
        "(l.ends IS NULL OR l.ends > clock_timestamp())",
    ),
    // A claim that is longer than any is from before the clock was set back.
    (
        "{claimable}",
        "{expired} AND (s.claimed IS NULL OR s.claimed NOT BETWEEN clock_timestamp() \
         AND clock_timestamp() + interval '120 seconds')",
    ),
    (
        "{expired}",
        "(s.due <= floor(date_part('epoch', statement_timestamp() \
         - timestamptz '2000-01-01 00:00:00+00') / 600)::bigint AND s.deadline <= clock_timestamp())",
    ),
    (
        "{ttl}",
        "(date_part('epoch', s.deadline - clock_timestamp()) * 1e6)::bigint",
    ),
    (
        "{age}",
        "CASE WHEN isfinite(s.born) \
         THEN (date_part('epoch', clock_timestamp() - s.born) * 1e6)::bigint END",
    ),
    // A century in milliseconds: an interval can't be much longer.
    ("{longest}", "3162240000000"),
];

/// What a statement must know of a row that it has locked.
/// `OFFSET` keeps the server from looking at conditions on that before the lock.
const LOCKED: &str = "\
(SELECT s.id, s.stamp AS found, s.deadline AS ends FROM {table} AS s
    WHERE s.id = {n.id} OFFSET 0";

/// The binds of a statement for one session or many, as names and types.
type Binds = &'static [(&'static str, &'static str)];

/// A statement in two forms. `{n.name}` is a bind of that name: a parameter in the one form, a column
/// of the parameters' arrays in the other.
#[derive(Clone, Debug)]
pub(crate) struct Sized {
    /// For one session: the parameters are values.
    pub(crate) one: Statement<Postgres>,
    /// For many sessions: the parameters are arrays.
    pub(crate) many: Statement<Postgres>,
}

/// All statements on one table.
#[derive(Clone, Debug)]
pub(crate) struct Statements {
    pub(crate) table: String,
    pub(crate) migrate: [Statement<Postgres>; 1],
    pub(crate) create: Sized,
    pub(crate) load: Statement<Postgres>,
    pub(crate) load_many: Statement<Postgres>,
    pub(crate) save: Sized,
    /// Announces the sessions whose age it restarts.
    pub(crate) sign_in: Sized,
    pub(crate) stamps: Statement<Postgres>,
    pub(crate) touch: Sized,
    pub(crate) destroy: Sized,
    pub(crate) count: Statement<Postgres>,
    pub(crate) list: Statement<Postgres>,
    pub(crate) owned: Statement<Postgres>,
    pub(crate) owned_ids: Statement<Postgres>,
    pub(crate) delete_owned: Statement<Postgres>,
    pub(crate) expired_ids: Statement<Postgres>,
    pub(crate) claim: Statement<Postgres>,
    pub(crate) delete_claimed: Statement<Postgres>,
    pub(crate) present: Statement<Postgres>,
    pub(crate) clear: Statement<Postgres>,
    /// Selects the channel of announcements, and the process of the server.
    pub(crate) channel: Statement<Postgres>,
    /// Sends a message to listeners. Binds: the message.
    pub(crate) announce: Statement<Postgres>,
}

impl Statements {
    /// The statements on `table`, which [`qualified`] makes. If `announces`, those that end sessions
    /// and sign in tell listeners.
    pub(crate) fn new(table: &str, is_unlogged: bool, announces: bool) -> Self {
        let announced = |text| if announces { text } else { "" };
        let name = literal(&quoted(table)).replace('{', "\\x7B");
        let filled = |text: &str| {
            let text = text.replace("{announce_end}", announced(ANNOUNCE_END));
            let text = text.replace("{announce_clear}", announced(ANNOUNCE_CLEAR));
            let text = text.replace("{channel}", CHANNEL).replace("{room}", ROOM);
            let fill = |text: String, (name, fragment): (&str, &str)| text.replace(name, fragment);
            let text = FRAGMENTS.into_iter().fold(text, fill);
            // Last, because a table may be named like a fragment.
            let text = text.replace("{name}", &name);
            Statement::new(text.replace("{table}", &quoted(table)))
        };
        let sized = |text: &str, binds: Binds| Sized {
            one: filled(&of_one(text, binds)),
            many: filled(&of_many(text, binds)),
        };
        Self {
            table: table.to_owned(),
            migrate: [Statement::new(create_once(
                table,
                &create_table(table, is_unlogged),
            ))],
            create: sized(CREATE, CREATE_BINDS),
            load: filled(LOAD),
            load_many: filled(LOAD_MANY),
            save: sized(SAVE, SAVE_BINDS),
            sign_in: sized(&format!("{SAVE}{}", announced(ANNOUNCE_CHANGE)), SAVE_BINDS),
            stamps: filled(STAMPS),
            touch: sized(TOUCH, TOUCH_BINDS),
            destroy: sized(DESTROY, DESTROY_BINDS),
            count: filled(COUNT),
            list: filled(LIST),
            owned: filled(OWNED),
            owned_ids: filled(OWNED_IDS),
            delete_owned: filled(DELETE_OWNED),
            expired_ids: filled(EXPIRED_IDS),
            claim: filled(CLAIM),
            delete_claimed: filled(DELETE_CLAIMED),
            present: filled(PRESENT),
            clear: filled(CLEAR),
            channel: filled("SELECT {channel}, pg_backend_pid()"),
            announce: filled("SELECT pg_notify({channel}, $1)"),
        }
    }
}

fn of_one(text: &str, binds: Binds) -> String {
    let text = text.replace("{FROM}\n", "").replace("{locked}", LOCKED);
    let bind = |text: String, (at, (name, sql_type)): (usize, &(&str, &str))| {
        text.replace(
            &format!("{{n.{name}}}"),
            &format!("${}::{sql_type}", at + 1),
        )
    };
    binds.iter().enumerate().fold(text, bind)
}

/// The arrays are in the order of the ids. `LATERAL` makes the server lock one row after the other in that
/// order, whatever its plan is, and only `l` is joined to the row that is written.
fn of_many(text: &str, binds: Binds) -> String {
    let array = |(at, (_, sql_type)): (usize, &(&str, &str))| format!("${}::{sql_type}[]", at + 1);
    let arrays: Vec<String> = binds.iter().enumerate().map(array).collect();
    let names: Vec<&str> = binds.iter().map(|(name, _)| *name).collect();
    let rows = format!("unnest({}) AS n ({})", arrays.join(", "), names.join(", "));
    let locked = format!("{rows}, LATERAL {LOCKED}");
    let text = text.replace("{FROM}", &format!("FROM {rows}"));
    let text = text.replace("{locked}", &locked);
    let bind =
        |text: String, name: &&str| text.replace(&format!("{{n.{name}}}"), &format!("n.{name}"));
    names.iter().fold(text, bind)
}

/// The statement that creates a table if it does not exist, by the statements `create`: all of it, or
/// nothing.
pub(crate) fn create_once(table: &str, create: &str) -> String {
    let name = literal(&quoted(table));
    let block = format!(
        "BEGIN
    PERFORM pg_advisory_xact_lock({MIGRATION_LOCK});
    IF to_regclass({name}) IS NULL THEN
        {create};
    END IF;
END"
    );
    format!("DO {}", literal(&block))
}

/// The name of `table` in `schema`, as [`quoted`] takes it.
pub(crate) fn qualified(schema: Option<&str>, table: &str) -> String {
    match schema {
        Some(schema) => format!("{schema}{IN_SCHEMA}{table}"),
        None => table.to_owned(),
    }
}

/// Quotes an identifier, which may contain any characters, and may be [`qualified`].
pub(crate) fn quoted(name: &str) -> String {
    let quoted = |part: &str| format!("\"{}\"", part.replace('"', "\"\""));
    let parts: Vec<String> = name.split(IN_SCHEMA).map(quoted).collect();
    parts.join(".")
}

/// A text as a literal, whatever `standard_conforming_strings` is.
pub(crate) fn literal(text: &str) -> String {
    format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

#[cfg(test)]
mod tests;
