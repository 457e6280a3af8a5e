//! What a table is made of, by the server's own account, and whether the user may work with it.
//!
//! Before it is used, a store looks whether the table is one of its own: others have tables of the
//! same name.

use session_core::{Error, Result};
use sqlx::mysql::MySqlRow;
use sqlx::{AssertSqlSafe, Row};

use crate::command::Commands;
use crate::schema::quoted;
use crate::statement::Bound;

/// Binds: the table's name, twice. On some servers names are stored in lower case.
const NAMED: &str = "\
TABLE_SCHEMA = DATABASE() AND TABLE_NAME = IF(@@lower_case_table_names = 1, LOWER(?), ?)";
/// Servers differ in the types of these columns, so all are read as bytes.
const TABLE: &str = "\
SELECT CAST(TABLE_TYPE AS BINARY), CAST(IFNULL(ENGINE, '') AS BINARY)
FROM information_schema.TABLES WHERE {named}";
const COLUMNS: &str = "\
SELECT CAST(COLUMN_NAME AS BINARY), CAST(COLUMN_TYPE AS BINARY), CAST(IS_NULLABLE AS BINARY),
    CAST(IFNULL(EXTRA, '') AS BINARY), CAST(IFNULL(CHARACTER_SET_NAME, '') AS BINARY),
    CAST(IFNULL(CHARACTER_MAXIMUM_LENGTH, '') AS BINARY),
    CAST(IFNULL(CHARACTER_OCTET_LENGTH, '') AS BINARY),
    CAST(IF(COLUMN_DEFAULT IS NULL, '', '1') AS BINARY)
FROM information_schema.COLUMNS WHERE {named} ORDER BY ORDINAL_POSITION";
const INDEXES: &str = "\
SELECT CAST(INDEX_NAME AS BINARY), CAST(NON_UNIQUE AS BINARY), CAST(COLUMN_NAME AS BINARY)
FROM information_schema.STATISTICS WHERE {named} ORDER BY INDEX_NAME, SEQ_IN_INDEX";

/// Name, type, and whether it may be null.
const OURS: [(&str, &str, bool); 11] = [
    ("id", "varbinary(255)", false),
    ("version", "tinyint unsigned", false),
    ("stamp", "binary(16)", false),
    ("credential", "varbinary(192)", false),
    ("owner", "varbinary(1024)", true),
    ("born", "datetime(6)", false),
    ("idle", "bigint", true),
    ("absolute", "bigint", true),
    ("deadline", "datetime(6)", true),
    ("due", "bigint", true),
    ("data", "longblob", false),
];

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
    pub(crate) kind: String,
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

/// What is not as it must be, in words that follow "the table".
pub(crate) type Difference = String;

