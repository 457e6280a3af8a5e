//! Checks when a store is made: the server's version and the description of the table.

use session_core::Result;
use session_sql::record::{bytes, integer};
use session_sql::{Bound, Column, Commands, Difference, Expected, Index, Table};
use sqlx::AssertSqlSafe;
use sqlx::postgres::PgRow;

use crate::Postgres;
use crate::schema::quoted;

/// The oldest server that has all that the statements need.
const OLDEST: i64 = 130_000;

/// Names the server. One that reads and one that locks, which a proxy may send to different servers.
const READ_SERVER: &str = "\
SELECT convert_to(pg_postmaster_start_time()::text, 'UTF8')";
const LOCK_SERVER: &str = "\
SELECT convert_to(pg_postmaster_start_time()::text, 'UTF8') FOR UPDATE";

const SELECT_VERSION: &str = "SELECT current_setting('server_version_num')::int";

/// Binds, as those below: the quoted name, which is looked up as in any statement.
///
/// Kinds: `r` is a table, `p` a partitioned one.
const SELECT_TABLE: &str = "\
SELECT CASE relkind WHEN 'r' THEN '' WHEN 'p' THEN '' WHEN 'v' THEN 'view'
        WHEN 'm' THEN 'materialized view' WHEN 'f' THEN 'foreign table' WHEN 'S' THEN 'sequence'
        WHEN 'c' THEN 'composite type' ELSE 'index' END,
    row_security_active(oid)::int,
    coalesce((SELECT pg_get_expr(d.adbin, d.adrelid) FROM pg_catalog.pg_attrdef AS d
        JOIN pg_catalog.pg_attribute AS a ON a.attrelid = d.adrelid AND a.attnum = d.adnum
        WHERE d.adrelid = c.oid AND a.attname = 'due'), '')
FROM pg_catalog.pg_class AS c WHERE oid = to_regclass($1)";
const SELECT_COLUMNS: &str = "\
SELECT attname::text, format_type(atttypid, atttypmod), (NOT attnotnull)::int,
    (attgenerated <> '')::int, (atthasdef OR attidentity <> '')::int
FROM pg_catalog.pg_attribute
WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped ORDER BY attnum";
/// An expression in an index has no name. Nor has a column here of an index that finds no row: it is
/// invalid, after `CREATE INDEX CONCURRENTLY` has failed, or of other rows than those with an owner; or
/// it is checked at the end of a transaction only, so that `ON CONFLICT` refuses it.
const SELECT_INDEXES: &str = "\
SELECT c.relname::text, i.indisprimary::int, i.indisunique::int,
    CASE WHEN i.indisvalid AND i.indimmediate AND (i.indpred IS NULL
            OR pg_get_expr(i.indpred, i.indrelid) = '(owner IS NOT NULL)')
        THEN coalesce(a.attname, '') ELSE '' END::text
FROM pg_catalog.pg_index AS i
    JOIN pg_catalog.pg_class AS c ON c.oid = i.indexrelid
    CROSS JOIN LATERAL unnest(i.indkey) WITH ORDINALITY AS k (attnum, position)
    LEFT JOIN pg_catalog.pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
WHERE i.indrelid = to_regclass($1) AND k.position <= i.indnkeyatts
ORDER BY c.relname, k.position";

const TIME: &str = "timestamp with time zone";

pub(crate) const COLUMNS: &[Expected] = &[
    Expected::new("id", "bytea"),
    Expected::new("version", "smallint"),
    Expected::new("deadline", TIME).or_null(),
    Expected::new("born", TIME),
    Expected::new("idle", "bigint").or_null(),
    Expected::new("absolute", "bigint").or_null(),
    Expected::new("due", "bigint").or_null().generated(),
    Expected::new("claimed", TIME).or_null(),
    Expected::new("stamp", "bytea"),
    Expected::new("credential", "bytea"),
    Expected::new("description", "bytea").or_null(),
    Expected::new("owner", "bytea").or_null(),
    Expected::new("data", "bytea"),
];

/// The trait of a table that hides rows from this user.
const ROW_SECURITY: &str = "row security";
/// What a relation is that is no table.
const KIND: &str = "kind";
/// The expression of the column `due`.
const DUE: &str = "due";

/// # Errors
/// [`ErrorKind::Misconfigured`](session_core::ErrorKind::Misconfigured) if the server is too old, or
/// reads go to another server than writes.
pub(crate) async fn server(commands: Commands<'_, Postgres>) -> Result<()> {
    let ask = || sqlx::query(SELECT_VERSION);
    let rows = commands.fetch(ask).await?;
    let version = rows.first().map(|row| integer::<Postgres>(row, 0));
    let version = version.transpose()?.unwrap_or_default();
    if version >= OLDEST {
        return commands.check_one_server(READ_SERVER, LOCK_SERVER).await;
    }
    let (found, oldest) = (version / 10_000, OLDEST / 10_000);
    let old = format!("version {found} is too old: a store needs {oldest} or later");
    Err(commands.target().misconfigured(old))
}

