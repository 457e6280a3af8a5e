//! How a statement is sent: with a connection at hand, within the time limit, again if it fails
//! for a reason that passes.

use std::sync::Arc;
use std::time::Duration;

use session_core::batch::Create;
use session_core::{Backoff, Error, Result, SessionId, Stamp, within};
use sqlx::mysql::{MySqlArguments, MySqlRow};
use sqlx::query::Query;
use sqlx::{Executor, MySql};

use crate::connection::Connections;
use crate::error::{from_sqlx, is_broken, is_duplicate, is_worth_repeating};
use crate::row::{id_bytes, stamp};
use crate::schema::Statements;

/// How often a statement is tried that fails for a reason that passes.
const ATTEMPTS: u32 = 5;
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(2), Duration::from_millis(100));

/// A statement with its binds.
pub(crate) type Bound = Query<'static, MySql, MySqlArguments>;

/// The statements on a table, the way to it, and how long one of them may take.
#[derive(Clone)]
pub(crate) struct Commands<S = Statements> {
    pub(crate) connections: Connections,
    pub(crate) sql: Arc<S>,
    pub(crate) timeout: Duration,
}

impl<S> Commands<S> {
    /// Runs `work` within the time limit, again if it fails for a reason that passes.
    pub(crate) async fn run<T, W>(&self, operation: &'static str, work: impl Fn() -> W) -> Result<T>
    where
        W: Future<Output = sqlx::Result<T>>,
    {
        let repeated = async {
            let mut attempt = 1;
            loop {
                let error = match work().await {
                    Ok(done) => return Ok(done),
                    Err(error) => error,
                };
                if is_broken(&error) {
                    self.connections.discard();
                }
                if attempt >= ATTEMPTS || !is_worth_repeating(&error) {
                    return Err(from_sqlx(operation, &error));
                }
                BACKOFF.wait(attempt).await;
                attempt += 1;
            }
        };
        within(operation, self.timeout, repeated).await
    }

    /// The rows that a statement gives.
    pub(crate) async fn fetch(
        &self,
        operation: &'static str,
        statement: impl Fn() -> Bound,
    ) -> Result<Vec<MySqlRow>> {
        self.run(operation, || async {
            let mut connection = self.connections.acquire().await?;
            let rows = connection.get().fetch_all(statement()).await;
            if !rows.as_ref().is_err_and(is_broken) {
                connection.release();
            }
            rows
        })
        .await
    }

    /// How many rows a statement matched; `None` if it would have made a second one of an id.
    pub(crate) async fn try_execute(
        &self,
        operation: &'static str,
        statement: impl Fn() -> Bound,
    ) -> Result<Option<u64>> {
        self.run(operation, || async {
            let mut connection = self.connections.acquire().await?;
            let done = connection.get().execute(statement()).await;
            if !done.as_ref().is_err_and(is_broken) {
                connection.release();
            }
            match done {
                Err(error) if is_duplicate(&error) => Ok(None),
                done => Ok(Some(done?.rows_affected())),
            }
        })
        .await
    }

    /// How many rows a statement matched that makes none.
    pub(crate) async fn execute(
        &self,
        operation: &'static str,
        statement: impl Fn() -> Bound,
    ) -> Result<u64> {
        let done = self.try_execute(operation, statement).await?;
        done.ok_or_else(|| Error::store(operation, "MySQL found a duplicate"))
    }
}

impl Commands {
    /// The stamp of the live session `id`.
    pub(crate) async fn stamp(
        &self,
        operation: &'static str,
        id: &SessionId,
    ) -> Result<Option<Stamp>> {
        let rows = self
            .fetch(operation, || self.sql.stamps(std::slice::from_ref(id)))
            .await?;
        rows.first().map(|row| stamp(row, 1)).transpose()
    }

    /// Runs a statement that puts a session under the id `to`, after an expired one has made room.
    /// Gives the number of rows it matched, or the stamp of the live session that is there.
    pub(crate) async fn write_to(
        &self,
        operation: &'static str,
        to: &SessionId,
        statement: impl Fn() -> Bound,
    ) -> Result<std::result::Result<u64, Option<Stamp>>> {
        // Twice, for an expired one may stand there; more often would be somebody else's work.
        for _ in 0..2 {
            if let Some(rows) = self.try_execute(operation, &statement).await? {
                return Ok(Ok(rows));
            }
            let expired = || self.sql.remove_expired.query().bind(id_bytes(to));
            if self.execute(operation, expired).await? == 0 {
                break;
            }
        }
        Ok(Err(self.stamp(operation, to).await?))
    }

    /// Creates one session.
    pub(crate) async fn create(&self, item: &Create) -> Result<Stamp> {
        let statement = || self.sql.create(std::slice::from_ref(item));
        match self.write_to("create", &item.id, statement).await? {
            Ok(_) => Ok(item.draft.stamp),
            Err(Some(stamp)) if stamp == item.draft.stamp => Ok(stamp),
            Err(_) => Err(Error::AlreadyExists),
        }
    }
}
