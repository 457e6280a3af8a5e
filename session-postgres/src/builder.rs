//! The builder of a store.

use std::time::Duration;

use session_core::backend::{BatchLimits, CircuitBreaker, Policy};
use session_core::{Error, Result};
use session_sql::{MAX_BATCH, SqlBackend, SqlConnector};
use sqlx::postgres::PgConnectOptions;

use crate::notices::Listener;
use crate::schema::{self, Statements, qualified};
use crate::table::PostgresTable;
use crate::{Postgres, PostgresStore, check, url};

/// Up to so many writes are sent by themselves, and then up to [`IN_FLIGHT`] batches at once.
///
/// A commit waits for the disk, and commits that wait together take one write to it. So more batches
/// at once than of loads are better, and larger ones: measured with 64 callers that save (300 bytes,
/// 20,000 rows, `fsync = on`, two cores, server and client together, beside other work), these two
/// have 3.1 times the saves a second of upserts by the raw driver with 16 connections; 16 and 4 have
/// 2.0 times, 4 and 4 2.4 times, 2 and 1 2.0 times. On a quiet machine these two have 3.7 times, and with
/// 256 callers 7.5 times (`benches/results/postgres-sqlite.md`).
const UNBATCHED: usize = 4;
const IN_FLIGHT: usize = 8;

/// Sets up a [`PostgresStore`].
#[derive(Clone, Debug)]
#[must_use]
pub struct PostgresStoreBuilder {
    table: String,
    schema: Option<String>,
    is_unlogged: bool,
    has_named_statements: bool,
    has_notices: bool,
    timeout: Duration,
    circuit_breaker: Option<CircuitBreaker>,
    max_data: usize,
    connections: u32,
    migrate: bool,
}

impl Default for PostgresStoreBuilder {
    fn default() -> Self {
        Self {
            table: "session_store".to_owned(),
            schema: None,
            is_unlogged: false,
            has_named_statements: true,
            has_notices: true,
            timeout: Policy::TIMEOUT,
            circuit_breaker: Some(CircuitBreaker::DEFAULT),
            max_data: Policy::MAX_DATA,
            connections: 16,
            migrate: true,
        }
    }
}

impl PostgresStoreBuilder {
    /// Sets the table; default `session_store`. Stores in different tables share nothing.
    pub fn table(mut self, name: impl Into<String>) -> Self {
        self.table = name.into();
        self
    }

    /// Sets the schema of the table, which must exist. By default the connection's `search_path`
    /// decides.
    pub fn schema(mut self, name: impl Into<String>) -> Self {
        self.schema = Some(name.into());
        self
    }

    /// Sets whether the table is `UNLOGGED` if the store creates it; default false. A table that
    /// exists stays as it is.
    ///
    /// The server writes the changes of an unlogged table to no log. Saves are faster, and
    ///
    /// * if the server crashes, or is killed, **all sessions are lost**: it empties the table when it
    ///   starts again. A server that is shut down keeps them;
    /// * replicas and backups of the log have no sessions. After a failover there are none.
    pub fn unlogged(mut self, unlogged: bool) -> Self {
        self.is_unlogged = unlogged;
        self
    }

    /// Sets whether statements stay prepared on a connection, under names; default true.
    ///
    /// Set it to false behind a pooler that gives each transaction another connection and does not
    /// know prepared statements: PgBouncer in transaction mode, before version 1.21 or with
    /// `max_prepared_statements = 0`. Each statement is then a transaction of 4 round trips.
    ///
    /// With named statements, such a pooler mixes up the statements of its clients, because they have the
    /// same names: a load may then **delete a session**.
    pub fn named_statements(mut self, named: bool) -> Self {
        self.has_named_statements = named;
        self
    }

    /// Sets whether the store [announces](crate#notices) the sessions that it ends and signs in anew,
    /// and listens to what others announce while a stream
    /// [waits for that](session_core::Session::ended); default true.
    ///
    /// It does not listen without [named statements](Self::named_statements), because a pooler
    /// gives no connection to keep.
    pub fn notices(mut self, notices: bool) -> Self {
        self.has_notices = notices;
        self
    }

    /// Sets the time limit of one store operation, including repeats and the wait for a connection;
    /// default 2 s.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets when calls fail at once because the server does not answer, and how often one is sent
    /// all the same; `None` to send each. Default [`CircuitBreaker::DEFAULT`]: after 5 failures in a
    /// row, one call each 100 ms.
    pub fn circuit_breaker(mut self, breaker: impl Into<Option<CircuitBreaker>>) -> Self {
        self.circuit_breaker = breaker.into();
        self
    }

    /// Sets the maximum size of one session's data in bytes; default 1 MiB.
    pub fn max_data(mut self, bytes: usize) -> Self {
        self.max_data = bytes;
        self
    }

    /// Sets the maximum number of connections; default 16. If the server allows fewer, operations
    /// wait for the existing ones.
    pub fn connections(mut self, connections: u32) -> Self {
        self.connections = connections;
        self
    }

