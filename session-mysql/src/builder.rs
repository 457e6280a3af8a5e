//! The builder of a store.

use std::time::Duration;

use session_core::backend::{CircuitBreaker, Policy};
use session_core::{Error, Result};
use session_sql::{SqlBackend, SqlConnector, policy};
use sqlx::mysql::MySqlConnectOptions;

use crate::table::MysqlTable;
use crate::{Mysql, MysqlStore, url};

/// Sets up a [`MysqlStore`].
#[derive(Clone, Debug)]
#[must_use]
pub struct MysqlStoreBuilder {
    table: String,
    timeout: Duration,
    circuit_breaker: Option<CircuitBreaker>,
    max_data: usize,
    connections: u32,
    migrate: bool,
}

impl Default for MysqlStoreBuilder {
    fn default() -> Self {
        Self {
            table: "session_store".to_owned(),
            timeout: Policy::TIMEOUT,
            circuit_breaker: Some(CircuitBreaker::DEFAULT),
            max_data: Policy::MAX_DATA,
            connections: 16,
            migrate: true,
        }
    }
}

impl MysqlStoreBuilder {
    /// Sets the table, in the connection's database; default `session_store`. Stores in different
    /// tables share nothing.
    pub fn table(mut self, name: impl Into<String>) -> Self {
        self.table = name.into();
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

    /// Sets the maximum size of one session's data in bytes; default 1 MiB. The server's
    /// `max_allowed_packet` must be larger by 16 KiB.
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

    /// Sets whether connecting also [migrates](MysqlStore::migrate): it creates the table if it
    /// does not exist. Default true. Otherwise call [`MysqlStore::migrate`], or run
    /// [`schema`](crate::schema).
    pub fn migrate(mut self, migrate: bool) -> Self {
        self.migrate = migrate;
        self
    }

    /// Connects to the server at `url`, `mysql://` or `mariadb://`, with these options of the
    /// driver, the crate [`sqlx`]: `ssl-mode`, `ssl-ca`, `ssl-cert`, `ssl-key`, `socket` and
    /// `statement-cache-capacity` (`?ssl-mode=VERIFY_IDENTITY&ssl-ca=…`). The URL names the
    /// database.
    ///
    /// If the table exists, its columns, types and keys and the user's rights are checked. The user
    /// needs `SELECT`, `INSERT`, `UPDATE` and `DELETE` on it, and `CREATE` only to create it.
    ///
    /// # Errors
    /// [`ErrorKind::Misconfigured`](session_core::ErrorKind::Misconfigured) for a URL, option or
    /// setting that can't be right, a login or a certificate that is refused, a right that is
    /// missing or a table that is not of this kind of store: the message names it.
    /// [`ErrorKind::Unavailable`](session_core::ErrorKind::Unavailable) or
    /// [`ErrorKind::Timeout`](session_core::ErrorKind::Timeout) if the server can't be reached or
    /// gives no connection.
    pub async fn connect(self, url: &str) -> Result<MysqlStore> {
        self.check()?;
        self.connect_with(url::parse(url)?).await
    }

    /// Connects with the driver's options, as [`connect`](Self::connect).
    ///
    /// The store sets the character set, time zone and `sql_mode` of its connections itself.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub async fn connect_with(self, options: MySqlConnectOptions) -> Result<MysqlStore> {
        self.check()?;
        let connector = connector(options, self.connections, self.timeout)?;
        let policy = policy(self.timeout, self.max_data, self.connections as usize)
            .with_circuit_breaker(self.circuit_breaker);
        let backend = SqlBackend::new(MysqlTable::new(&self.table), policy);
        backend.open(connector, self.migrate).await
    }

    fn check(&self) -> Result<()> {
        let name = &self.table;
        let invalid = |rule: &str| {
            Err(Error::misconfigured(format!(
                "invalid table name {name:?}: it {rule}"
            )))
        };
        if name.is_empty() || name.chars().count() > 64 {
            return invalid("must have 1 to 64 characters");
        }
        if name.contains('\0') || name.ends_with(' ') {
            return invalid("must not contain a NUL or end with a space");
        }
        if name.chars().any(|c| c > '\u{ffff}') {
            return invalid("must not contain a character above U+FFFF, such as an emoji");
        }
        // The server's file name takes five characters for each special one.
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let file_name: usize = name.chars().map(|c| if plain(c) { 1 } else { 5 }).sum();
        if file_name > 240 {
            return invalid("has too many special characters for a file name");
        }
        check(self.timeout, self.max_data, self.connections)
    }
}

/// Makes the clients of a store; opens no connection yet. The store sets up connections itself.
///
/// # Errors
/// [`ErrorKind::Misconfigured`](session_core::ErrorKind::Misconfigured) if the options name no
/// database.
pub(crate) fn connector(
    options: MySqlConnectOptions,
    max_connections: u32,
    timeout: Duration,
) -> Result<SqlConnector<Mysql>> {
    if options.get_database().is_none() {
        return Err(Error::misconfigured(
            "the MySQL URL names no database: mysql://user@host/database",
        ));
    }
    let place = url::place(&options);
    let options = options
        .set_names(false)
        .timezone(None)
        .pipes_as_concat(false)
        .no_engine_substitution(false);
    Ok(SqlConnector::new(options, place, max_connections, timeout))
}

/// Refuses invalid limits.
pub(crate) fn check(timeout: Duration, max_data: usize, connections: u32) -> Result<()> {
    if timeout.is_zero() || max_data == 0 || connections == 0 {
        return Err(Error::misconfigured(
            "timeout, max_data and connections must be over zero",
        ));
    }
    Ok(())
}
