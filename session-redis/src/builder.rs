//! How a store is set up.

use std::path::{Path, PathBuf};
use std::time::Duration;

use session_core::backend::{Policy, Store};
use session_core::{Error, Result};

use crate::connector::RedisConnector;
use crate::keys::Keys;
use crate::{Connection, RedisBackend, RedisStore, url};

/// Sets up a [`RedisStore`].
#[derive(Clone, Debug)]
#[must_use]
pub struct RedisStoreBuilder {
    prefix: String,
    timeout: Duration,
    max_data: usize,
    migrate: bool,
    ca_file: Option<PathBuf>,
}

impl Default for RedisStoreBuilder {
    fn default() -> Self {
        Self {
            prefix: "session:".to_owned(),
            timeout: Policy::TIMEOUT,
            max_data: Policy::MAX_DATA,
            migrate: true,
            ca_file: None,
        }
    }
}

impl RedisStoreBuilder {
    /// What the store's keys begin with; default `session:`. At most 255 bytes of any text. Stores
    /// with different prefixes share nothing. In a cluster a prefix with a part in braces keeps all
    /// sessions on the node of that hash tag.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// The longest that one store operation may take; default 5 s.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The most bytes of one session's data; default 1 MiB.
    pub fn max_data(mut self, bytes: usize) -> Self {
        self.max_data = bytes;
        self
    }

    /// Whether to check the server when the store is made: that it is new enough, and that its user
    /// may run each command that the store needs. Default true. There is no schema to set up in
    /// Redis.
    pub fn migrate(mut self, migrate: bool) -> Self {
        self.migrate = migrate;
        self
    }

    /// A file with the certificate, in PEM, of the authority that signs the server's, in place of
    /// the public ones. For [`connect`](Self::connect) to a `rediss://` URL.
    pub fn ca_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.ca_file = Some(path.into());
        self
    }

    /// Connects to the Redis or Valkey server at `url`:
    ///
    /// | URL | |
    /// |---|---|
    /// | `redis://user:password@host:port/db`, `valkey://…` | `user`, `password`, `port` (6379) and `db` (0) may be left out |
    /// | `rediss://…`, `valkeys://…` | the same, with TLS |
    /// | `unix:/path?db=0&user=…&pass=…`, `redis+unix:`, `valkey+unix:` | a socket's path |
    ///
    /// All take `?protocol=resp2` for a proxy that does not know RESP3, in which a client sees at once
    /// that a connection is broken. Other options are refused.
    ///
    /// The connection is one, multiplexed. When it breaks, falls silent for half the
    /// [time limit](Self::timeout), or leads to a server that says it is no primary (any more), another
    /// takes its place. TCP keep-alive and user time-out are set.
    ///
    /// # Errors
    /// [`ErrorKind::Misconfigured`] for a URL, option or setting that can't be right, a password or
    /// certificate that is refused, a command that the user may not run; [`ErrorKind::Unavailable`] or
    /// [`ErrorKind::Timeout`] if the server can't be reached.
    pub async fn connect(self, url: &str) -> Result<RedisStore> {
        self.check()?;
        let client = client(url, self.ca_file.as_deref())?;
        self.build(client).await
    }

    /// Uses a client or connection of the caller's: a [`redis::Client`], or a `ClusterClient` for
    /// Redis Cluster, over which it connects; or a `ConnectionManager` or `ClusterConnection`, which
    /// is never closed here and [can't be replaced](Connection). A `Client` gets TCP keep-alive and
    /// user time-out where it has none; a `ClusterClient` has what its builder was given.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub async fn build(self, connection: impl Into<Connection>) -> Result<RedisStore> {
        self.check()?;
        let connection = connection.into();
        let limits = Policy::new(self.timeout, self.max_data);
        let backend = RedisBackend::new(Keys::new(&self.prefix), connection.is_cluster(), limits);
        let connector = RedisConnector::new(connection, self.timeout, &backend.scripts.all());
        let first = connector.open().await?;
        let store = Store::new(backend, connector, first);
        if self.migrate {
            store.migrate().await?;
        }
        Ok(store)
    }

    fn check(&self) -> Result<()> {
        check(&self.prefix, self.timeout, self.max_data)?;
        if self.max_data > 256 * 1024 * 1024 {
            return Err(Error::misconfigured(
                "max_data must be at most 256 MiB: a Redis value has at most 512 MiB",
            ));
        }
        Ok(())
    }
}

/// Refuses prefixes and limits that can't be.
pub(crate) fn check(prefix: &str, timeout: Duration, max_data: usize) -> Result<()> {
    Error::check_size("prefix", prefix.len(), 255)?;
    Policy::new(timeout, max_data).check()
}

/// A client for the server at `url`, and how to connect to it.
pub(crate) fn client(url: &str, ca_file: Option<&Path>) -> Result<Connection> {
    install_crypto_provider();
    let ca = ca_file.map(|path| {
        std::fs::read(path).map_err(|error| {
            let path = path.display();
            Error::misconfigured(format!(
                "cannot read the certificate authority {path}: {error}"
            ))
        })
    });
    Ok(url::client(url, ca.transpose()?)?.into())
}

/// Chooses rustls' provider where nobody has: without one its first use would panic.
fn install_crypto_provider() {
    #[cfg(feature = "tls")]
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // Somebody else may be first, which serves as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
    }
}
