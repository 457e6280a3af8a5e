//! Checks when a store is made: the columns and indexes of the table, and the user's rights.
//!
//! Another program may have a table of the same name, which must not be used.

use session_core::{Error, Result};
use sqlx::AssertSqlSafe;

use crate::{Bound, Commands, Dialect, SessionTable, Statement};

/// A table, as the server describes it.
#[derive(Debug, Default)]
pub struct Table {
    /// Whether it is a view, or anything else that is no table.
    pub is_view: bool,
    /// Its columns.
    pub columns: Vec<Column>,
    /// Its indexes, with the primary key.
    pub indexes: Vec<Index>,
    /// What only this product's tables have, as names and values: an engine.
    pub traits: Vec<(&'static str, String)>,
}

/// A column.
#[derive(Debug, Default)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// In lower case, without a display width.
    pub sql_type: String,
    /// Whether it may be null.
    pub is_nullable: bool,
    /// Whether the server computes it.
    pub is_generated: bool,
    /// Whether it has a value if an insert names none.
    pub has_default: bool,
    /// The character set; empty for bytes.
    pub charset: String,
    /// How many characters it holds.
    pub characters: Option<u64>,
    /// How many bytes it holds.
    pub bytes: Option<u64>,
}

/// An index, or a key.
#[derive(Debug, Default)]
pub struct Index {
    /// Its name.
    pub name: String,
    /// Whether it is the primary key.
    pub is_primary: bool,
    /// Whether it allows a value once.
    pub is_unique: bool,
    /// Its columns, in order.
    pub columns: Vec<String>,
}

/// A column that a table must have.
#[derive(Clone, Copy, Debug)]
pub struct Expected {
    /// Its name.
    pub name: &'static str,
    /// Its type, in lower case, without a display width.
    pub sql_type: &'static str,
    /// Whether it may be null.
    pub is_nullable: bool,
    /// Whether the server computes it.
    pub is_generated: bool,
}

impl Expected {
    /// A column that is never null.
    #[must_use]
    pub const fn new(name: &'static str, sql_type: &'static str) -> Self {
        Self {
            name,
            sql_type,
            is_nullable: false,
            is_generated: false,
        }
    }

    /// The same, which may be null.
    #[must_use]
    pub const fn or_null(mut self) -> Self {
        self.is_nullable = true;
        self
    }

    /// The same, which the server computes.
    #[must_use]
    pub const fn generated(mut self) -> Self {
        self.is_generated = true;
        self
    }
}

/// What is wrong with a table: a predicate that follows "the table".
pub type Difference = String;

impl Table {
    /// # Errors
    /// If it is a view.
    pub fn check_not_view(&self) -> Result<(), Difference> {
        match self.is_view {
            true => Err("is a view".to_owned()),
            false => Ok(()),
        }
    }

    /// # Errors
    /// If there is none.
    pub fn column<D: Dialect>(&self, name: &str) -> Result<&Column, Difference> {
        let same = |column: &&Column| column.name.to_lowercase() == name.to_lowercase();
        let found = self.columns.iter().find(same);
        found.ok_or_else(|| format!("has no column {}", D::quoted(name)))
    }

    /// # Errors
    /// If a column other than `known` has no default and can't be null.
    pub fn check_others<D: Dialect>(&self, known: &[&str]) -> Result<(), Difference> {
        let known: Vec<String> = known.iter().map(|name| name.to_lowercase()).collect();
        let needed = |column: &&Column| {
            let has_value = column.is_nullable || column.has_default || column.is_generated;
            !has_value && !known.contains(&column.name.to_lowercase())
        };
        match self.columns.iter().find(needed) {
            None => Ok(()),
            Some(column) => Err(format!(
                "has a column {} that must be given a value",
                D::quoted(&column.name)
            )),
        }
    }

    /// # Errors
    /// If a column is missing or of another type, or another column must be given a value.
    pub fn check_columns<D: Dialect>(&self, expected: &[Expected]) -> Result<(), Difference> {
        for column in expected {
            self.column::<D>(column.name)?.check::<D>(column)?;
        }
        let known: Vec<&str> = expected.iter().map(|column| column.name).collect();
        self.check_others::<D>(&known)
    }

    /// Whether `column` alone is a unique key.
    #[must_use]
    pub fn is_unique_key(&self, column: &str) -> bool {
        let is_key = |index: &Index| index.is_unique && index.is_of(&[column]);
        self.indexes.iter().any(is_key)
    }

