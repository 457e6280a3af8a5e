//! How a store is set up.

use std::time::Duration;

use session_core::backend::{Operation, Policy};
use session_core::{Error, Result};
use sqlx::mysql::MySqlConnectOptions;

use crate::backend::{MysqlBackend, policy};
use crate::connector::MysqlConnector;
use crate::{MysqlStore, location};

/// Sets up a [`MysqlStore`].
#[derive(Clone, Debug)]
#[must_use]
pub struct MysqlStoreBuilder {
    table: String,
    connections: u32,
    timeout: Duration,
    max_data: usize,
    migrate: bool,
}

impl Default for MysqlStoreBuilder {
    fn default() -> Self {
        Self {
            table: "session_store".to_owned(),
            connections: 16,
            timeout: Policy::TIMEOUT,
            max_data: Policy::MAX_DATA,
            migrate: true,
        }
    }
}

impl MysqlStoreBuilder {
    /// The table, in the database that the connection uses; default
    /// `session_store`. Stores in different tables share nothing.
    pub fn table(mut self, name: impl Into<String>) -> Self {
        self.table = name.into();
        self
    }

    /// The most connections; default 16. Where the server allows fewer, operations wait for those
    /// there are.
    pub fn connections(mut self, connections: u32) -> Self {
        self.connections = connections;
        self
    }

    /// The longest that one store operation may take, waiting for a connection and repeating
    /// included; default 5 s.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The most bytes of one session's data; default 1 MiB. The server's `max_allowed_packet`
    /// must be larger.
    pub fn max_data(mut self, bytes: usize) -> Self {
        self.max_data = bytes;
        self
    }

    /// Whether to create the table when the store is made, if it is not there; default true.
    /// Otherwise call [`MysqlStore::migrate`] yourself, or run [`schema`](crate::schema).
    pub fn migrate(mut self, migrate: bool) -> Self {
        self.migrate = migrate;
        self
    }

    /// Connects to the server at `url`, `mysql://` or `mariadb://`, with these options of the driver,
    /// the crate [`sqlx`]: `ssl-mode`, `ssl-ca`, `ssl-cert`, `ssl-key`, `socket` and
    /// `statement-cache-capacity` (`?ssl-mode=VERIFY_IDENTITY&ssl-ca=…`). The URL names the
    /// database.
    ///
    /// A table that is there is checked: columns, types, keys, and the rights to use it. The user
    /// needs `SELECT`, `INSERT`, `UPDATE` and `DELETE` on it, and `CREATE` only if it is to be
    /// created.
    ///
    /// # Errors
    /// [`ErrorKind::Misconfigured`] for a URL, option or setting that can't be right, a login or a
    /// certificate that is refused, a right that is missing or a table that is not of this kind of
    /// store: the message names it. [`ErrorKind::Unavailable`] or [`ErrorKind::Timeout`] if the server can't
    /// be reached or gives no connection.
    pub async fn connect(self, url: &str) -> Result<MysqlStore> {
        self.check()?;
        self.connect_with(location::parse(url)?).await
    }

    /// As [`connect`](Self::connect), with options that no URL has.
    ///
    /// The store sets character set, time zone and `sql_mode` of its connections itself.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub async fn connect_with(self, options: MySqlConnectOptions) -> Result<MysqlStore> {
        self.check()?;
        let connector = MysqlConnector::new(options, self.connections, self.timeout)?;
        let policy = policy(self.timeout, self.max_data, self.connections);
        let backend = MysqlBackend::new(&self.table, policy);
        let first = connector.client();
        let store = MysqlStore::new(backend, connector, first);
        let backend = store.backend();
        let check = |call| async move { backend.check_server(&call).await };
        store.by_command(Operation::Connect, check).await?;
        if self.migrate {
            store.migrate().await?;
        }
        Ok(store)
    }

    fn check(&self) -> Result<()> {
        let name = &self.table;
        let wrong = |rule: &str| {
            Err(Error::misconfigured(format!(
                "MySQL has no table named {name:?}: it {rule}"
            )))
        };
        if name.is_empty() || name.chars().count() > 64 {
            return wrong("has not 1 to 64 characters");
        }
        if name.contains('\0') || name.ends_with(' ') {
            return wrong("contains a NUL or ends with a space");
        }
        if name.chars().any(|c| c > '\u{ffff}') {
            return wrong("contains a character beyond the basic plane, such as an emoji");
        }
        // The server names a file after it, where every character but these takes five.
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let file_name: usize = name.chars().map(|c| if plain(c) { 1 } else { 5 }).sum();
        if file_name > 240 {
            return wrong("has too many special characters for a file name");
        }
        check(self.timeout, self.max_data, self.connections)
    }
}

/// Refuses limits that can't be.
pub(crate) fn check(timeout: Duration, max_data: usize, connections: u32) -> Result<()> {
    if timeout.is_zero() || max_data == 0 || connections == 0 {
        return Err(Error::misconfigured(
            "timeout, max_data and connections must be over zero",
        ));
    }
    Ok(())
}
