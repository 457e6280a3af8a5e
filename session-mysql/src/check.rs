//! Checks when a store is made: the columns and indexes of the table, and the user's rights.
//!
//! Another program may have a table of the same name, which must not be used.

use session_core::{Error, Result};
use sqlx::mysql::MySqlRow;
use sqlx::{AssertSqlSafe, Row};

use crate::command::Commands;
use crate::prepared::Bound;
use crate::schema::quoted;

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

/// Name, type, and whether it may be null.
const EXPECTED_COLUMNS: [(&str, &str, bool); 12] = [
    ("id", "varbinary(255)", false),
    ("version", "tinyint unsigned", false),
    ("stamp", "binary(16)", false),
    ("credential", "varbinary(192)", false),
    ("description", "varbinary(255)", true),
    ("owner", "varbinary(1024)", true),
    ("born", "datetime(6)", false),
    ("idle", "bigint", true),
    ("absolute", "bigint", true),
    ("deadline", "datetime(6)", true),
    ("due", "bigint", true),
    ("data", "longblob", false),
];

/// A table, as the server describes it.
#[derive(Debug)]
pub(crate) struct Table {
    is_view: bool,
    engine: String,
    pub(crate) columns: Vec<Column>,
    indexes: Vec<Index>,
}

#[derive(Debug)]
pub(crate) struct Column {
    pub(crate) name: String,
    /// In lower case, without a display width.
    pub(crate) sql_type: String,
    pub(crate) is_nullable: bool,
    is_generated: bool,
    has_default: bool,
    /// The character set; empty for bytes.
    pub(crate) charset: String,
    pub(crate) characters: Option<u64>,
    pub(crate) bytes: Option<u64>,
}

#[derive(Debug)]
struct Index {
    name: String,
    is_unique: bool,
    columns: Vec<String>,
}

/// What is wrong with a table: a predicate that follows "the table".
pub(crate) type Difference = String;

impl Table {
    /// # Errors
    /// If it is a view.
    pub(crate) fn check_not_view(&self) -> Result<(), Difference> {
        match self.is_view {
            true => Err("is a view".to_owned()),
            false => Ok(()),
        }
    }

    /// # Errors
    /// If it is of an engine without transactions and row locks.
    pub(crate) fn check_engine(&self) -> Result<(), Difference> {
        match self.engine.eq_ignore_ascii_case("InnoDB") {
            true => Ok(()),
            false => Err(format!("has the engine {}, not InnoDB", self.engine)),
        }
    }

    /// # Errors
    /// If there is none.
    pub(crate) fn column(&self, name: &str) -> Result<&Column, Difference> {
        let same = |column: &&Column| column.name.to_lowercase() == name.to_lowercase();
        let found = self.columns.iter().find(same);
        found.ok_or_else(|| format!("has no column {}", quoted(name)))
    }

    /// # Errors
    /// If a column other than `known` has no default and can't be null.
    pub(crate) fn check_others(&self, known: &[&str]) -> Result<(), Difference> {
        let known: Vec<String> = known.iter().map(|name| name.to_lowercase()).collect();
        let needed = |column: &&Column| {
            let has_value = column.is_nullable || column.has_default || column.is_generated;
            !has_value && !known.contains(&column.name.to_lowercase())
        };
        match self.columns.iter().find(needed) {
            None => Ok(()),
            Some(column) => Err(format!(
                "has a column {} that must be given a value",
                quoted(&column.name)
            )),
        }
    }

    /// Whether `column` alone is a unique key.
    pub(crate) fn is_unique_key(&self, column: &str) -> bool {
        let is_key = |index: &Index| index.is_unique && index.is_of(&[column]);
        self.indexes.iter().any(is_key)
    }

    /// # Errors
    /// If `column` is not the primary key, no index begins with one of `indexed`, or another index
    /// is unique.
    fn check_indexes(&self, column: &str, indexed: &[&str]) -> Result<(), Difference> {
        let is_primary = |index: &&Index| index.name == "PRIMARY";
        let primary = self.indexes.iter().find(is_primary);
        if !primary.is_some_and(|index| index.is_of(&[column])) {
            return Err(format!("does not have the primary key {}", quoted(column)));
        }
        for column in indexed {
            let begins = |index: &Index| index.columns.first().is_some_and(|first| first == column);
            if !self.indexes.iter().any(begins) {
                return Err(format!("has no index on {}", quoted(column)));
            }
        }
        let unique = self.indexes.iter().find(|index| {
            index.is_unique && index.name != "PRIMARY" && !index.columns.iter().any(|c| c == column)
        });
        match unique {
            None => Ok(()),
            Some(index) => Err(format!("has the unique index {}", quoted(&index.name))),
        }
    }
}

impl Column {
    /// # Errors
    /// If it is of another type.
    fn check(&self, sql_type: &str, nullable: bool, generated: bool) -> Result<(), Difference> {
        let name = quoted(&self.name);
        if self.sql_type != sql_type {
            return Err(format!(
                "has a column {name} of type {}, not {sql_type}",
                self.sql_type
            ));
        }
        if self.is_nullable != nullable {
            let must = if nullable { "must" } else { "must not" };
            return Err(format!("has a column {name} that {must} allow NULL"));
        }
        if self.is_generated != generated {
            let is = if generated { "not " } else { "" };
            return Err(format!("has a column {name} that is {is}generated"));
        }
        Ok(())
    }
}

