//! The builder of a store.

use std::path::{Path, PathBuf};
use std::time::Duration;

use redis::aio::ConnectionLike;
use session_core::backend::{Policy, Store};
use session_core::{Error, Result};

use crate::connector::RedisConnector;
use crate::keys::Keys;
use crate::notices::Notices;
use crate::{Connection, RedisBackend, RedisStore, url};

/// Sets up a [`RedisStore`].
#[derive(Clone, Debug)]
#[must_use]
pub struct RedisStoreBuilder {
    prefix: String,
    timeout: Duration,
    max_data: usize,
    ca_file: Option<PathBuf>,
    migrate: bool,
    notices: bool,
}

impl Default for RedisStoreBuilder {
    fn default() -> Self {
        Self {
            prefix: "session:".to_owned(),
            timeout: Policy::TIMEOUT,
            max_data: Policy::MAX_DATA,
            ca_file: None,
            migrate: true,
            notices: true,
        }
    }
}

impl RedisStoreBuilder {
    /// Sets the prefix of the store's keys: any text of at most 255 bytes; default `session:`.
    /// Stores with different prefixes share nothing. In a cluster, a part of the prefix in braces
    /// is a hash tag that keeps all sessions on one node.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Sets the time limit of one store operation, including repeats; default 5 s.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets the maximum size of one session's data in bytes; default 1 MiB, at most 256 MiB.
    pub fn max_data(mut self, bytes: usize) -> Self {
        self.max_data = bytes;
        self
    }

    /// Sets a PEM file with the certificate authority that has signed the server's certificate; it
    /// replaces the public authorities. Only for [`connect`](Self::connect) with a `rediss://` URL.
    pub fn ca_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.ca_file = Some(path.into());
        self
    }

    /// Sets whether connecting also [migrates](RedisStore::migrate): it checks the version of the
    /// server and the user's rights. Default true.
    pub fn migrate(mut self, migrate: bool) -> Self {
        self.migrate = migrate;
        self
    }

    /// Sets whether the store announces the sessions that it ends, and listens to what others
    /// announce while a stream [waits for that](session_core::Session::ended); default true. A
    /// server whose ACL does not let the user publish on the channel
    /// [`prefixended:database`](crate#notices) notes each attempt in its `ACL LOG`; switch it off
    /// there.
    pub fn notices(mut self, notices: bool) -> Self {
        self.notices = notices;
        self
    }

    /// Connects to the Redis or Valkey server at `url`:
    ///
    /// | URL | meaning |
    /// |---|---|
    /// | `redis://user:password@host:port/db`, `valkey://…` | `user`, `password`, `port` (6379) and `db` (0) are optional |
    /// | `rediss://…`, `valkeys://…` | the same, with TLS |
    /// | `unix:/path?db=0&user=…&pass=…`, `redis+unix:`, `valkey+unix:` | the path of a Unix socket |
    ///
    /// Each takes `?protocol=resp2`, for a proxy without RESP3. (With RESP3 a client detects a
    /// broken connection at once.) Other options are refused.
    ///
    /// The store [replaces](crate#connections) its one multiplexed connection when it breaks, is
    /// silent, or leads to a server that is not the primary. TCP keep-alive and the TCP user
    /// time-out are set.
    ///
    /// # Errors
    /// [`ErrorKind::Misconfigured`](session_core::ErrorKind::Misconfigured) for a URL, option or
    /// setting that can't be right, a password or certificate that is refused, a command that the
    /// user may not run; [`ErrorKind::Unavailable`](session_core::ErrorKind::Unavailable) or
    /// [`ErrorKind::Timeout`](session_core::ErrorKind::Timeout) if the server can't be reached.
    pub async fn connect(self, url: &str) -> Result<RedisStore> {
        self.check()?;
        let client = client(url, self.ca_file.as_deref())?;
        self.build(client).await
    }

    /// Uses a client or connection of the caller. With a [`redis::Client`], or a `ClusterClient`
    /// for Redis Cluster, the store opens its own connections. It never closes a
    /// `ConnectionManager` or `ClusterConnection` and [can't replace it](Connection). A `Client`
    /// gets TCP keep-alive and a TCP user time-out if it has none; the settings of a
    /// `ClusterClient` are used as they are.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub async fn build(self, connection: impl Into<Connection>) -> Result<RedisStore> {
        self.check()?;
        let connection = connection.into();
        let limits = Policy::new(self.timeout, self.max_data);
        let keys = Keys::new(&self.prefix);
        let mut backend = RedisBackend::new(keys.clone(), connection.is_cluster(), limits);
        let connector = RedisConnector::new(connection, self.timeout, &backend.scripts.all());
        let first = connector.open().await?;
        if self.notices {
            let origin = connector.origin();
            backend.notices = Some(Notices::new(&keys, first.get_db(), origin));
        }
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

/// Refuses invalid prefixes and limits.
pub(crate) fn check(prefix: &str, timeout: Duration, max_data: usize) -> Result<()> {
    Error::check_size("prefix", prefix.len(), 255)?;
    Policy::new(timeout, max_data).check()
}

/// A client for the server at `url`.
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

/// Installs a rustls provider if the program has not: without one, rustls panics at its first use.
fn install_crypto_provider() {
    #[cfg(any(feature = "tls", feature = "tls-native-roots"))]
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // Another thread may have installed one.
        let _ = rustls::crypto::ring::default_provider().install_default();
    }
}
