//! SQLite, as its driver serves it.

use std::io;
use std::time::Duration;

use session_core::{Error, Result};
use session_sql::{
    Bound, Cause, Commands, Destination, Dialect, Driven, Opened, Statement, Table, Target,
};
use sqlx::error::DatabaseError;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteRow};
use sqlx::{ConnectOptions, Connection, Executor, Row};

use crate::{check, error, file};

/// How many tables, indexes and views the file has.
const OBJECTS: &str = "SELECT COUNT(*) FROM sqlite_schema";

/// SQLite.
#[derive(Clone, Copy, Debug)]
pub struct Sqlite;

impl Dialect for Sqlite {
    type Database = sqlx::Sqlite;
    const NAME: &'static str = "sqlite";
    const PRODUCT: &'static str = "SQLite";
    // There is no server that another could replace.
    const MAY_BE_DEMOTED: bool = false;
    // The last connection that is closed also writes the log to the file, which then has to be
    // opened anew.
    const MAX_IDLE: Duration = Duration::MAX;

    fn quoted(name: &str) -> String {
        format!("\"{}\"", name.replace('"', "\"\""))
    }

    /// Makes the file if it does not exist: only for its user, because it holds sessions' data.
    fn open<'c>(
        options: &'c SqliteConnectOptions,
        create: &'c [Statement<Self>],
    ) -> Driven<'c, Opened<Self>> {
        Box::pin(async move {
            let mut before = None;
            if let Some(path) = file::path(options) {
                if !create.is_empty() {
                    file::create(path)?;
                }
                file::check_log(path)?;
                before = file::identity(path);
            }
            let mut connection = options.connect().await?;
            match prepare(&mut connection, options, before, create).await {
                Ok(destination) => Ok((connection, destination)),
                Err(error) => {
                    // Before the next is opened, which would share the files with it.
                    let _ = connection.close().await;
                    Err(error)
                }
            }
        })
    }

    fn destination(options: &SqliteConnectOptions) -> Option<Destination> {
        file::destination(options)
    }

    fn fetch(
        connection: &mut SqliteConnection,
        statement: Bound<Self>,
    ) -> Driven<'_, Vec<SqliteRow>> {
        Box::pin(async {
            let rows = connection.fetch_all(statement).await;
            if rows.is_err() {
                // If it was one of several statements, their transaction may be open.
                let _ = connection.execute("ROLLBACK").await;
            }
            rows
        })
    }

    fn execute(connection: &mut SqliteConnection, statement: Bound<Self>) -> Driven<'_, u64> {
        let execute = connection.execute(statement);
        Box::pin(async { Ok(execute.await?.rows_affected()) })
    }

    fn bytes(row: &SqliteRow, index: usize) -> sqlx::Result<Option<&[u8]>> {
        row.try_get(index)
    }

    fn integer(row: &SqliteRow, index: usize) -> sqlx::Result<Option<i64>> {
        row.try_get(index)
    }

    fn cause(error: &dyn DatabaseError) -> (Cause, String) {
        error::cause(error)
    }

    fn driver_error(target: &Target<'_>, error: &sqlx::Error) -> Option<Error> {
        match error {
            sqlx::Error::Configuration(why) => Some(target.misconfigured(why.to_string())),
            _ => None,
        }
    }

    async fn table(commands: Commands<'_, Self>) -> Result<Option<Table>> {
        check::table(commands).await
    }

    /// There are no users, but a file may be read-only, which a write that changes nothing shows.
    fn rights(table: &str, _: &[String]) -> Vec<(&'static str, String)> {
        vec![("DELETE", format!("DELETE FROM {table} WHERE FALSE"))]
    }
}

/// Checks a connection that was opened when the file was the one that `before` names, and executes
/// `create` in an empty one. Returns what the connection leads to.
async fn prepare(
    connection: &mut SqliteConnection,
    options: &SqliteConnectOptions,
    before: Option<(u64, u64)>,
    create: &[Statement<Sqlite>],
) -> sqlx::Result<Option<Destination>> {
    if file::path(options).is_some() {
        check_mode(connection).await?;
    }
    let destination = opened(before, options)?;
    if !create.is_empty() && is_empty(connection).await? {
        for statement in create {
            Sqlite::fetch(connection, statement.query()).await?;
        }
    }
    Ok(destination)
}

/// What a connection leads to that was opened when the file was the one that `before` names. The
/// file may have been replaced meanwhile; the connection is closed at its next use then.
fn opened(
    before: Option<(u64, u64)>,
    options: &SqliteConnectOptions,
) -> io::Result<Option<Destination>> {
    let Some(mut files) = file::destination(options) else {
        return Ok(None);
    };
    file::check_all(&files)?;
    files[0] = before.or(files[0]);
    Ok(Some(files))
}

/// Refuses a file that SQLite has left in another mode, where readers and the writer would wait for
/// each other: it answers with that mode, and no error.
async fn check_mode(connection: &mut SqliteConnection) -> sqlx::Result<()> {
    let row = connection.fetch_one("PRAGMA journal_mode").await?;
    let mode: String = row.try_get(0)?;
    match mode == "wal" {
        true => Ok(()),
        false => Err(sqlx::Error::Configuration(
            format!(
                "SQLite can't switch the file to write-ahead logging, and keeps the journal mode \
                 {mode}: the file system may not have what that needs"
            )
            .into(),
        )),
    }
}

async fn is_empty(connection: &mut SqliteConnection) -> sqlx::Result<bool> {
    let row = connection.fetch_one(OBJECTS).await?;
    Ok(row.try_get::<i64, _>(0)? == 0)
}

#[cfg(test)]
mod tests {
    use session_core::ErrorKind;
    use session_core::backend::Remedy;
    use session_sql::Stage;

    use super::*;

    const TARGET: Target<'_> = Target {
        place: "SQLite at /a.db",
        operation: "save",
        table: "session_store",
        quoted: Sqlite::quoted,
    };

    async fn in_memory() -> SqliteConnection {
        let opened = SqliteConnection::connect("sqlite::memory:").await;
        opened.expect("opened")
    }

    #[tokio::test]
    async fn a_write_to_a_read_only_file_leaves_the_other_connections_open() {
        let mut connection = in_memory().await;
        let refused = connection.execute("PRAGMA query_only = ON; CREATE TABLE a (b)");
        let refused = refused.await.expect_err("it is read-only");
        let failure = TARGET.failure::<Sqlite>(Stage::Writing, &refused);
        let text = failure.error().to_string();
        assert!(text.contains("SQLITE_READONLY"), "{text}");
        assert_eq!(failure.remedy(), Some(Remedy::Repeat));
    }

    #[tokio::test]
    async fn another_journal_mode_is_refused_by_its_name() {
        let refused = check_mode(&mut in_memory().await).await;
        let refused = refused.expect_err("it has no log");
        let error = TARGET.error::<Sqlite>(&refused);
        assert_eq!(error.kind(), ErrorKind::Misconfigured);
        let text = error.to_string();
        assert!(text.contains("keeps the journal mode memory"), "{text}");
        assert!(text.contains("/a.db"), "{text}");
    }
}
