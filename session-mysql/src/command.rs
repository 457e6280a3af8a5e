//! How a statement is sent: on a connection at hand, within the time limit, and again if it fails
//! for a reason that passes.

use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use session_core::batch::Create;
use session_core::{Backoff, Error, Result, Saved, SessionId, Stamp};
use sqlx::mysql::{MySqlArguments, MySqlConnection, MySqlRow};
use sqlx::query::Query;
use sqlx::{Executor, MySql};

use crate::connection::{Connections, InUse};
use crate::error::{
    Target, has_no_room_to_prepare, is_broken, is_duplicate, is_forbidden, is_lost, is_syntax,
    is_worth_repeating,
};
use crate::row::{id_bytes, stamp};
use crate::schema::{Statements, probe};

/// How often a statement is tried that fails for a reason that passes.
const ATTEMPTS: u32 = 5;
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(2), Duration::from_millis(100));

/// A statement with its binds.
pub(crate) type Bound = Query<'static, MySql, MySqlArguments>;

/// How a connection sends a statement, and reads its answer.
type Exchange<T> = for<'c> fn(
    &'c mut MySqlConnection,
    Bound,
) -> Pin<Box<dyn Future<Output = sqlx::Result<T>> + Send + 'c>>;

/// An answer, and what was sent before it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sent<T> {
    pub(crate) answer: T,
    /// Whether an earlier sending was lost with its connection, and may have been done.
    pub(crate) before: bool,
}

/// Why an attempt failed.
#[derive(Debug)]
pub(crate) struct Failure {
    error: sqlx::Error,
    /// Whether what was sent may have been done.
    may_be_done: bool,
    /// Whether there was no connection to send anything on. That says nothing of others.
    is_unconnected: bool,
}

impl Failure {
    /// What was sent has failed, or its answer is lost. A server that answers with an error (a
    /// deadlock, a lock that took too long) has rolled the statement back.
    pub(crate) fn after_sending(error: sqlx::Error) -> Self {
        Self {
            may_be_done: is_lost(&error),
            ..Self::from(error)
        }
    }

    /// No connection could be made.
    pub(crate) fn unconnected(error: sqlx::Error) -> Self {
        Self {
            is_unconnected: true,
            ..Self::from(error)
        }
    }
}

/// A failure before anything was sent that changes something.
impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        Self {
            error,
            may_be_done: false,
            is_unconnected: false,
        }
    }
}

/// The statements on a table, the way to it, and how long one of them may take.
#[derive(Clone)]
pub(crate) struct Commands<S = Statements> {
    pub(crate) connections: Connections,
    pub(crate) sql: Arc<S>,
    pub(crate) target: Target,
    pub(crate) timeout: Duration,
}

impl<S> Commands<S> {
    /// Runs `work` within the time limit, again if it fails for a reason that passes. `work` is
    /// told whether an earlier run of it may have been done.
    pub(crate) async fn run<T, W>(
        &self,
        operation: &'static str,
        work: impl Fn(bool) -> W,
    ) -> Result<T>
    where
        W: Future<Output = Result<T, Failure>>,
    {
        let began = Instant::now();
        let repeated = async {
            let mut attempt = 1;
            let mut before = false;
            loop {
                let failure = match work(before).await {
                    Ok(done) => return Ok(done),
                    Err(failure) => failure,
                };
                self.drop_connections_after(&failure);
                if attempt >= ATTEMPTS || !is_worth_repeating(&failure.error) {
                    return Err(self.target.error(operation, &failure.error));
                }
                before |= failure.may_be_done;
                BACKOFF.wait(attempt).await;
                attempt += 1;
            }
        };
        match tokio::time::timeout(limit(self.timeout), repeated).await {
            Ok(done) => done,
            Err(_) => {
                // Its connection was dropped with it, and those that nobody has used since may be as
                // silent.
                self.connections.discard_unused_since(began);
                Err(self.target.no_answer(operation, self.timeout))
            }
        }
    }

    fn drop_connections_after(&self, failure: &Failure) {
        if has_no_room_to_prepare(&failure.error) {
            self.connections.keep_nothing_prepared();
        } else if is_broken(&failure.error) && !failure.is_unconnected {
            self.connections.discard();
        }
    }

    pub(crate) async fn connection(&self) -> Result<InUse, Failure> {
        let connection = self.connections.acquire().await;
        connection.map_err(Failure::unconnected)
    }

    /// Sends a statement. `None` is the server's refusal, if it is the `expected` one.
    async fn send<T>(
        &self,
        operation: &'static str,
        statement: impl Fn() -> Bound,
        exchange: Exchange<T>,
        expected: fn(&sqlx::Error) -> bool,
    ) -> Result<Sent<Option<T>>> {
        let statement = &statement;
        self.run(operation, |before| async move {
            let mut connection = self.connection().await?;
            let statement = statement().persistent(connection.is_persistent);
            let done = exchange(connection.get(), statement).await;
            put_back(connection, &done);
            let answer = match done {
                Ok(answer) => Some(answer),
                Err(error) if expected(&error) => None,
                Err(error) => return Err(Failure::after_sending(error)),
            };
            Ok(Sent { answer, before })
        })
        .await
    }

