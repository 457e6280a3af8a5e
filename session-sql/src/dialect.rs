//! What a database does its own way.

use std::fmt::Debug;
use std::time::Duration;

use session_core::{Error, Result};
use sqlx::database::HasStatementCache;
use sqlx::error::DatabaseError;
use sqlx::{ConnectOptions, Connection, Database};

use crate::{Bound, Cause, Commands, Statement, Table, Target};

/// The connection of a dialect's driver.
pub type ConnectionOf<D> = <<D as Dialect>::Database as Database>::Connection;
/// The options of a dialect's connections.
pub type OptionsOf<D> = <ConnectionOf<D> as Connection>::Options;
/// A row of a dialect's answers.
pub type RowOf<D> = <<D as Dialect>::Database as Database>::Row;

/// A future of a driver's.
pub type Driven<'c, T> = std::pin::Pin<Box<dyn Future<Output = sqlx::Result<T>> + Send + 'c>>;

/// A connection and what it leads to: see [`Dialect::destination`].
pub type Opened<D> = (ConnectionOf<D>, Option<Destination>);

/// What a connection leads to: the files of a database, each as the numbers of its device and of the
/// file on it; `None` for one that is missing.
pub type Destination = [Option<(u64, u64)>; 3];

/// A database as its driver serves it: how statements are sent and rows read, and what errors mean.
///
/// The statements on the table of sessions are a [`SessionTable`](crate::SessionTable)'s.
pub trait Dialect: Debug + Send + Sync + Sized + 'static {
    /// The driver.
    type Database: Database + HasStatementCache;

    /// The product in lower case, for spans and metrics: `mysql`.
    const NAME: &'static str;

    /// The product, for errors: `MySQL`.
    const PRODUCT: &'static str;

    /// Whether the server may come to take no writes, while it still answers reads: if rows are
    /// missing, a write that changes nothing asks it, and an error that shows it closes all
    /// connections. Otherwise only the connection with the error is closed.
    const MAY_BE_DEMOTED: bool = true;

    /// How long a connection may be idle before it is closed at the next use: a network may have
    /// forgotten it.
    const MAX_IDLE: Duration = Duration::from_secs(30);

    /// A name quoted as an identifier, which may contain any character.
    fn quoted(name: &str) -> String;

    /// A write on `table` that changes nothing and that a server which takes no writes refuses.
    fn no_op_write(table: &str) -> String {
        format!("DELETE FROM {} WHERE FALSE", Self::quoted(table))
    }

    /// Sets up a new connection, so that statements mean the same whatever the server's settings are.
    fn set_up(connection: &mut ConnectionOf<Self>) -> Driven<'_, ()> {
        let _ = connection;
        Box::pin(async { Ok(()) })
    }

    /// Opens a connection and sets it up. If the database is new and empty, `create` makes it a
    /// store's; it is empty if only a migration may do that.
    fn open<'c>(
        options: &'c OptionsOf<Self>,
        create: &'c [Statement<Self>],
    ) -> Driven<'c, Opened<Self>> {
        let _ = create;
        Box::pin(async {
            let mut connection = options.connect().await?;
            Self::set_up(&mut connection).await?;
            Ok((connection, None))
        })
    }

    /// What new connections lead to at this moment, where that may change without an error on the
    /// existing ones: a file can be deleted or replaced while it is open. Connections that lead to
    /// something else are closed, not used, and so is one that leads to a file that is missing. New
    /// ones are opened once those are closed.
    fn destination(options: &OptionsOf<Self>) -> Option<Destination> {
        let _ = options;
        None
    }

    /// Sends a statement and reads its rows.
    fn fetch(
        connection: &mut ConnectionOf<Self>,
        statement: Bound<Self>,
    ) -> Driven<'_, Vec<RowOf<Self>>>;

    /// Sends a statement. Returns how many rows it matched.
    fn execute(connection: &mut ConnectionOf<Self>, statement: Bound<Self>) -> Driven<'_, u64>;

    /// The bytes in a column of a row, or of text.
    ///
    /// # Errors
    /// The driver's, if the column holds something else.
    fn bytes(row: &RowOf<Self>, index: usize) -> sqlx::Result<Option<&[u8]>>;

    /// The number in a column of a row, of any size up to 64 bits.
    ///
    /// # Errors
    /// The driver's, if the column holds something else.
    fn integer(row: &RowOf<Self>, index: usize) -> sqlx::Result<Option<i64>>;

    /// What an error of the database means, and its code, as messages show it: `error 1045`.
    fn cause(error: &dyn DatabaseError) -> (Cause, String);

    /// What an error of the driver means that is none of the database's, where that is not the same
    /// for all drivers.
    fn driver_error(target: &Target<'_>, error: &sqlx::Error) -> Option<Error> {
        let _ = (target, error);
        None
    }

    /// Asks the server for the description of the table of `commands`; `None` if there is none.
    fn table(commands: Commands<'_, Self>) -> impl Future<Output = Result<Option<Table>>> + Send;

    /// The statements that show whether the user has the right to each of `SELECT`, `INSERT`,
    /// `UPDATE` and `DELETE` on `columns` of `table`, the first of which is its key, without a
    /// write. All names are quoted. Empty where there are no rights.
    fn rights(table: &str, columns: &[String]) -> Vec<(&'static str, String)> {
        let (key, all) = (&columns[0], columns.join(", "));
        vec![
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
        ]
    }
}
