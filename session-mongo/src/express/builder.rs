//! The builder of a store.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use mongodb::{Database, Namespace};
use session_core::backend::{CircuitBreaker, Operation, Policy};
use session_core::{Error, Result};

use super::{ConnectMongo, Express, ExpressStore};
use crate::client::MongoClient;
use crate::connector::MongoConnector;
use crate::crypto::Crypto;
use crate::{builder, url};

type TransformId = Arc<dyn Fn(&str) -> String + Send + Sync>;

/// Sets up an [`ExpressStore`].
#[derive(Clone)]
#[must_use]
pub struct ExpressStoreBuilder {
    express: Express,
    options: Options,
    migrate: bool,
}

/// The options of a store.
#[derive(Clone)]
pub(super) struct Options {
    pub(super) collection: String,
    pub(super) timeout: Duration,
    pub(super) circuit_breaker: Option<CircuitBreaker>,
    pub(super) max_data: usize,
    pub(super) touch_after: Duration,
    pub(super) stringify: bool,
    pub(super) timestamps: bool,
    pub(super) transform_id: Option<TransformId>,
    pub(super) crypto: Option<Arc<dyn Crypto>>,
}

impl From<Express> for ExpressStoreBuilder {
    fn from(express: Express) -> Self {
        Self {
            express,
            options: Options {
                collection: "sessions".to_owned(),
                timeout: Policy::TIMEOUT,
                circuit_breaker: Some(CircuitBreaker::DEFAULT),
                max_data: Policy::MAX_DATA,
                touch_after: Duration::ZERO,
                stringify: true,
                timestamps: false,
                transform_id: None,
                crypto: None,
            },
            migrate: true,
        }
    }
}

impl ExpressStoreBuilder {
    /// Sets the collection. connect-mongo: `collectionName`; default `sessions`. A collection with
    /// documents or indexes of another program is refused.
    pub fn collection(mut self, name: impl Into<String>) -> Self {
        self.options.collection = name.into();
        self
    }

    /// Sets the time limit of one operation, including repeats and [encryption](Self::crypto);
    /// default 2 s.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.options.timeout = timeout;
        self
    }

    /// Sets when calls fail at once because the server does not answer, and how often one is sent
    /// all the same; `None` to send each. Default [`CircuitBreaker::DEFAULT`]: after 5 failures in a
    /// row, one call each 100 ms.
    pub fn circuit_breaker(mut self, breaker: impl Into<Option<CircuitBreaker>>) -> Self {
        self.options.circuit_breaker = breaker.into();
        self
    }

    /// Sets the maximum size of one record in bytes; default 1 MiB, at most 15 MiB, because a
    /// document has at most 16 MiB.
    pub fn max_data(mut self, bytes: usize) -> Self {
        self.options.max_data = bytes;
        self
    }

    /// Skips a touch that comes sooner than this after the last write. connect-mongo: `touchAfter`,
    /// in seconds; default 0. It must be shorter than the lifetime of sessions.
    pub fn touch_after(mut self, after: Duration) -> Self {
        self.options.touch_after = after;
        self
    }

    /// Sets whether sessions are written as strings instead of documents. connect-mongo:
    /// `stringify`; default `true`.
    pub fn stringify(mut self, stringify: bool) -> Self {
        self.options.stringify = stringify;
        self
    }

    /// Sets whether documents record when they were created and changed. connect-mongo:
    /// `timestamps`; default `false`.
    pub fn timestamps(mut self, timestamps: bool) -> Self {
        self.options.timestamps = timestamps;
        self
    }

    /// Sets the function that turns a session's token into its `_id`, for example a hash.
    /// connect-mongo: `transformId`; by default the `_id` is the token.
    pub fn transform_id(mut self, to: impl Fn(&str) -> String + Send + Sync + 'static) -> Self {
        self.options.transform_id = Some(Arc::new(to));
        self
    }

    /// Encrypts sessions, which must be strings. connect-mongo: `cryptoAdapter` or `crypto`;
    /// default none.
    pub fn crypto(mut self, crypto: impl Crypto) -> Self {
        self.options.crypto = Some(Arc::new(crypto));
        self
    }

    /// Sets whether connecting creates the TTL index. connect-mongo: `autoRemove: 'native'`;
    /// default `true`. The user's rights and the collection are checked in either case.
    pub fn migrate(mut self, migrate: bool) -> Self {
        self.migrate = migrate;
        self
    }

    /// Connects to the deployment at `url`, as
    /// [`MongoStoreBuilder::connect`](crate::MongoStoreBuilder::connect). If the URL names no
    /// database, it is `test`, as for Node's driver.
    ///
    /// # Errors
    /// As [`MongoStoreBuilder::connect`](crate::MongoStoreBuilder::connect).
    pub async fn connect(self, url: &str) -> Result<ExpressStore> {
        let client = url::parse(url, self.options.timeout).await?;
        let database = client.default_database.clone();
        let database = database.unwrap_or_else(|| "test".to_owned());
        self.check(&database)?;
        let namespace = Namespace::new(&database, &self.options.collection);
        let clients = MongoConnector::new(client, database, self.options.collection.clone())?;
        self.open(namespace, clients).await
    }

    /// Uses a database of the caller, as
    /// [`MongoStoreBuilder::build`](crate::MongoStoreBuilder::build).
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub async fn build(self, database: Database) -> Result<ExpressStore> {
        self.check(database.name())?;
        url::check_concerns(database.write_concern(), database.read_concern())?;
        let namespace = Namespace::new(database.name(), &self.options.collection);
        let clients = MongoConnector::for_database(&database, &self.options.collection);
        self.open(namespace, clients).await
    }

    fn check(&self, database: &str) -> Result<()> {
        let Options {
            collection,
            timeout,
            max_data,
            crypto,
            stringify,
            ..
        } = &self.options;
        builder::check(database, collection, *timeout, *max_data)?;
        if crypto.is_some() && !stringify {
            return Err(Error::misconfigured(
                "encrypted sessions are strings: remove stringify(false)",
            ));
        }
        Ok(())
    }

    async fn open(
        self,
        namespace: Namespace,
        (connector, first): (MongoConnector, MongoClient),
    ) -> Result<ExpressStore> {
        let kv = ConnectMongo {
            namespace,
            options: self.options,
        };
        let store = ExpressStore::new(kv, self.express, connector, first)?;
        let (kv, migrates) = (store.key_value(), self.migrate);
        let check = |call| async move { kv.check(&call, migrates).await };
        store.by_command(Operation::Connect, check).await?;
        if migrates {
            let migrate = |call| async move { kv.migrate(&call).await };
            store.by_command(Operation::Migrate, migrate).await?;
        }
        Ok(store)
    }
}

impl fmt::Debug for ExpressStoreBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExpressStoreBuilder")
            .field("express", &self.express)
            .field("collection", &self.options.collection)
            .finish_non_exhaustive()
    }
}
