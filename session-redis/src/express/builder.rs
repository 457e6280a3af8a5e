//! The builder of a store.

use std::sync::Arc;
use std::time::Duration;

use session_core::Result;
use session_core::backend::{Call, CircuitBreaker, Operation, Policy};

use super::script::Scripts;
use super::{ConnectRedis, Express, ExpressStore, check};
use crate::backend::REPEATS;
use crate::connector::RedisConnector;
use crate::keys::Keys;
use crate::options::{ConnectionOptions, connection_setters};
use crate::{Connection, RedisClient, builder, url};

/// Sets up an [`ExpressStore`].
#[derive(Clone, Debug)]
#[must_use]
pub struct ExpressStoreBuilder {
    express: Express,
    prefix: String,
    timeout: Duration,
    circuit_breaker: Option<CircuitBreaker>,
    max_data: usize,
    disable_ttl: bool,
    options: ConnectionOptions,
}

impl From<Express> for ExpressStoreBuilder {
    fn from(express: Express) -> Self {
        Self {
            express,
            prefix: "sess:".to_owned(),
            timeout: Policy::TIMEOUT,
            circuit_breaker: Some(CircuitBreaker::DEFAULT),
            max_data: Policy::MAX_DATA,
            disable_ttl: false,
            options: ConnectionOptions::default(),
        }
    }
}

impl ExpressStoreBuilder {
    /// Sets the prefix of the keys. connect-redis: `prefix`; default `sess:`.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Sets the time limit of one operation, including repeats; default 2 s.
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

    /// Sets whether keys get no time to live, so that sessions never expire. connect-redis:
    /// `disableTTL`; default `false`.
    pub fn disable_ttl(mut self, disable: bool) -> Self {
        self.disable_ttl = disable;
        self
    }

    connection_setters!();

    /// Connects to the Redis server at `url`, as
    /// [`RedisStoreBuilder::connect`](crate::RedisStoreBuilder::connect), and checks the user's
    /// rights: it tries each command that the layout needs on an unused key.
    ///
    /// # Errors
    /// As [`RedisStoreBuilder::connect`](crate::RedisStoreBuilder::connect).
    pub async fn connect(mut self, url: &str) -> Result<ExpressStore> {
        self.check()?;
        let connection = url::connection(url, &mut self.options)?;
        self.build(connection).await
    }

    /// Uses a client or connection of the caller, as
    /// [`RedisStoreBuilder::build`](crate::RedisStoreBuilder::build).
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub async fn build(self, connection: impl Into<Connection>) -> Result<ExpressStore> {
        self.check()?;
        let connection = connection.into();
        let scratch = Keys::new(&self.prefix).scratch();
        let is_cluster = connection.is_cluster();
        let kv = ConnectRedis {
            scripts: Arc::new(Scripts::new()),
            scratch: scratch.clone(),
            prefix: self.prefix,
            is_cluster,
            policy: Policy::new(self.timeout, self.max_data)
                .with_repeats(REPEATS)
                .with_circuit_breaker(self.circuit_breaker),
            disable_ttl: self.disable_ttl,
        };
        let scripts = kv.scripts.all();
        let connector = RedisConnector::new(
            connection,
            self.options,
            self.timeout,
            scratch.clone(),
            &scripts,
        )?;
        let (first, _) = connector.open().await?;
        let store = ExpressStore::new(kv, self.express, connector, first)?;
        let probe = |call: Call<RedisClient>| async move {
            check::rights(&call, &scratch, is_cluster).await
        };
        store.by_command(Operation::Migrate, probe).await?;
        Ok(store)
    }

    fn check(&self) -> Result<()> {
        builder::check(&self.prefix, self.timeout, self.max_data)?;
        self.express.check()
    }
}
