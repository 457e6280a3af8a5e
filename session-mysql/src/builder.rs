//! How a store is set up.

use std::time::Duration;

use session_core::{Error, Result};
use sqlx::MySqlPool;
use sqlx::mysql::{MySqlConnectOptions, MySqlPoolOptions};

use crate::{MysqlStore, error};

/// Sets up a [`MysqlStore`].
#[derive(Clone, Debug)]
#[must_use]
pub struct MysqlStoreBuilder {
    pub(crate) table: String,
    connections: u32,
    pub(crate) timeout: Duration,
    pub(crate) max_data: usize,
    migrate: bool,
}

impl Default for MysqlStoreBuilder {
    fn default() -> Self {
        Self {
            table: "sessions".to_owned(),
            connections: 16,
            timeout: Duration::from_secs(5),
            max_data: 8 * 1024 * 1024,
            migrate: true,
        }
    }
}

impl MysqlStoreBuilder {
    /// The table, in the database that the connection uses; default `sessions`. Stores in
    /// different tables share nothing.
    pub fn table(mut self, name: impl Into<String>) -> Self {
        self.table = name.into();
        self
    }

    /// The most connections of a pool made by [`connect`](Self::connect); default 16.
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

    /// The most bytes of one session's data; default 8 MiB. The server's `max_allowed_packet`
    /// must be larger.
    pub fn max_data(mut self, bytes: usize) -> Self {
        self.max_data = bytes;
        self
    }

    /// Whether to create the table when the store is made; default true. Otherwise call
    /// [`MysqlStore::migrate`] yourself, or run [`schema`](crate::schema).
    pub fn migrate(mut self, migrate: bool) -> Self {
        self.migrate = migrate;
        self
    }

    /// Connects to the server at `url`, `mysql://` or `mariadb://`, with the options of the
    /// [`sqlx`] crate (`?ssl-mode=VERIFY_IDENTITY&ssl-ca=…`). The URL names the database.
    ///
    /// The pool does not ping before each use, which would be a round trip more; a connection that
    /// has gone stale is noticed and replaced.
    ///
    /// # Errors
    /// [`Error::Misconfigured`] for a URL or setting that can't be right or a login that is
    /// refused, [`Error::Unavailable`] or [`Error::Timeout`] if the server can't be reached.
    pub async fn connect(self, url: &str) -> Result<MysqlStore> {
        self.check()?;
        let pool = pool(url, self.connections, self.timeout).await?;
        // All but one, which is for listing and reaping.
        let at_hand = self.connections - 1;
        self.open(pool, at_hand).await
    }

    /// Uses a pool of the caller's, as it is set up. It is never closed here.
    ///
    /// Requests use up to half of its connections at once, and the store keeps them while there is
    /// traffic: a pool pings each connection that goes back to it.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub async fn build(self, pool: MySqlPool) -> Result<MysqlStore> {
        self.check()?;
        let at_hand = pool.options().get_max_connections() / 2;
        self.open(pool, at_hand).await
    }

    async fn open(self, pool: MySqlPool, at_hand: u32) -> Result<MysqlStore> {
        let store = MysqlStore::new(pool, at_hand, &self);
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

/// A pool of connections to the server at `url`, which does not ping before each use.
pub(crate) async fn pool(url: &str, connections: u32, timeout: Duration) -> Result<MySqlPool> {
    // The parser takes any scheme.
    if !url.starts_with("mysql://") && !url.starts_with("mariadb://") {
        return Err(Error::misconfigured(
            "a MySQL URL begins with mysql:// or mariadb://",
        ));
    }
    let options: MySqlConnectOptions = url
        .parse()
        // The parser quotes what it can't read, and a password may be in it.
        .map_err(|_| Error::misconfigured("the MySQL URL or its options can't be read"))?;
    if options.get_database().is_none() {
        return Err(Error::misconfigured(
            "the MySQL URL names no database: mysql://user@host/database",
        ));
    }
    MySqlPoolOptions::new()
        .max_connections(connections)
        .test_before_acquire(false)
        // A little less than the store's own limit, so that it is the pool that says why.
        .acquire_timeout(timeout.mul_f64(0.8))
        .connect_with(options)
        .await
        .map_err(|error| error::from_sqlx("connect", &error))
}
