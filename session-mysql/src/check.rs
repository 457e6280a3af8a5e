//! Asks the server for the columns and indexes of a table.

use session_core::Result;
use session_sql::{Column, Commands, Difference, Index, Table};
use sqlx::mysql::MySqlRow;
use sqlx::{AssertSqlSafe, Row};

use crate::Mysql;

/// Binds: the table's name, twice. Some servers store names in lower case.
const OF_THIS_NAME: &str = "\
TABLE_SCHEMA = DATABASE() AND TABLE_NAME = IF(@@lower_case_table_names = 1, LOWER(?), ?)";
/// The types of these columns differ between servers, so all are read as bytes.
const SELECT_TABLE: &str = "\
SELECT CAST(TABLE_TYPE AS BINARY), CAST(IFNULL(ENGINE, '') AS BINARY)
FROM information_schema.TABLES WHERE {named}";
const SELECT_COLUMNS: &str = "\
SELECT CAST(COLUMN_NAME AS BINARY), CAST(COLUMN_TYPE AS BINARY), CAST(IS_NULLABLE AS BINARY),
    CAST(IFNULL(EXTRA, '') AS BINARY), CAST(IFNULL(CHARACTER_SET_NAME, '') AS BINARY),
    CAST(IFNULL(CHARACTER_MAXIMUM_LENGTH, '') AS BINARY),
    CAST(IFNULL(CHARACTER_OCTET_LENGTH, '') AS BINARY),
    CAST(IF(COLUMN_DEFAULT IS NULL, '', '1') AS BINARY)
FROM information_schema.COLUMNS WHERE {named} ORDER BY ORDINAL_POSITION";
const SELECT_INDEXES: &str = "\
SELECT CAST(INDEX_NAME AS BINARY), CAST(NON_UNIQUE AS BINARY), CAST(COLUMN_NAME AS BINARY)
FROM information_schema.STATISTICS WHERE {named} ORDER BY INDEX_NAME, SEQ_IN_INDEX";

/// Names the server. One that reads and one that locks, which a proxy may send to different servers.
const READ_SERVER: &str = "\
SELECT CAST(CONCAT_WS(' ', @@server_id, @@hostname, @@port) AS BINARY)";
const LOCK_SERVER: &str = "\
SELECT CAST(CONCAT_WS(' ', @@server_id, @@hostname, @@port) AS BINARY) FOR UPDATE";

/// The name of a table's engine in [`Table::traits`].
const ENGINE: &str = "engine";

/// The description of the table; `None` if there is none.
pub(crate) async fn table(commands: Commands<'_, Mysql>) -> Result<Option<Table>> {
    let name = commands.table_name();
    let ask = async |text: &str| {
        let text = text.replace("{named}", OF_THIS_NAME);
        let ask = || {
            let query = sqlx::query(AssertSqlSafe(text.clone()));
            query.bind(name).bind(name)
        };
        commands.fetch(ask).await
    };
    let found = ask(SELECT_TABLE).await?;
    let Some(table) = found.first() else {
        return Ok(None);
    };
    let columns = ask(SELECT_COLUMNS).await?;
    let indexes = ask(SELECT_INDEXES).await?;
    Ok(Some(Table {
        is_view: !text(table, 0).eq_ignore_ascii_case("BASE TABLE"),
        columns: columns.iter().map(column).collect(),
        indexes: Index::of_rows(indexes.iter().map(index)),
        traits: vec![(ENGINE, text(table, 1))],
    }))
}

/// # Errors
/// [`ErrorKind::Misconfigured`](session_core::ErrorKind::Misconfigured) if reads go to another
/// server than writes.
pub(crate) async fn one_server(commands: Commands<'_, Mysql>) -> Result<()> {
    commands.check_one_server(READ_SERVER, LOCK_SERVER).await
}

/// # Errors
/// If the table is of an engine without transactions and row locks.
pub(crate) fn check_engine(table: &Table) -> Result<(), Difference> {
    let engine = table.traits.iter().find(|(name, _)| *name == ENGINE);
    let engine = engine.map_or("", |(_, engine)| engine);
    match engine.eq_ignore_ascii_case("InnoDB") {
        true => Ok(()),
        false => Err(format!("has the engine {engine}, not InnoDB")),
    }
}

fn text(row: &MySqlRow, index: usize) -> String {
    let bytes: &[u8] = row.try_get(index).unwrap_or_default();
    String::from_utf8_lossy(bytes).into_owned()
}

fn column(row: &MySqlRow) -> Column {
    let extra = text(row, 3).to_lowercase();
    Column {
        name: text(row, 0),
        sql_type: without_width(&text(row, 1).to_lowercase()),
        is_nullable: text(row, 2).eq_ignore_ascii_case("YES"),
        is_generated: extra.contains("stored") || extra.contains("virtual"),
        has_default: text(row, 7) == "1" || extra.contains("auto_increment"),
        charset: text(row, 4).to_lowercase(),
        characters: text(row, 5).parse().ok(),
        bytes: text(row, 6).parse().ok(),
    }
}

/// Removes the display width, which some servers show for integers.
fn without_width(sql_type: &str) -> String {
    match (sql_type.split_once('('), sql_type.split_once(')')) {
        (Some((name, _)), Some((_, rest))) if name.ends_with("int") => format!("{name}{rest}"),
        _ => sql_type.to_owned(),
    }
}

fn index(row: &MySqlRow) -> Index {
    Index {
        name: text(row, 0),
        is_primary: text(row, 0) == "PRIMARY",
        is_unique: text(row, 1) == "0",
        columns: vec![text(row, 2)],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn display_widths_of_integers_are_ignored() {
        for (shown, sql_type) in [
            ("int(10) unsigned", "int unsigned"),
            ("bigint(20)", "bigint"),
            ("bigint", "bigint"),
            ("varbinary(255)", "varbinary(255)"),
            ("datetime(6)", "datetime(6)"),
        ] {
            assert_eq!(without_width(shown), sql_type);
        }
    }
}