    /// # Errors
    /// If `column` is not the primary key, no index begins with one of `indexed`, or another index
    /// is unique.
    pub fn check_indexes<D: Dialect>(
        &self,
        column: &str,
        indexed: &[&str],
    ) -> Result<(), Difference> {
        let primary = self.indexes.iter().find(|index| index.is_primary);
        if !primary.is_some_and(|index| index.is_of(&[column])) {
            return Err(format!(
                "does not have the primary key {}",
                D::quoted(column)
            ));
        }
        for column in indexed {
            let begins = |index: &Index| index.columns.first().is_some_and(|first| first == column);
            if !self.indexes.iter().any(begins) {
                return Err(format!("has no index on {}", D::quoted(column)));
            }
        }
        let unique = self.indexes.iter().find(|index| {
            index.is_unique && !index.is_primary && !index.columns.iter().any(|c| c == column)
        });
        match unique {
            None => Ok(()),
            Some(index) => Err(format!("has the unique index {}", D::quoted(&index.name))),
        }
    }
}

impl Column {
    /// # Errors
    /// If it is of another type.
    fn check<D: Dialect>(&self, expected: &Expected) -> Result<(), Difference> {
        let Expected {
            sql_type,
            is_nullable: nullable,
            is_generated: generated,
            ..
        } = *expected;
        let name = D::quoted(&self.name);
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
    /// The indexes of a description with a row for each column of an index, in order: `rows` are
    /// indexes of one column.
    pub fn of_rows(rows: impl IntoIterator<Item = Self>) -> Vec<Self> {
        let mut indexes: Vec<Self> = Vec::new();
        for row in rows {
            match indexes.last_mut().filter(|index| index.name == row.name) {
                Some(index) => index.columns.extend(row.columns),
                None => indexes.push(row),
            }
        }
        indexes
    }

    fn is_of(&self, columns: &[&str]) -> bool {
        let lower = |name: &str| name.to_lowercase();
        let own = self.columns.iter().map(|name| lower(name));
        own.eq(columns.iter().map(|name| lower(name)))
    }
}

impl<D: Dialect> Commands<'_, D> {
    /// Makes an error of a difference.
    ///
    /// # Errors
    /// [`ErrorKind::Misconfigured`](session_core::ErrorKind::Misconfigured).
    pub fn require<T>(self, checked: Result<T, Difference>) -> Result<T> {
        checked.map_err(|difference| {
            let target = self.target();
            target.misconfigured(format!(
                "the table {} is not a table of this kind of store: it {difference}; choose another \
                 with the option `table`",
                target.quoted_table()
            ))
        })
    }

    /// The description of the table, which `create` creates if it does not exist.
    ///
    /// # Errors
    /// [`ErrorKind::Misconfigured`](session_core::ErrorKind::Misconfigured) if the user lacks the
    /// right to create it, or to see it.
    pub async fn table_or_create(self, create: &[Statement<D>]) -> Result<Table> {
        if let Some(table) = D::table(self).await? {
            return Ok(table);
        }
        for statement in create {
            let create = || statement.query();
            if !self.is_allowed(create).await? {
                let target = self.target();
                return Err(target.misconfigured(format!(
                    "the table {} does not exist, and the user lacks the right CREATE to create it",
                    target.quoted_table()
                )));
            }
        }
        let table = D::table(self).await?;
        table.ok_or_else(|| self.missing_right("SELECT"))
    }

    /// Checks the user's rights to `columns` of the table, the first of which is its key. Sends
    /// nothing that writes or that a read-only server would refuse.
    ///
    /// # Errors
    /// [`ErrorKind::Misconfigured`](session_core::ErrorKind::Misconfigured) if one is missing.
    pub async fn check_rights(self, columns: &[&str]) -> Result<()> {
        let columns: Vec<String> = columns.iter().map(|name| D::quoted(name)).collect();
        for (right, statement) in D::rights(&self.target().quoted_table(), &columns) {
            let ask = || -> Bound<D> { sqlx::query(AssertSqlSafe(statement.clone())) };
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
            target.quoted_table()
        ))
    }

    /// Checks the user's rights to the columns of the table of sessions.
    pub(crate) async fn check_own_rights<T: SessionTable<Dialect = D>>(self) -> Result<()> {
        let written = T::COLUMNS.iter().filter(|column| !column.is_generated);
        let written: Vec<&str> = written.map(|column| column.name).collect();
        self.check_rights(&written).await
    }
}
