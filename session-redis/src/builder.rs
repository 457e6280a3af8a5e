//! The builder of a store.

use std::sync::Arc;
use std::time::Duration;

use session_core::backend::{CircuitBreaker, Policy, Store};
use session_core::{Error, Result};

use crate::confirm::Confirmations;
use crate::connector::RedisConnector;
use crate::expiry::ExpiryIndex;
use crate::invalidations::Invalidations;
use crate::keys::Keys;
use crate::notices::Notices;
use crate::options::{ConnectionOptions, connection_setters};
use crate::script::Scripts;
use crate::{Connection, RedisBackend, RedisStore, url};

/// Sets up a [`RedisStore`].
#[derive(Clone, Debug)]
#[must_use]
pub struct RedisStoreBuilder {
    prefix: String,
    timeout: Duration,
    circuit_breaker: Option<CircuitBreaker>,
    max_data: usize,
    options: ConnectionOptions,
    migrate: bool,
    notices: bool,
    expiry_reports: bool,
}

impl Default for RedisStoreBuilder {
    fn default() -> Self {
        Self {
            prefix: "session:".to_owned(),
            timeout: Policy::TIMEOUT,
            circuit_breaker: Some(CircuitBreaker::DEFAULT),
            max_data: Policy::MAX_DATA,
            options: ConnectionOptions::default(),
            migrate: true,
            notices: true,
            expiry_reports: false,
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

    /// Sets the time limit of one store operation, including repeats; default 2 s.
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

    /// Sets the maximum size of one session's data in bytes; default 1 MiB, at most 256 MiB.
    pub fn max_data(mut self, bytes: usize) -> Self {
        self.max_data = bytes;
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

    connection_setters!();

    /// Sets whether expired sessions are [reported](crate#expiry) to observers; default false. Needs a
    /// [`Reaper`](crate::Reaper) in at least one process, because what expires stays in the expiry
    /// index until it is reaped. All processes that create sessions should have the same setting:
    /// those created without it are reported only if they are signed in later.
    pub fn expiry_reports(mut self, reports: bool) -> Self {
        self.expiry_reports = reports;
        self
    }

    /// Connects to the Redis or Valkey server at `url`:
    ///
    /// | URL | meaning |
    /// |---|---|
    /// | `redis://user:password@host:port/db`, `valkey://…` | `user`, `password`, `port` (6379) and `db` (0) are optional |
    /// | `rediss://…`, `valkeys://…` | the same, with TLS |
    /// | `redis+cluster://user:password@host1:port1,host2:port2/`, `rediss+cluster://…`, `valkey…` | a cluster, by some of its nodes |
    /// | `unix:/path?db=0&user=…&pass=…`, `redis+unix:`, `valkey+unix:` | the path of a Unix socket |
    /// | `redis+sentinel://user:password@host:port,host:port/group/db`, `valkey+sentinel://…` | the primary of a `group` (`mymaster`, for example) that the [Sentinels](crate#sentinel) at these hosts name; `port` (26379), `user`, `password` and `db` are optional |
    /// | `rediss+sentinel://…`, `valkeys+sentinel://…` | the same, with TLS to the Sentinels and the primary |
    /// | `redis-sentinel://host:port,host:port/db#group`, `rediss-sentinel://…` | the same as Lettuce spells it |
    ///
    /// In a name or password, write special characters percent-encoded (`@` as `%40`). The options,
    /// each at most once:
    ///
    /// | option | for | meaning |
    /// |---|---|---|
    /// | `protocol=resp2` | all | for a proxy without RESP3 (with RESP3 a client detects a broken connection at once) |
    /// | `ca_file`, `cert_file`, `key_file` | TLS | PEM files: see [`ca_file`](Self::ca_file) and [`client_certificate`](Self::client_certificate) |
    /// | `password_file` | all | see [`password_file`](Self::password_file) |
    /// | `client_name` | all | see [`client_name`](Self::client_name) |
    /// | `connections` | all | see [`connections`](Self::connections) |
    /// | `sentinel_user`, `sentinel_password` | Sentinel | the login of the Sentinels, which is another than the primary's; by default none |
    ///
    /// Other options are refused. An option of the URL replaces the same setting of the builder.
    ///
    /// The store [replaces](crate#connections) a connection when it breaks, is silent, or leads to a
    /// server that is not the primary. TCP keep-alive and the TCP user
    /// time-out are set.
    ///
    /// # Errors
    /// [`ErrorKind::Misconfigured`](session_core::ErrorKind::Misconfigured) for a URL, option or
    /// setting that can't be right, a password or certificate that is refused, a command that the
    /// user may not run; [`ErrorKind::Unavailable`](session_core::ErrorKind::Unavailable) or
    /// [`ErrorKind::Timeout`](session_core::ErrorKind::Timeout) if the server can't be reached.
    pub async fn connect(mut self, url: &str) -> Result<RedisStore> {
        self.check()?;
        let connection = url::connection(url, &mut self.options)?;
        self.build(connection).await
    }

    /// Uses a client or connection of the caller. With a [`redis::Client`], with
    /// [`Connection::sentinel`] or with [`Connection::cluster`], the store opens its own connections.
    /// It never closes a `ConnectionManager` and [can't replace it](Connection). A `Client` gets TCP
    /// keep-alive and a TCP user time-out if it has none.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub async fn build(self, connection: impl Into<Connection>) -> Result<RedisStore> {
        self.check()?;
        let connection = connection.into();
        let limits =
            Policy::new(self.timeout, self.max_data).with_circuit_breaker(self.circuit_breaker);
        let keys = Keys::new(&self.prefix);
        let scripts = Scripts::new();
        let all = scripts.all();
        let scratch = keys.scratch();
        let connector = RedisConnector::new(connection, self.options, self.timeout, scratch, &all)?;
        let cluster = connector.cluster().cloned();
        let mut backend = RedisBackend::new(keys.clone(), scripts, cluster, limits);
        let (first, database) = connector.open().await?;
        if self.notices {
            let opener = connector.opener().clone();
            backend.notices = Some(Notices::new(&keys, database, opener));
        }
        if self.expiry_reports {
            backend.expiry = Some(Arc::new(ExpiryIndex::new(keys.clone())));
        }
        backend.invalidations = Some(Invalidations::new(keys, connector.opener().clone()));
        backend.confirmations = Some(Confirmations::new(connector.opener().clone()));
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
