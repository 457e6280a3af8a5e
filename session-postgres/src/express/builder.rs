//! The builder of a store.

use std::time::Duration;

use session_core::Result;
use session_core::backend::{CircuitBreaker, Operation, Policy};
use session_sql::REPEATS;
use session_sql::express::SqlKeyValue;
use sqlx::postgres::PgConnectOptions;

use super::{ConnectPgSimple, Express, ExpressStore};
use crate::schema::qualified;
use crate::{builder, check, url};

/// Sets up an [`ExpressStore`].
#[derive(Clone, Debug)]
#[must_use]
pub struct ExpressStoreBuilder {
    express: Express,
    table: String,
    schema: Option<String>,
    time_zone: Option<String>,
    has_named_statements: bool,
    timeout: Duration,
    circuit_breaker: Option<CircuitBreaker>,
    max_data: usize,
    connections: u32,
    migrate: bool,
}

impl From<Express> for ExpressStoreBuilder {
    fn from(express: Express) -> Self {
        Self {
            express,
            table: "session".to_owned(),
            schema: None,
            time_zone: None,
            has_named_statements: true,
            timeout: Policy::TIMEOUT,
            circuit_breaker: Some(CircuitBreaker::DEFAULT),
            max_data: Policy::MAX_DATA,
            connections: 16,
            migrate: true,
        }
    }
}

impl ExpressStoreBuilder {
    /// Sets the table. connect-pg-simple: `tableName`; default `session`.
    pub fn table(mut self, name: impl Into<String>) -> Self {
        self.table = name.into();
        self
    }

    /// Sets the schema of the table, which must exist. connect-pg-simple: `schemaName`. By default the
    /// connection's `search_path` decides.
    pub fn schema(mut self, name: impl Into<String>) -> Self {
        self.schema = Some(name.into());
        self
    }

    /// Sets the time zone of the Express app's connections, such as `Europe/Paris`; by default it is
    /// [looked up](crate::express#the-time-zone). It makes no difference to a column of type
    /// `timestamptz`.
    pub fn time_zone(mut self, name: impl Into<String>) -> Self {
        self.time_zone = Some(name.into());
        self
    }

    /// Sets whether statements stay prepared, as
    /// [`PostgresStoreBuilder::named_statements`](crate::PostgresStoreBuilder::named_statements).
    pub fn named_statements(mut self, named: bool) -> Self {
        self.has_named_statements = named;
        self
    }

    /// Sets the time limit of one operation, including repeats and the wait for a connection;
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

    /// Sets the maximum size of one record in bytes; default 1 MiB.
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

    /// Sets whether connecting creates the table if it does not exist; default true.
    /// connect-pg-simple: `createTableIfMissing`, default false.
    pub fn migrate(mut self, migrate: bool) -> Self {
        self.migrate = migrate;
        self
    }

    /// Connects to the server at `url`, as
    /// [`PostgresStoreBuilder::connect`](crate::PostgresStoreBuilder::connect).
    ///
    /// If the table exists, it must have the columns `sid`, `sess` and `expire`, of types that hold a
    /// session, a unique key on `sid` alone, and no other column that must be given a value.
    ///
    /// # Errors
    /// As [`PostgresStoreBuilder::connect`](crate::PostgresStoreBuilder::connect); also
    /// [`ErrorKind::Misconfigured`](session_core::ErrorKind::Misconfigured) for a time zone that the
    /// server does not know, and a database whose encoding is not `UTF8`.
    pub async fn connect(self, url: &str) -> Result<ExpressStore> {
        self.check()?;
        self.connect_with(url::parse(url)?).await
    }

    /// Connects with the driver's options, as [`connect`](Self::connect).
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub async fn connect_with(self, options: PgConnectOptions) -> Result<ExpressStore> {
        self.check()?;
        let connector = builder::connector(options, self.connections, self.timeout)?;
        let connector = connector.with_prepared(self.has_named_statements);
        let policy = Policy::new(self.timeout, self.max_data)
            .with_repeats(REPEATS)
            .with_circuit_breaker(self.circuit_breaker);
        let table = qualified(self.schema.as_deref(), &self.table);
        let table = ConnectPgSimple::new(table, policy);
        let open = |table: ConnectPgSimple| {
            let (express, client) = (self.express.clone(), connector.client());
            ExpressStore::new(SqlKeyValue::new(table), express, connector.clone(), client)
        };
        let (migrate, zone) = (self.migrate, self.time_zone.clone());
        let store = open(table.clone())?;
        let prepare = |call| async move { table.prepare(&call, migrate, zone).await };
        open(store.by_command(Operation::Connect, prepare).await?)
    }

    fn check(&self) -> Result<()> {
        check::name("table", &self.table)?;
        if let Some(schema) = &self.schema {
            check::name("schema", schema)?;
        }
        builder::check(self.timeout, self.max_data, self.connections)?;
        self.express.check()
    }
}
