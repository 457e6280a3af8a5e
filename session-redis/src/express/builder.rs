//! The builder of a store.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use session_core::Result;
use session_core::backend::{Call, Operation, Policy};

use super::script::Scripts;
use super::{ConnectRedis, Express, ExpressStore};
use crate::backend::REPEATS;
use crate::connector::RedisConnector;
use crate::keys::Keys;
use crate::{Connection, RedisClient, builder, check};

/// Sets up an [`ExpressStore`].
#[derive(Clone, Debug)]
#[must_use]
pub struct ExpressStoreBuilder {
    express: Express,
    prefix: String,
    timeout: Duration,
    max_data: usize,
    disable_ttl: bool,
    ca_file: Option<PathBuf>,
}

impl From<Express> for ExpressStoreBuilder {
    fn from(express: Express) -> Self {
        Self {
            express,
            prefix: "sess:".to_owned(),
            timeout: Policy::TIMEOUT,
            max_data: Policy::MAX_DATA,
            disable_ttl: false,
            ca_file: None,
        }
    }
}

impl ExpressStoreBuilder {
    /// Sets the prefix of the keys. connect-redis: `prefix`; default `sess:`.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Sets the time limit of one operation, including repeats; default 5 s.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
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

    /// Sets a PEM file with the certificate authority of the server, as
    /// [`RedisStoreBuilder::ca_file`](crate::RedisStoreBuilder::ca_file).
    pub fn ca_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.ca_file = Some(path.into());
        self
    }

    /// Connects to the Redis server at `url`, as
    /// [`RedisStoreBuilder::connect`](crate::RedisStoreBuilder::connect), and checks the user's
    /// rights: it tries each command that the layout needs on an unused key.
    ///
    /// # Errors
    /// As [`RedisStoreBuilder::connect`](crate::RedisStoreBuilder::connect).
    pub async fn connect(self, url: &str) -> Result<ExpressStore> {
        self.check()?;
        let client = builder::client(url, self.ca_file.as_deref())?;
        self.build(client).await
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
        let kv = ConnectRedis {
            scripts: Arc::new(Scripts::new()),
            prefix: self.prefix,
            is_cluster: connection.is_cluster(),
            policy: Policy::new(self.timeout, self.max_data).with_repeats(REPEATS),
            disable_ttl: self.disable_ttl,
        };
        let connector = RedisConnector::new(connection, self.timeout, &kv.scripts.all());
        let first = connector.open().await?;
        let store = ExpressStore::new(kv, self.express, connector, first)?;
        let probe = |call: Call<RedisClient>| async move {
            check::rights(&call, &scratch, check::EXPRESS_COMMANDS).await
        };
        store.by_command(Operation::Migrate, probe).await?;
        Ok(store)
    }

    fn check(&self) -> Result<()> {
        builder::check(&self.prefix, self.timeout, self.max_data)?;
        self.express.check()
    }
}
