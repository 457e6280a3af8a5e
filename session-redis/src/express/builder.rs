//! How a store is set up.

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
use crate::{Connection, RedisClient, builder, probe};

/// Sets an [`ExpressStore`] up.
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
    /// What the keys begin with. connect-redis: `prefix`; default `sess:`.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// The longest that one operation may take; default 5 s.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The most bytes of one record; default 1 MiB.
    pub fn max_data(mut self, bytes: usize) -> Self {
        self.max_data = bytes;
        self
    }

    /// Whether keys get no time to live, so that nothing ends by itself. connect-redis:
    /// `disableTTL`; default `false`.
    pub fn disable_ttl(mut self, disable: bool) -> Self {
        self.disable_ttl = disable;
        self
    }

    /// A file with the certificate of the authority that signs the server's, as
    /// [`RedisStoreBuilder::ca_file`](crate::RedisStoreBuilder::ca_file).
    pub fn ca_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.ca_file = Some(path.into());
        self
    }

    /// Connects to the Redis server at `url`, as
    /// [`RedisStoreBuilder::connect`](crate::RedisStoreBuilder::connect), and tries each command that
    /// the layout needs on a key that nothing else has.
    ///
    /// # Errors
    /// As that.
    pub async fn connect(self, url: &str) -> Result<ExpressStore> {
        self.check()?;
        let client = builder::client(url, self.ca_file.as_deref())?;
        self.build(client).await
    }

    /// Uses a client or connection of the caller's, as
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
            probe::commands(&call, &scratch, probe::EXPRESS).await
        };
        store.by_command(Operation::Migrate, probe).await?;
        Ok(store)
    }

    fn check(&self) -> Result<()> {
        builder::check(&self.prefix, self.timeout, self.max_data)?;
        self.express.check()
    }
}