    /// Sets whether connecting also [migrates](PostgresStore::migrate): it creates the table if it
    /// does not exist. Default true. Otherwise call [`PostgresStore::migrate`], or run
    /// [`create_table`](Self::create_table).
    pub fn migrate(mut self, migrate: bool) -> Self {
        self.migrate = migrate;
        self
    }

    /// Returns the statements that create the table, for programs with their own migrations. They
    /// fail if it exists.
    #[must_use]
    pub fn create_table(&self) -> String {
        schema::create_table(&self.name(), self.is_unlogged)
    }

    /// Connects to the server at `url`, `postgres://` or `postgresql://`, with these options of the
    /// driver, the crate [`sqlx`]: `sslmode`, `sslrootcert`, `sslcert`, `sslkey`, `host` (a directory
    /// with a socket), `application_name`, `options` and `statement-cache-capacity`
    /// (`?sslmode=verify-full&sslrootcert=…`). The URL names the database. As in other clients of
    /// PostgreSQL, `PGPASSWORD`, other variables of that kind and a file `.pgpass` are used for what
    /// the URL leaves out.
    ///
    /// If the table exists, its columns, types and keys and the user's rights are checked. The user
    /// needs `SELECT`, `INSERT`, `UPDATE` and `DELETE` on it, and `CREATE` on the schema only to
    /// create it.
    ///
    /// # Errors
    /// [`ErrorKind::Misconfigured`](session_core::ErrorKind::Misconfigured) for a URL, option or
    /// setting that can't be right, a login or a certificate that is refused, a right that is
    /// missing or a table that is not of this kind of store: the message names it.
    /// [`ErrorKind::Unavailable`](session_core::ErrorKind::Unavailable) or
    /// [`ErrorKind::Timeout`](session_core::ErrorKind::Timeout) if the server can't be reached or
    /// gives no connection.
    pub async fn connect(self, url: &str) -> Result<PostgresStore> {
        self.check()?;
        self.connect_with(url::parse(url)?).await
    }

    /// Connects with the driver's options, as [`connect`](Self::connect).
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub async fn connect_with(self, options: PgConnectOptions) -> Result<PostgresStore> {
        self.check()?;
        let options = without_float_digits(options);
        let listens = self.has_notices && self.has_named_statements;
        let listener = listens.then(|| Listener::new(options.clone()));
        let connector = connector(options, self.connections, self.timeout)?;
        let connector = connector.with_prepared(self.has_named_statements);
        let sql = Statements::new(&self.name(), self.is_unlogged, self.has_notices);
        let table = PostgresTable::new(sql, listener);
        let backend = SqlBackend::new(table, self.policy());
        backend.open(connector, self.migrate).await
    }

    fn name(&self) -> String {
        qualified(self.schema.as_deref(), &self.table)
    }

    fn policy(&self) -> Policy {
        let connections = usize::try_from(self.connections).unwrap_or(usize::MAX);
        let policy = session_sql::policy(self.timeout, self.max_data, connections)
            .with_circuit_breaker(self.circuit_breaker);
        let writes = BatchLimits::new(connections.min(UNBATCHED), connections.min(IN_FLIGHT))
            .with_items(MAX_BATCH)
            .with_bytes(256 * 1024)
            .with_queued(10_000);
        policy
            .with_create(writes)
            .with_save(writes)
            .with_touch(writes)
            .with_destroy(writes)
    }

    fn check(&self) -> Result<()> {
        check::name("table", &self.table)?;
        if let Some(schema) = &self.schema {
            check::name("schema", schema)?;
        }
        check(self.timeout, self.max_data, self.connections)
    }
}

/// Makes the clients of a store; opens no connection yet.
///
/// # Errors
/// [`ErrorKind::Misconfigured`](session_core::ErrorKind::Misconfigured) if the options name no
/// database.
pub(crate) fn connector(
    options: PgConnectOptions,
    max_connections: u32,
    timeout: Duration,
) -> Result<SqlConnector<Postgres>> {
    if options.get_database().is_none() {
        return Err(Error::misconfigured(
            "the PostgreSQL URL names no database: postgres://user@host/database",
        ));
    }
    url::check_settings(options.get_options().unwrap_or_default())?;
    let place = url::place(&options);
    let options = without_float_digits(options);
    Ok(SqlConnector::new(options, place, max_connections, timeout))
}

/// No statement has such numbers, and some versions of PgBouncer refuse the setting.
fn without_float_digits(options: PgConnectOptions) -> PgConnectOptions {
    options.extra_float_digits(None)
}

/// # Errors
/// [`ErrorKind::Misconfigured`](session_core::ErrorKind::Misconfigured) if a setting is zero.
pub(crate) fn check(timeout: Duration, max_data: usize, connections: u32) -> Result<()> {
    if timeout.is_zero() || max_data == 0 || connections == 0 {
        return Err(Error::misconfigured(
            "timeout, max_data and connections must be over zero",
        ));
    }
    Ok(())
}
