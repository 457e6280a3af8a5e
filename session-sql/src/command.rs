//! How statements are sent, and how their answers are read.

use std::time::{Duration, Instant};

use session_core::backend::{Attempt, Backoff, Call, Failure, Sent};
use session_core::{Error, Result};
use sqlx::AssertSqlSafe;

use crate::client::{Access, SqlClient};
use crate::dialect::{ConnectionOf, Driven, RowOf};
use crate::error::{Stage, Target, cause};
use crate::pool::{PooledConnection, instant_after};
use crate::{Bound, Cause, Dialect};

/// How a connection sends a statement, and reads its answer.
type Exchange<D, T> = for<'c> fn(&'c mut ConnectionOf<D>, Bound<D>) -> Driven<'c, T>;

/// The pauses while another connection holds the database.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(1), Duration::from_millis(20));

/// The pauses while a state of the server is waited for.
const LOOKS: Backoff = Backoff::new(Duration::from_millis(4), Duration::from_millis(64));

/// A wait for a database that another connection holds.
struct BusyWait {
    until: Instant,
    attempt: u32,
}

impl BusyWait {
    /// Whether to send the statement again, because `answer` says that the database is held and
    /// time is left.
    fn goes_on<D: Dialect, T>(&self, answer: &sqlx::Result<T>) -> bool {
        let is_busy = |error| matches!(cause::<D>(error), Some(Cause::Busy(_)));
        answer.as_ref().err().is_some_and(is_busy) && Instant::now() < self.until
    }

    async fn pause(&mut self) {
        BACKOFF.wait(self.attempt).await;
        self.attempt += 1;
    }
}

/// The rows that a statement has deleted.
pub(crate) struct Deleted<D: Dialect> {
    pub(crate) rows: Vec<RowOf<D>>,
    /// Those that were present just before, if an earlier attempt may have deleted others.
    pub(crate) present: Option<Vec<RowOf<D>>>,
}

/// The statements of one operation on one table.
pub struct Commands<'c, D: Dialect> {
    call: &'c Call<SqlClient<D>>,
    table: &'c str,
    /// Until when a command that is being sent waits for a database that another connection holds.
    busy_until: Option<Instant>,
}

impl<D: Dialect> Clone for Commands<'_, D> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<D: Dialect> Copy for Commands<'_, D> {}

impl<'c, D: Dialect> Commands<'c, D> {
    /// The statements of `call` on `table`.
    #[must_use]
    pub const fn new(call: &'c Call<SqlClient<D>>, table: &'c str) -> Self {
        Self {
            call,
            table,
            busy_until: None,
        }
    }