    /// The rows that a statement gives which changes nothing.
    pub(crate) async fn fetch(
        &self,
        operation: &'static str,
        statement: impl Fn() -> Bound,
    ) -> Result<Vec<MySqlRow>> {
        let sent = self.send(
            operation,
            statement,
            |connection, query| connection.fetch_all(query),
            |_| false,
        );
        Ok(sent.await?.answer.unwrap_or_default())
    }

    /// The rows that a statement gives which changes nothing, from a server that takes writes if they
    /// are fewer than `wanted`.
    ///
    /// A server that was demoted goes on answering reads, and lacks what was written since. So where
    /// rows are missing it is told to write on the same connection: it refuses, and another is asked.
    pub(crate) async fn fetch_from_writable(
        &self,
        operation: &'static str,
        wanted: usize,
        statement: impl Fn() -> Bound,
    ) -> Result<Vec<MySqlRow>> {
        let statement = &statement;
        let fetch = self.run(operation, |_| async move {
            let mut connection = self.connection().await?;
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
            put_back(connection, &rows);
            Ok(rows?)
        });
        fetch.await
    }

    /// Fails if the server at the end of `connection` takes no writes.
    pub(crate) async fn probe(
        &self,
        connection: &mut MySqlConnection,
        keeps: bool,
    ) -> sqlx::Result<()> {
        let probe = probe(&self.target.table).persistent(keeps);
        connection.execute(probe).await.map(drop)
    }

    /// The rows that a statement has deleted; `None` if the server can't parse it.
    pub(crate) async fn fetch_deleted(
        &self,
        operation: &'static str,
        statement: impl Fn() -> Bound,
    ) -> Result<Sent<Option<Vec<MySqlRow>>>> {
        self.send(
            operation,
            statement,
            |connection, query| connection.fetch_all(query),
            is_syntax,
        )
        .await
    }

    /// Runs a statement; whether the user may.
    pub(crate) async fn is_allowed(
        &self,
        operation: &'static str,
        statement: impl Fn() -> Bound,
    ) -> Result<bool> {
        let sent = self.send(
            operation,
            statement,
            |connection, query| connection.fetch_all(query),
            is_forbidden,
        );
        Ok(sent.await?.answer.is_some())
    }

    /// How many rows a statement matched; `None` if it would have made a second one of an id.
    pub(crate) async fn write(
        &self,
        operation: &'static str,
        statement: impl Fn() -> Bound,
    ) -> Result<Sent<Option<u64>>> {
        let Sent { answer, before } = self
            .send(
                operation,
                statement,
                |connection, query| connection.execute(query),
                is_duplicate,
            )
            .await?;
        let answer = answer.map(|done| done.rows_affected());
        Ok(Sent { answer, before })
    }

    /// How many rows a statement matched that makes none.
    pub(crate) async fn execute(
        &self,
        operation: &'static str,
        statement: impl Fn() -> Bound,
    ) -> Result<Sent<u64>> {
        let Sent { answer, before } = self.write(operation, statement).await?;
        let duplicate = || Error::store(operation, self.target.at("it found a duplicate key"));
        let answer = answer.ok_or_else(duplicate)?;
        Ok(Sent { answer, before })
    }
}

/// Lets others use a connection that has given an answer, if there is more to be expected of it.
pub(crate) fn put_back<T>(connection: InUse, answer: &sqlx::Result<T>) {
    match answer {
        Err(error) if is_broken(error) => connection.close(),
        _ => connection.release(),
    }
}

/// What is left of the time of a call for this layer: a little less than for those above it, so that
/// this one says where the answer was missing.
pub(crate) fn limit(timeout: Duration) -> Duration {
    timeout - timeout / 32
}

impl Commands {
    /// The stamp of the live session `id`.
    pub(crate) async fn stamp(
        &self,
        operation: &'static str,
        id: &SessionId,
    ) -> Result<Option<Stamp>> {
        let stamps = || self.sql.stamps(std::slice::from_ref(id));
        let rows = self.fetch_from_writable(operation, 1, stamps).await?;
        rows.first().map(|row| stamp(row, 1)).transpose()
    }

    /// Creates one session, in the place of an expired one if there is one. `before` says whether
    /// this create was sent before, and may have been done.
    pub(crate) async fn create(&self, item: &Create, mut before: bool) -> Result<Saved> {
        let statement = || self.sql.create(std::slice::from_ref(item));
        // Twice, for an expired one may be there; a third time, another caller has made it.
        for _ in 0..2 {
            let sent = self.write("create", statement).await?;
            if sent.answer.is_some() {
                return Ok(Saved::done(&item.draft));
            }
            before |= sent.before;
            let expired = || self.sql.remove_expired.query().bind(id_bytes(&item.id));
            if self.execute("create", expired).await?.answer == 0 {
                break;
            }
        }
        let found = self.stamp("create", &item.id).await?;
        let outcome = match Saved::by_stamp(found, &item.draft) {
            // It was there a moment ago.
            Saved::Gone => Saved::Conflict,
            outcome => outcome,
        };
        Ok(outcome.after(before))
    }
}
