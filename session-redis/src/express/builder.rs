//! How a store is set up.

use std::sync::Arc;
use std::time::Duration;

use session_core::Result;

use super::script::Scripts;
use super::{ConnectRedis, Express, ExpressStore};
use crate::link::Link;
use crate::{Connection, builder};

/// Sets an [`ExpressStore`] up.
#[derive(Clone, Debug)]
#[must_use]
pub struct ExpressStoreBuilder {
    express: Express,
    prefix: String,
    timeout: Duration,
    max_data: usize,
    disable_ttl: bool,
}

impl From<Express> for ExpressStoreBuilder {
    fn from(express: Express) -> Self {
        Self {
            express,
            prefix: "sess:".to_owned(),
            timeout: Duration::from_secs(5),
            max_data: 8 * 1024 * 1024,
            disable_ttl: false,
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

    /// The most bytes of one record; default 8 MiB.
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

    /// Connects to the Redis server at `url`, as
    /// [`RedisStoreBuilder::connect`](crate::RedisStoreBuilder::connect).
    ///
    /// # Errors
    /// As that.
    pub async fn connect(self, url: &str) -> Result<ExpressStore> {
        self.check()?;
        let connection = builder::connect(url, self.timeout).await?;
        self.build(connection)
    }

    /// Uses a connection of the caller's, to one server or to a cluster. It is never closed here.
    ///
    /// # Errors
    /// [`Error::Misconfigured`](session_core::Error::Misconfigured) for a setting that can't be right.
    pub fn build(self, connection: impl Into<Connection>) -> Result<ExpressStore> {
        self.check()?;
        let kv = ConnectRedis {
            link: Link {
                connection: connection.into(),
                timeout: self.timeout,
            },
            scripts: Arc::new(Scripts::new()),
            prefix: self.prefix,
            max_data: self.max_data,
            disable_ttl: self.disable_ttl,
        };
        ExpressStore::new(kv, self.express)
    }

    fn check(&self) -> Result<()> {
        builder::check(&self.prefix, self.timeout, self.max_data)?;
        self.express.check()
    }
}
