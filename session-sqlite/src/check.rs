//! The description of a table.

use session_core::Result;
use session_sql::{Column, Commands, Difference, Index, Table};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use crate::Sqlite;

/// Binds: the table's name.
const SELECT_TABLE: &str = "\
SELECT type, strict FROM pragma_table_list
WHERE schema = 'main' AND name = ? COLLATE NOCASE";
const SELECT_COLUMNS: &str = "\
SELECT name, type, \"notnull\", hidden, dflt_value IS NOT NULL FROM pragma_table_xinfo(?)";
const SELECT_INDEXES: &str = "\
SELECT list.name, list.origin, list.\"unique\", info.name
FROM pragma_index_list(?) AS list JOIN pragma_index_info(list.name) AS info
ORDER BY list.seq, info.seqno";

const SELECT_VERSION: &str = "SELECT sqlite_version()";

/// The first version with `unixepoch('subsec')`.
const MIN_VERSION: [u32; 2] = [3, 42];

/// How a table of another kind is described in [`Table::traits`].
const STRICT: &str = "strict";

/// Asks for the description of the table of `commands`; `None` if there is none.
pub(crate) async fn table(commands: Commands<'_, Sqlite>) -> Result<Option<Table>> {
    let name = commands.table_name();
    let ask = async |text: &'static str| {
        let ask = || sqlx::query(text).bind(name);
        commands.fetch(ask).await
    };
    let found = ask(SELECT_TABLE).await?;
    let Some(table) = found.first() else {
        return Ok(None);
    };
    let columns = ask(SELECT_COLUMNS).await?;
    let indexes = ask(SELECT_INDEXES).await?;
    Ok(Some(Table {
        is_view: text(table, 0) != "table",
        columns: columns.iter().map(column).collect(),
        indexes: Index::of_rows(indexes.iter().map(index)),
        traits: vec![(STRICT, number(table, 1).to_string())],
    }))
}

/// Checks the version of the library: the program may be linked with the system's.
///
/// # Errors
/// [`ErrorKind::Misconfigured`](session_core::ErrorKind::Misconfigured) if it is too old.
pub(crate) async fn version(commands: Commands<'_, Sqlite>) -> Result<()> {
    let ask = || sqlx::query(SELECT_VERSION);
    let rows = commands.fetch(ask).await?;
    let version = rows.first().map(|row| text(row, 0)).unwrap_or_default();
    let checked = check_version(&version);
    checked.map_err(|what| commands.target().misconfigured(what))
}

fn check_version(version: &str) -> Result<(), String> {
    let numbers = version.split('.').map_while(|number| number.parse().ok());
    let numbers: Vec<u32> = numbers.collect();
    let [major, minor] = MIN_VERSION;
    match numbers.as_slice() >= MIN_VERSION.as_slice() {
        true => Ok(()),
        false => Err(format!(
            "the program is linked with version {version} of the library, and a store needs \
             {major}.{minor} or later: link the one that the driver brings"
        )),
    }
}

/// # Errors
/// If a column of the table may hold values of any type.
pub(crate) fn check_strict(table: &Table) -> Result<(), Difference> {
    match table.traits.contains(&(STRICT, "1".to_owned())) {
        true => Ok(()),
        false => Err("is not STRICT".to_owned()),
    }
}

fn text(row: &SqliteRow, index: usize) -> String {
    row.try_get(index).unwrap_or_default()
}

fn number(row: &SqliteRow, index: usize) -> i64 {
    row.try_get(index).unwrap_or_default()
}

fn column(row: &SqliteRow) -> Column {
    Column {
        name: text(row, 0),
        sql_type: text(row, 1).to_lowercase(),
        is_nullable: number(row, 2) == 0,
        // 2: computed when read; 3: computed when written.
        is_generated: matches!(number(row, 3), 2 | 3),
        has_default: number(row, 4) == 1,
        ..Column::default()
    }
}

fn index(row: &SqliteRow) -> Index {
    Index {
        name: text(row, 0),
        is_primary: text(row, 1) == "pk",
        is_unique: number(row, 2) == 1,
        columns: vec![text(row, 3)],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_that_is_too_old_is_refused_with_both_versions() {
        for version in ["3.42.0", "3.51.3", "4.0.0"] {
            assert_eq!(check_version(version), Ok(()), "{version}");
        }
        for version in ["3.41.2", "3.7.17", "2.8.17", ""] {
            let what = check_version(version).expect_err(version);
            assert!(what.contains(&format!("version {version} ")), "{what}");
            assert!(what.contains("3.42 or later"), "{what}");
        }
    }
}
