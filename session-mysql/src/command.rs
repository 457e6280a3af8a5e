//! How a statement is sent, and how its answer is read.

use std::pin::Pin;

use session_core::backend::{Attempt, Call, Failure, Sent};
use session_core::{Error, Result};
use sqlx::Executor;
use sqlx::mysql::{MySqlConnection, MySqlRow};

use crate::connector::MysqlClient;
use crate::error::{Stage, Target, is_duplicate, is_forbidden, is_syntax};
use crate::pool::InUse;
use crate::schema::probe;
use crate::statement::Bound;

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

    /// What they are about, for errors.
    pub(crate) fn target(self) -> Target<'c> {
        Target {
            place: self.call.place(),
            operation: self.call.name(),
            table: self.table,
        }
    }

    /// A connection to send something on.
    pub(crate) async fn connection(self, client: &MysqlClient) -> Result<InUse, Failure> {
        let connection = client.acquire().await;
        connection.map_err(|error| self.target().failure(Stage::Connecting, &error))
    }

    /// Sends a statement. `None` is the server's refusal, if it is the `expected` one.
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

    /// The rows that a statement gives which changes nothing.
    pub(crate) async fn fetch(self, statement: impl Fn() -> Bound) -> Result<Vec<MySqlRow>> {
        self.fetch_from_writable(0, statement).await
    }

    /// The rows that a statement gives which changes nothing, from a server that takes writes if they
    /// are fewer than `wanted`.
    ///
    /// A server that was demoted goes on answering reads, and lacks what was written since. So where
    /// rows are missing it is told to write on the same connection: it refuses, and another is asked.
    pub(crate) async fn fetch_from_writable(
        self,
        wanted: usize,
        statement: impl Fn() -> Bound,
    ) -> Result<Vec<MySqlRow>> {
        let statement = &statement;
        let fetch = |Attempt { client, .. }| async move {
            let mut connection = self.connection(&client).await?;
            let keeps = connection.is_persistent;
            let statement = statement().persistent(keeps);
            let asked = async {
                let rows = connection.get().fetch_all(statement).await?;
                if rows.len() < wanted {
                    self.probe(connection.get(), keeps).await?;
                }
                Ok(rows)
            };
            let rows = asked.await;
            connection.put_back(&rows);
            rows.map_err(|error| self.target().failure(Stage::Reading, &error))
        };
        Ok(self.call.send(fetch).await?.answer)
    }

    /// Fails if the server at the end of `connection` takes no writes.
    pub(crate) async fn probe(
        self,
        connection: &mut MySqlConnection,
        keeps: bool,
    ) -> sqlx::Result<()> {
        let probe = probe(self.table).persistent(keeps);
        connection.execute(probe).await.map(drop)
    }

    /// The rows that a statement has deleted; `None` if the server can't parse it.
    pub(crate) async fn fetch_deleted(
        self,
        statement: impl Fn() -> Bound,
    ) -> Result<Sent<Option<Vec<MySqlRow>>>> {
        let fetch: Exchange<_> = |connection, query| connection.fetch_all(query);
        self.send(statement, fetch, is_syntax).await
    }

    /// Runs a statement; whether the user may.
    pub(crate) async fn is_allowed(self, statement: impl Fn() -> Bound) -> Result<bool> {
        let fetch: Exchange<_> = |connection, query| connection.fetch_all(query);
        let sent = self.send(statement, fetch, is_forbidden).await?;
        Ok(sent.answer.is_some())
    }

    /// How many rows a statement matched; `None` if it would have made a second one of an id.
    pub(crate) async fn write(self, statement: impl Fn() -> Bound) -> Result<Sent<Option<u64>>> {
        let execute: Exchange<_> = |connection, query| connection.execute(query);
        let sent = self.send(statement, execute, is_duplicate).await?;
        Ok(sent.map(|answer| answer.map(|done| done.rows_affected())))
    }

    /// How many rows a statement matched that makes none.
    pub(crate) async fn execute(self, statement: impl Fn() -> Bound) -> Result<Sent<u64>> {
        let sent = self.write(statement).await?;
        let target = self.target();
        let duplicate = || Error::refused(target.operation, target.at("it found a duplicate key"));
        let matched = sent.answer.ok_or_else(duplicate)?;
        Ok(sent.map(|_| matched))
    }
}
