//! The builder of a store.

use std::time::Duration;

use session_core::backend::{CircuitBreaker, Operation, Policy};
use session_core::{Error, Result};
use session_sql::REPEATS;
use session_sql::express::SqlKeyValue;
use sqlx::mysql::MySqlConnectOptions;

use super::schema::Names;
use super::{Express, ExpressMysqlSession, ExpressStore};
use crate::{builder, url};

/// Sets up an [`ExpressStore`].
#[derive(Clone, Debug)]
#[must_use]
pub struct ExpressStoreBuilder {
    express: Express,
    names: Names,
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
            names: Names {
                table: "sessions".to_owned(),
                sid: "session_id".to_owned(),
                expires: "expires".to_owned(),
                data: "data".to_owned(),
            },
            timeout: Policy::TIMEOUT,
            circuit_breaker: Some(CircuitBreaker::DEFAULT),
            max_data: Policy::MAX_DATA,
            connections: 16,
            migrate: true,
        }
    }
}

impl ExpressStoreBuilder {
    /// Sets the table. express-mysql-session: `schema.tableName`; default `sessions`.
    pub fn table(mut self, name: impl Into<String>) -> Self {
        self.names.table = name.into();
        self
    }

    /// Sets the names of the columns. express-mysql-session: `schema.columnNames`; default
    /// `session_id`, `expires` and `data`.
    pub fn columns(
        mut self,
        session_id: impl Into<String>,
        expires: impl Into<String>,
        data: impl Into<String>,
    ) -> Self {
        self.names.sid = session_id.into();
        self.names.expires = expires.into();
        self.names.data = data.into();
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

    /// Sets the maximum size of one record in bytes; default 1 MiB. The limit is at most what the
    /// data column holds: 16 MiB, or 64 KiB if it is `TEXT`.
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

    /// Sets whether connecting creates the table if it does not exist. express-mysql-session:
    /// `createDatabaseTable`; default `true`.
    pub fn migrate(mut self, migrate: bool) -> Self {
        self.migrate = migrate;
        self
    }

    /// Connects to the server at `url`, as
    /// [`MysqlStoreBuilder::connect`](crate::MysqlStoreBuilder::connect).
    ///
    /// If the table exists, it must have the three columns, of types that hold a session, a unique
    /// key on the session id alone, and no other column that must be given a value.
    ///
    /// # Errors
    /// As [`MysqlStoreBuilder::connect`](crate::MysqlStoreBuilder::connect).
    pub async fn connect(self, url: &str) -> Result<ExpressStore> {
        self.check()?;
        self.connect_with(url::parse(url)?).await
    }

    /// Connects with the driver's options, as [`connect`](Self::connect).
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub async fn connect_with(self, options: MySqlConnectOptions) -> Result<ExpressStore> {
        self.check()?;
        let connector = builder::connector(options, self.connections, self.timeout)?;
        let policy = Policy::new(self.timeout, self.max_data)
            .with_repeats(REPEATS)
            .with_circuit_breaker(self.circuit_breaker);
        let table = ExpressMysqlSession::new(self.names, policy);
        let open = |table: ExpressMysqlSession| {
            let (express, client) = (self.express.clone(), connector.client());
            ExpressStore::new(SqlKeyValue::new(table), express, connector.clone(), client)
        };
        let store = open(table.clone())?;
        let prepare = |call| async move { table.prepare(&call, self.migrate).await };
        match store.by_command(Operation::Connect, prepare).await? {
            None => Ok(store),
            Some(table) => open(table),
        }
    }

    fn check(&self) -> Result<()> {
        let Names {
            table,
            sid,
            expires,
            data,
        } = &self.names;
        for (what, name) in [
            ("table", table),
            ("column", sid),
            ("column", expires),
            ("column", data),
        ] {
            let length = name.chars().count();
            if !(1..=64).contains(&length) || name.contains('\0') || name.ends_with(' ') {
                return Err(Error::misconfigured(format!(
                    "invalid {what} name {name:?}: it must have 1 to 64 characters, no NUL, and no space at its end"
                )));
            }
        }
        builder::check(self.timeout, self.max_data, self.connections)?;
        if self.max_data > 16 * 1024 * 1024 {
            return Err(Error::misconfigured(
                "max_data must be at most 16 MiB: a MEDIUMTEXT holds no more",
            ));
        }
        self.express.check()
    }
}
