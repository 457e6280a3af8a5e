//! How statements are sent, and how their answers are read.

use std::pin::Pin;

use session_core::backend::{Attempt, Call, Failure, Sent};
use session_core::{Error, Result};
use sqlx::Executor;
use sqlx::mysql::{MySqlConnection, MySqlRow};

use crate::client::MysqlClient;
use crate::client::PooledConnection;
use crate::error::{Stage, Target, is_duplicate, is_forbidden, is_syntax};
use crate::prepared::Bound;
use crate::schema::no_op_write;

/// How a connection sends a statement, and reads its answer.
type Exchange<T> = for<'c> fn(
    &'c mut MySqlConnection,
    Bound,
) -> Pin<Box<dyn Future<Output = sqlx::Result<T>> + Send + 'c>>;

/// The statements of one operation on one table.
#[derive(Clone, Copy)]
pub(crate) struct Commands<'c> {
    call: &'c Call<MysqlClient>,
    table: &'c str,
}

impl<'c> Commands<'c> {
    pub(crate) fn new(call: &'c Call<MysqlClient>, table: &'c str) -> Self {
        Self { call, table }
    }

    /// What the statements work on, for errors.
    pub(crate) fn target(self) -> Target<'c> {
        Target {
            place: self.call.place(),
            operation: self.call.name(),
            table: self.table,
        }
    }

    /// A connection from the pool.
    pub(crate) async fn connection(
        self,
        client: &MysqlClient,
    ) -> Result<PooledConnection, Failure> {
        let connection = client.acquire().await;
        connection.map_err(|error| self.target().failure(Stage::Connecting, &error))
    }

    /// Sends a statement. Returns `None` if the server answers with an `expected` error.
    async fn send<T>(
        self,
        statement: impl Fn() -> Bound,
        exchange: Exchange<T>,
        expected: fn(&sqlx::Error) -> bool,
    ) -> Result<Sent<Option<T>>> {
        let statement = &statement;
        let send = |Attempt { client, .. }| async move {
            let mut connection = self.connection(&client).await?;
            let statement = statement().persistent(connection.is_persistent);
            let answer = exchange(connection.get(), statement).await;
            connection.put_back(&answer);
            match answer {
                Ok(answer) => Ok(Some(answer)),
                Err(error) if expected(&error) => Ok(None),
                Err(error) => Err(self.target().failure(Stage::Writing, &error)),
            }
        };
        self.call.send(send).await
    }

    /// Fetches the rows of a statement that only reads.
    pub(crate) async fn fetch(self, statement: impl Fn() -> Bound) -> Result<Vec<MySqlRow>> {
        self.fetch_from_writable(0, statement).await
    }

    /// Fetches the rows of a statement that only reads. If there are fewer than `wanted`, the
    /// server must be one that takes writes.
    ///
    /// A demoted server still answers reads, and lacks later writes. So if rows are missing, a
    /// write on the same connection follows, which such a server refuses.
    pub(crate) async fn fetch_from_writable(
        self,
        wanted: usize,
        statement: impl Fn() -> Bound,
    ) -> Result<Vec<MySqlRow>> {
        let statement = &statement;
        let fetch = |Attempt { client, .. }| async move {
            let mut connection = self.connection(&client).await?;
            let is_persistent = connection.is_persistent;
            let statement = statement().persistent(is_persistent);
            let rows = async {
                let rows = connection.get().fetch_all(statement).await?;
                if rows.len() < wanted {
                    self.check_writable(connection.get(), is_persistent).await?;
                }
                Ok(rows)
            };
            let rows = rows.await;
            connection.put_back(&rows);
            rows.map_err(|error| self.target().failure(Stage::Reading, &error))
        };
        Ok(self.call.send(fetch).await?.answer)
    }

    /// Fails if the server of `connection` takes no writes.
    pub(crate) async fn check_writable(
        self,
        connection: &mut MySqlConnection,
        is_persistent: bool,
    ) -> sqlx::Result<()> {
        let no_op_write = no_op_write(self.table).persistent(is_persistent);
        connection.execute(no_op_write).await.map(drop)
    }

    /// Fetches the rows that a statement deletes; `None` if the server can't parse it.
    pub(crate) async fn fetch_deleted(
        self,
        statement: impl Fn() -> Bound,
    ) -> Result<Sent<Option<Vec<MySqlRow>>>> {
        let fetch: Exchange<_> = |connection, query| connection.fetch_all(query);
        self.send(statement, fetch, is_syntax).await
    }

    /// Runs a statement. Returns whether the user has the right to.
    pub(crate) async fn is_allowed(self, statement: impl Fn() -> Bound) -> Result<bool> {
        let fetch: Exchange<_> = |connection, query| connection.fetch_all(query);
        let sent = self.send(statement, fetch, is_forbidden).await?;
        Ok(sent.answer.is_some())
    }

    /// Runs a statement. Returns how many rows it matched; `None` if it would duplicate a key.
    pub(crate) async fn write(self, statement: impl Fn() -> Bound) -> Result<Sent<Option<u64>>> {
        let execute: Exchange<_> = |connection, query| connection.execute(query);
        let sent = self.send(statement, execute, is_duplicate).await?;
        Ok(sent.map(|answer| answer.map(|done| done.rows_affected())))
    }

    /// Runs a statement that inserts nothing. Returns how many rows it matched.
    pub(crate) async fn execute(self, statement: impl Fn() -> Bound) -> Result<Sent<u64>> {
        let sent = self.write(statement).await?;
        let target = self.target();
        let duplicate = || Error::refused(target.operation, target.at("it found a duplicate key"));
        let matched = sent.answer.ok_or_else(duplicate)?;
        Ok(sent.map(|_| matched))
    }
}