impl Index {
    fn is_of(&self, columns: &[&str]) -> bool {
        let lower = |name: &str| name.to_lowercase();
        let own = self.columns.iter().map(|name| lower(name));
        own.eq(columns.iter().map(|name| lower(name)))
    }
}

/// Finds a difference from the table that [`schema`](crate::schema) creates which a store can't
/// accept.
pub(crate) fn difference(table: &Table) -> Result<(), Difference> {
    table.check_not_view()?;
    table.column("id")?;
    table.check_engine()?;
    for (name, sql_type, nullable) in EXPECTED_COLUMNS {
        table
            .column(name)?
            .check(sql_type, nullable, name == "due")?;
    }
    table.check_others(&EXPECTED_COLUMNS.map(|(name, ..)| name))?;
    table.check_indexes("id", &["owner", "due"])
}

impl Commands<'_> {
    /// Checks the user's rights to the columns of a store's table.
    pub(crate) async fn check_own_rights(self) -> Result<()> {
        let written = EXPECTED_COLUMNS.map(|(name, ..)| name);
        let written: Vec<&str> = written.into_iter().filter(|name| *name != "due").collect();
        self.check_rights(&written).await
    }

    /// Fails if the table does not exist or is not a store's.
    pub(crate) async fn check_table(self) -> Result<()> {
        let table = self.table().await?;
        let table = table.ok_or_else(|| self.target().no_table())?;
        self.require(difference(&table))
    }

    /// Asks the server for the description of the table; `None` if there is none.
    pub(crate) async fn table(self) -> Result<Option<Table>> {
        let name = self.target().table;
        let ask = async |text: &str| {
            let text = text.replace("{named}", OF_THIS_NAME);
            let ask = || {
                let query = sqlx::query(AssertSqlSafe(text.clone())).persistent(false);
                query.bind(name).bind(name)
            };
            self.fetch(ask).await
        };
        let found = ask(SELECT_TABLE).await?;
        let Some(table) = found.first() else {
            return Ok(None);
        };
        let columns = ask(SELECT_COLUMNS).await?;
        let indexes = ask(SELECT_INDEXES).await?;
        Ok(Some(Table {
            is_view: !text(table, 0).eq_ignore_ascii_case("BASE TABLE"),
            engine: text(table, 1),
            columns: columns.iter().map(column).collect(),
            indexes: self::indexes(&indexes),
        }))
    }

    /// Makes an error of a difference.
    pub(crate) fn require<T>(self, checked: Result<T, Difference>) -> Result<T> {
        checked.map_err(|difference| {
            let target = self.target();
            target.misconfigured(format!(
                "the table {} is not a table of this kind of store: it {difference}; choose another \
                 with the option `table`",
                quoted(target.table)
            ))
        })
    }

    /// The description of the table, which `create` creates if it does not exist.
    pub(crate) async fn table_or_create(self, create: impl Fn() -> Bound) -> Result<Table> {
        if let Some(table) = self.table().await? {
            return Ok(table);
        }
        if !self.is_allowed(create).await? {
            let target = self.target();
            return Err(target.misconfigured(format!(
                "the table {} does not exist, and the user lacks the right CREATE to create it",
                quoted(target.table)
            )));
        }
        let table = self.table().await?;
        table.ok_or_else(|| self.missing_right("SELECT"))
    }

    /// Checks the user's rights to `columns` of the table, the first of which is its key. Sends
    /// nothing that writes or that a read-only server would refuse.
    pub(crate) async fn check_rights(self, columns: &[&str]) -> Result<()> {
        let table = quoted(self.target().table);
        let columns: Vec<String> = columns.iter().map(|name| quoted(name)).collect();
        let (key, all) = (&columns[0], columns.join(", "));
        for (right, statement) in [
            ("SELECT", format!("SELECT {all} FROM {table} LIMIT 0")),
            (
                "INSERT",
                format!(
                    "EXPLAIN INSERT INTO {table} ({all}) SELECT {all} FROM {table} WHERE FALSE"
                ),
            ),
            (
                "UPDATE",
                format!("EXPLAIN UPDATE {table} SET {key} = {key} WHERE {key} = ''"),
            ),
            (
                "DELETE",
                format!("EXPLAIN DELETE FROM {table} WHERE {key} = ''"),
            ),
        ] {
            let ask = || sqlx::query(AssertSqlSafe(statement.clone())).persistent(false);
            if !self.is_allowed(ask).await? {
                return Err(self.missing_right(right));
            }
        }
        Ok(())
    }

    fn missing_right(self, right: &str) -> Error {
        let target = self.target();
        target.misconfigured(format!(
            "the user lacks the right {right} on the table {}: grant SELECT, INSERT, UPDATE and DELETE \
             on it",
            quoted(target.table)
        ))
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

fn indexes(rows: &[MySqlRow]) -> Vec<Index> {
    let mut indexes: Vec<Index> = Vec::new();
    for row in rows {
        let (name, column) = (text(row, 0), text(row, 2));
        match indexes.last_mut().filter(|index| index.name == name) {
            Some(index) => index.columns.push(column),
            None => indexes.push(Index {
                name,
                is_unique: text(row, 1) == "0",
                columns: vec![column],
            }),
        }
    }
    indexes
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