    /// The operation.
    #[must_use]
    pub const fn call(self) -> &'c Call<SqlClient<D>> {
        self.call
    }

    /// The name of the table, as it is.
    #[must_use]
    pub const fn table_name(self) -> &'c str {
        self.table
    }

    /// What the statements work on, for errors.
    #[must_use]
    pub fn target(self) -> Target<'c> {
        Target {
            place: self.call.place(),
            operation: self.call.name(),
            table: self.table,
            quoted: D::quoted,
        }
    }

    /// A connection from the pool.
    ///
    /// # Errors
    /// If none can be opened.
    pub async fn connection(
        self,
        client: &SqlClient<D>,
        access: Access,
    ) -> Result<PooledConnection<D>, Failure> {
        let mut wait = self.wait();
        loop {
            let connection = client.acquire(access).await;
            if !wait.goes_on::<D, _>(&connection) {
                return connection
                    .map_err(|error| self.target().failure::<D>(Stage::Connecting, &error));
            }
            wait.pause().await;
        }
    }

    /// The same, with one wait for a database that another connection holds: for the connection, the
    /// statement and repeats together.
    fn with_one_wait(self) -> Self {
        // Less than the time limit, so that the error contains the reason.
        let busy_until = Some(instant_after(self.call.timeout().mul_f64(0.8)));
        Self { busy_until, ..self }
    }

    /// A wait for a database that another connection holds.
    fn wait(self) -> BusyWait {
        let until = self.busy_until.or(self.with_one_wait().busy_until);
        BusyWait {
            until: until.unwrap_or_else(Instant::now),
            attempt: 0,
        }
    }

    /// Sends a statement by `connection`, again while another connection holds the database.
    async fn exchange<T>(
        self,
        connection: &mut PooledConnection<D>,
        statement: &impl Fn() -> Bound<D>,
        exchange: Exchange<D, T>,
    ) -> sqlx::Result<T> {
        let mut wait = self.wait();
        loop {
            let statement = statement().persistent(connection.is_persistent);
            let answer = exchange(connection.get(), statement).await;
            if !wait.goes_on::<D, _>(&answer) {
                return answer;
            }
            wait.pause().await;
        }
    }

    /// Sends a statement. Returns `None` if the server answers with an `expected` error.
    async fn send<T>(
        self,
        statement: impl Fn() -> Bound<D>,
        exchange: Exchange<D, T>,
        expected: fn(&Cause) -> bool,
    ) -> Result<Sent<Option<T>>> {
        let statement = &statement;
        let commands = self.with_one_wait();
        let send = |Attempt { client, .. }: Attempt<SqlClient<D>>| async move {
            let mut connection = commands.connection(&client, Access::Write).await?;
            let answer = commands
                .exchange(&mut connection, statement, exchange)
                .await;
            connection.put_back(&answer);
            match answer {
                Ok(answer) => Ok(Some(answer)),
                Err(error) if cause::<D>(&error).as_ref().is_some_and(expected) => Ok(None),
                Err(error) => Err(self.target().failure::<D>(Stage::Writing, &error)),
            }
        };
        self.call.send(send).await
    }

    /// Looks, with growing pauses, until `look` says that it is so.
    ///
    /// # Errors
    /// Those of `look`; [`ErrorKind::Timeout`](session_core::ErrorKind::Timeout) with the reason `late`
    /// after three quarters of the time limit.
    pub async fn wait_until<W>(self, look: impl Fn() -> W, late: &str) -> Result<()>
    where
        W: Future<Output = Result<bool>>,
    {
        let until = instant_after(self.call.timeout() * 3 / 4);
        let mut attempt = 0;
        while !look().await? {
            if Instant::now() > until {
                return Err(Error::timeout(self.call.name(), self.target().at(late)));
            }
            LOOKS.wait(attempt).await;
            attempt += 1;
        }
        Ok(())
    }

    /// Fetches the rows of a statement that only reads.
    ///
    /// # Errors
    /// The server's or the driver's, after repeats.
    pub async fn fetch(self, statement: impl Fn() -> Bound<D>) -> Result<Vec<RowOf<D>>> {
        self.fetch_from_writable(0, statement).await
    }

    /// Fetches the rows of a statement that only reads. If there are fewer than `wanted`, the
    /// server must be one that takes writes.
    ///
    /// A demoted server still answers reads, and lacks later writes. So if rows are missing, a
    /// write on the same connection follows, which such a server refuses.
    ///
    /// # Errors
    /// The server's or the driver's, after repeats.
    pub async fn fetch_from_writable(
        self,
        wanted: usize,
        statement: impl Fn() -> Bound<D>,
    ) -> Result<Vec<RowOf<D>>> {
        let statement = &statement;
        let commands = self.with_one_wait();
        let fetch = |Attempt { client, .. }: Attempt<SqlClient<D>>| async move {
            let mut connection = commands.connection(&client, Access::Read).await?;
            let is_persistent = connection.is_persistent;
            let mut rows = commands
                .exchange(&mut connection, statement, D::fetch)
                .await;
            let are_missing = rows.as_ref().is_ok_and(|rows| rows.len() < wanted);
            if are_missing && D::MAY_BE_DEMOTED {
                let writable = self.check_writable(connection.get(), is_persistent).await;
                rows = writable.and(rows);
            }
            connection.put_back(&rows);
            rows.map_err(|error| self.target().failure::<D>(Stage::Reading, &error))
        };
        Ok(self.call.send(fetch).await?.answer)
    }

    /// Fails if the server of `connection` takes no writes.
    ///
    /// # Errors
    /// The driver's.
    pub async fn check_writable(
        self,
        connection: &mut ConnectionOf<D>,
        is_persistent: bool,
    ) -> sqlx::Result<()> {
        let no_op_write = sqlx::query(AssertSqlSafe(D::no_op_write(self.table)));
        D::execute(connection, no_op_write.persistent(is_persistent)).await?;
        Ok(())
    }

    /// Fetches the rows that a statement writes or deletes.
    ///
    /// # Errors
    /// The server's or the driver's, after repeats.
    pub async fn fetch_written(
        self,
        statement: impl Fn() -> Bound<D>,
    ) -> Result<Sent<Vec<RowOf<D>>>> {
        let sent = self.send(statement, D::fetch, |_| false).await?;
        Ok(sent.map(Option::unwrap_or_default))
    }

    /// Fetches the rows that `delete` deletes. If an earlier attempt may have deleted some, fetches
    /// before that the rows that are `present`, by the same connection: so a server that takes no
    /// writes is not believed, and an error loses no rows that were deleted.
    pub(crate) async fn delete(
        self,
        present: impl Fn() -> Bound<D>,
        delete: impl Fn() -> Bound<D>,
    ) -> Result<Deleted<D>> {
        let (present, delete) = (&present, &delete);
        let commands = self.with_one_wait();
        let send = |attempt: Attempt<SqlClient<D>>| async move {
            let mut connection = commands.connection(&attempt.client, Access::Write).await?;
            let mut found = None;
            if attempt.is_repeated {
                let rows = commands.exchange(&mut connection, present, D::fetch).await;
                if let Err(error) = &rows {
                    let failure = self.target().failure::<D>(Stage::Reading, error);
                    connection.put_back(&rows);
                    return Err(failure);
                }
                found = rows.ok();
            }
            let rows = commands.exchange(&mut connection, delete, D::fetch).await;
            connection.put_back(&rows);
            let rows = rows.map_err(|error| self.target().failure::<D>(Stage::Writing, &error))?;
            Ok(Deleted {
                rows,
                present: found,
            })
        };
        Ok(self.call.send(send).await?.answer)
    }

    /// Fetches the rows that a statement deletes; `None` if the server can't parse it.
    ///
    /// # Errors
    /// The server's or the driver's, after repeats.
    pub async fn fetch_deleted(
        self,
        statement: impl Fn() -> Bound<D>,
    ) -> Result<Sent<Option<Vec<RowOf<D>>>>> {
        let is_syntax = |cause: &Cause| *cause == Cause::Syntax;
        self.send(statement, D::fetch, is_syntax).await
    }

    /// Runs a statement. Returns whether the user has the right to.
    ///
    /// # Errors
    /// The server's or the driver's, after repeats.
    pub async fn is_allowed(self, statement: impl Fn() -> Bound<D>) -> Result<bool> {
        let is_forbidden = |cause: &Cause| *cause == Cause::Forbidden;
        let sent = self.send(statement, D::fetch, is_forbidden).await?;
        Ok(sent.answer.is_some())
    }

    /// Runs a statement. Returns how many rows it matched; `None` if it would duplicate a key.
    ///
    /// # Errors
    /// The server's or the driver's, after repeats.
    pub async fn write(self, statement: impl Fn() -> Bound<D>) -> Result<Sent<Option<u64>>> {
        let is_duplicate = |cause: &Cause| *cause == Cause::Duplicate;
        self.send(statement, D::execute, is_duplicate).await
    }

    /// Runs a statement that inserts nothing. Returns how many rows it matched.
    ///
    /// # Errors
    /// The server's or the driver's, after repeats.
    pub async fn execute(self, statement: impl Fn() -> Bound<D>) -> Result<Sent<u64>> {
        let sent = self.write(statement).await?;
        let target = self.target();
        let duplicate = || Error::refused(target.operation, target.at("it found a duplicate key"));
        let matched = sent.answer.ok_or_else(duplicate)?;
        Ok(sent.map(|_| matched))
    }
}