impl Table {
    /// # Errors
    /// If it is a view.
    pub(crate) fn check_kind(&self) -> Result<(), Difference> {
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
    /// If another column than `known` must be given a value.
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

    /// Whether `column` alone names one row.
    pub(crate) fn is_key(&self, column: &str) -> bool {
        let is_key = |index: &Index| index.is_unique && index.is_of(&[column]);
        self.indexes.iter().any(is_key)
    }

    /// # Errors
    /// If `column` is not the primary key, one of `indexed` begins no index, or another index keeps
    /// rows out.
    fn check_indexes(&self, column: &str, indexed: &[&str]) -> Result<(), Difference> {
        let is_primary = |index: &&Index| index.name == "PRIMARY";
        let primary = self.indexes.iter().find(is_primary);
        if !primary.is_some_and(|index| index.is_of(&[column])) {
            return Err(format!("has not the primary key {}", quoted(column)));
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
    fn check(&self, kind: &str, nullable: bool, generated: bool) -> Result<(), Difference> {
        let name = quoted(&self.name);
        if self.kind != kind {
            return Err(format!(
                "has a column {name} of type {}, not {kind}",
                self.kind
            ));
        }
        if self.is_nullable != nullable {
            let is = if nullable { "never" } else { "sometimes" };
            return Err(format!("has a column {name} that is {is} NULL"));
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

/// What differs from the table that [`schema`](crate::schema) makes, and would matter.
pub(crate) fn difference(table: &Table) -> Result<(), Difference> {
    table.check_kind()?;
    table.column("id")?;
    table.check_engine()?;
    for (name, kind, nullable) in OURS {
        table.column(name)?.check(kind, nullable, name == "due")?;
    }
    table.check_others(&OURS.map(|(name, ..)| name))?;
    table.check_indexes("id", &["owner", "due"])
}

impl Commands<'_> {
    /// Looks whether the user has the rights that the statements of a store need.
    pub(crate) async fn check_own_rights(self) -> Result<()> {
        let written = OURS.map(|(name, ..)| name);
        let written: Vec<&str> = written.into_iter().filter(|name| *name != "due").collect();
        self.check_rights(&written).await
    }

    /// Refuses a table that is not there or not one of a store's.
    pub(crate) async fn check_table(self) -> Result<()> {
        let table = self.table().await?;
        let table = table.ok_or_else(|| self.target().no_table())?;
        self.require(difference(&table))
    }

    /// What the table is; `None` if there is none.
    pub(crate) async fn table(self) -> Result<Option<Table>> {
        let name = self.target().table;
        let ask = async |text: &str| {
            let text = text.replace("{named}", NAMED);
            let ask = || {
                let query = sqlx::query(AssertSqlSafe(text.clone())).persistent(false);
                query.bind(name).bind(name)
            };
            self.fetch(ask).await
        };
        let found = ask(TABLE).await?;
        let Some(table) = found.first() else {
            return Ok(None);
        };
        let columns = ask(COLUMNS).await?;
        let indexes = ask(INDEXES).await?;
        Ok(Some(Table {
            is_view: !text(table, 0).eq_ignore_ascii_case("BASE TABLE"),
            engine: text(table, 1),
            columns: columns.iter().map(column).collect(),
            indexes: collect(&indexes),
        }))
    }

    /// Refuses `table` if something differs.
    pub(crate) fn require<T>(self, checked: Result<T, Difference>) -> Result<T> {
        checked.map_err(|difference| {
            let target = self.target();
            target.misconfigured(format!(
                "the table {} is not of this kind of store: it {difference}. Name another one with \
                 the option `table`",
                quoted(target.table)
            ))
        })
    }

    /// The table, made by `create` if it is not there.
    pub(crate) async fn table_or_create(self, create: impl Fn() -> Bound) -> Result<Table> {
        if let Some(table) = self.table().await? {
            return Ok(table);
        }
        if !self.is_allowed(create).await? {
            let target = self.target();
            return Err(target.misconfigured(format!(
                "there is no table {}, and the user lacks the right CREATE to make it",
                quoted(target.table)
            )));
        }
        let table = self.table().await?;
        table.ok_or_else(|| self.lacks("SELECT"))
    }

    /// Looks whether the user has the rights to work on `columns` of the table, the first of which is
    /// its key. Nothing is written, nor anything that a read-only server would refuse.
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
                return Err(self.lacks(right));
            }
        }
        Ok(())
    }

    fn lacks(self, right: &str) -> Error {
        let target = self.target();
        target.misconfigured(format!(
            "the user lacks the right {right} on the table {}: a store needs SELECT, INSERT, UPDATE \
             and DELETE on it",
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
        kind: without_width(&text(row, 1).to_lowercase()),
        is_nullable: text(row, 2).eq_ignore_ascii_case("YES"),
        is_generated: extra.contains("stored") || extra.contains("virtual"),
        has_default: text(row, 7) == "1" || extra.contains("auto_increment"),
        charset: text(row, 4).to_lowercase(),
        characters: text(row, 5).parse().ok(),
        bytes: text(row, 6).parse().ok(),
    }
}

/// A type without the width that some servers show of an integer.
fn without_width(kind: &str) -> String {
    match (kind.split_once('('), kind.split_once(')')) {
        (Some((name, _)), Some((_, rest))) if name.ends_with("int") => format!("{name}{rest}"),
        _ => kind.to_owned(),
    }
}

fn collect(rows: &[MySqlRow]) -> Vec<Index> {
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
    fn widths_of_integers_say_nothing() {
        for (shown, kind) in [
            ("int(10) unsigned", "int unsigned"),
            ("bigint(20)", "bigint"),
            ("bigint", "bigint"),
            ("varbinary(255)", "varbinary(255)"),
            ("datetime(6)", "datetime(6)"),
        ] {
            assert_eq!(without_width(shown), kind);
        }
    }
}