/// Asks the server for the description of the table; `None` if there is none.
pub(crate) async fn table(commands: Commands<'_, Postgres>) -> Result<Option<Table>> {
    let name = commands.target().quoted_table();
    let ask = async |text: &'static str| {
        let ask = || -> Bound<Postgres> {
            let query = sqlx::query(AssertSqlSafe(text));
            query.bind(&*name)
        };
        commands.fetch(ask).await
    };
    let found = ask(SELECT_TABLE).await?;
    let Some(table) = found.first() else {
        return Ok(None);
    };
    let columns = ask(SELECT_COLUMNS).await?;
    let columns: Result<Vec<Column>> = columns.iter().map(column).collect();
    let mut described = Table {
        columns: columns?,
        indexes: indexes(&ask(SELECT_INDEXES).await?)?,
        ..Table::default()
    };
    let kind = text(table, 0)?;
    if !kind.is_empty() {
        described.traits.push((KIND, kind));
    }
    described.traits.push((DUE, text(table, 2)?));
    if flag(table, 1)? {
        described.traits.push((ROW_SECURITY, "active".to_owned()));
    }
    Ok(Some(described))
}

/// Finds a difference from the table that [`schema`](crate::schema()) creates which a store can't
/// accept.
pub(crate) fn difference(table: &Table) -> Result<(), Difference> {
    is_table(table)?;
    table.check_columns::<Postgres>(COLUMNS)?;
    table.check_indexes::<Postgres>("id", &["owner", "due"])?;
    is_due_in_units(table)?;
    no_row_security(table)
}

/// # Errors
/// If it is a view, a sequence or the like.
pub(crate) fn is_table(table: &Table) -> Result<(), Difference> {
    match found(table, KIND) {
        None => Ok(()),
        Some(kind) => Err(format!("is a {kind}")),
    }
}

/// Reaping looks for units of ten minutes. The rest of the expression contains a time in the zone of the connection.
fn is_due_in_units(table: &Table) -> Result<(), Difference> {
    let due = found(table, DUE).unwrap_or_default();
    let is_in_units = due.contains("deadline - ") && due.contains(") / (600)::double precision)");
    match is_in_units {
        true => Ok(()),
        false => Err("has a column \"due\" that is not the ten minutes of \"deadline\"".to_owned()),
    }
}

fn found<'t>(table: &'t Table, name: &str) -> Option<&'t str> {
    let found = table.traits.iter().find(|(other, _)| *other == name);
    found.map(|(_, value)| &**value)
}

/// # Errors
/// If row-level security hides rows from this user.
pub(crate) fn no_row_security(table: &Table) -> Result<(), Difference> {
    match found(table, ROW_SECURITY) {
        Some(_) => Err("has row-level security, which hides rows from this user".to_owned()),
        None => Ok(()),
    }
}

fn text(row: &PgRow, index: usize) -> Result<String> {
    Ok(String::from_utf8_lossy(bytes::<Postgres>(row, index)?).into_owned())
}

fn flag(row: &PgRow, index: usize) -> Result<bool> {
    Ok(integer::<Postgres>(row, index)? != 0)
}

fn column(row: &PgRow) -> Result<Column> {
    Ok(Column {
        name: text(row, 0)?,
        sql_type: text(row, 1)?,
        is_nullable: flag(row, 2)?,
        is_generated: flag(row, 3)?,
        has_default: flag(row, 4)?,
        ..Column::default()
    })
}

fn indexes(rows: &[PgRow]) -> Result<Vec<Index>> {
    let mut indexes: Vec<Index> = Vec::new();
    for row in rows {
        let (name, column) = (text(row, 0)?, text(row, 3)?);
        match indexes.last_mut().filter(|index| index.name == name) {
            Some(index) => index.columns.push(column),
            None => indexes.push(Index {
                name,
                is_primary: flag(row, 1)?,
                is_unique: flag(row, 2)?,
                columns: vec![column],
            }),
        }
    }
    Ok(indexes)
}

/// Refuses a name that the server would cut off, or can't have: two long names may then be one.
pub(crate) fn name(what: &str, name: &str) -> Result<()> {
    let invalid = |rule: &str| {
        let message = format!("invalid {what} name {}: it {rule}", quoted(name));
        Err(session_core::Error::misconfigured(message))
    };
    match name.len() {
        _ if name.contains('\0') => invalid("must not contain a NUL"),
        1..=63 => Ok(()),
        _ => invalid("must have 1 to 63 bytes"),
    }
}
