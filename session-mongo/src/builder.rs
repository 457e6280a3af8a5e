//! How a store is set up.

use std::time::Duration;

use mongodb::{Database, Namespace};
use session_core::backend::{Operation, Policy};
use session_core::{Error, Result};

use crate::connector::{MongoClient, MongoConnector};
use crate::{MongoBackend, MongoStore, options};

/// What MongoDB allows for database and collection together.
const MAX_NAMESPACE: usize = 255;

/// Sets up a [`MongoStore`].
#[derive(Clone, Debug)]
#[must_use]
pub struct MongoStoreBuilder {
    pub(crate) collection: String,
    pub(crate) timeout: Duration,
    pub(crate) max_data: usize,
    pub(crate) expiry_grace: Duration,
    migrate: bool,
}

impl Default for MongoStoreBuilder {
    fn default() -> Self {
        Self {
            collection: "session_store".to_owned(),
            timeout: Policy::TIMEOUT,
            max_data: Policy::MAX_DATA,
            expiry_grace: Duration::ZERO,
            migrate: true,
        }
    }
}

impl MongoStoreBuilder {
    /// The collection; default `session_store`. Stores in different collections share nothing. One
    /// that another program has filled or indexed is refused.
    pub fn collection(mut self, name: impl Into<String>) -> Self {
        self.collection = name.into();
        self
    }

    /// The longest that one store operation may take; default 5 s.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The most bytes of one session's data; default 1 MiB, at most 15 MiB, for a document has at
    /// most 16.
    pub fn max_data(mut self, bytes: usize) -> Self {
        self.max_data = bytes;
        self
    }

    /// How much later than its deadline the TTL index removes a session, in whole seconds,
    /// rounded up; default 0. Until then a reaper can report it, so give this when you run one:
    /// an hour, say. With 0 the store reports nothing. Changing it for a collection that is there
    /// needs the right `collMod`; without it the store goes on with the old one and logs a warning.
    pub fn expiry_grace(mut self, grace: Duration) -> Self {
        self.expiry_grace = grace;
        self
    }

    /// Whether to create the indexes when the store is made; default true. Otherwise call
    /// [`MongoStore::migrate`] yourself. The user's rights and the collection are checked anyhow.
    pub fn migrate(mut self, migrate: bool) -> Self {
        self.migrate = migrate;
        self
    }

    /// Connects to the MongoDB deployment at `url`, with the options of the [`mongodb`] crate. The
    /// URL must name a database: `mongodb://host/database`. A user is looked for in that database,
    /// unless the URL has another `authSource`.
    ///
    /// Four round trips, one more if there are indexes to create. Reads go to the primary whatever
    /// the URL says. With `directConnection=true` nothing is read while the server is not the
    /// primary. If the address leads to another server, or the runtime has ended that the store
    /// was made in, the store connects anew.
    ///
    /// # Errors
    /// [`ErrorKind::Misconfigured`] for a URL or setting that can't be right, an option that weakens
    /// what a store promises, a login or TLS certificate that is refused, a missing right, or a
    /// collection of another program; [`ErrorKind::Unavailable`] or [`ErrorKind::Timeout`] if the server
    /// can't be reached.
    pub async fn connect(self, url: &str) -> Result<MongoStore> {
        let options = options::parse(url, self.timeout).await?;
        let database = options.default_database.clone().ok_or_else(|| {
            Error::misconfigured("the MongoDB URL names no database: mongodb://host/database")
        })?;
        self.check(&database)?;
        let namespace = Namespace::new(&database, &self.collection);
        let clients = MongoConnector::own(options, database, self.collection.clone())?;
        self.open(namespace, clients).await
    }

    /// Uses a database of the caller's, with its read and write concern, but for its read
    /// preference: reads go to the primary. It is never closed here, so its client must belong to a
    /// runtime that lives as long as the store, and should not be a `directConnection` to a server
    /// that may be demoted.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub async fn build(self, database: Database) -> Result<MongoStore> {
        self.check(database.name())?;
        options::check(database.write_concern(), database.read_concern())?;
        let namespace = Namespace::new(database.name(), &self.collection);
        let clients = MongoConnector::of_caller(&database, &self.collection);
        self.open(namespace, clients).await
    }

    fn check(&self, database: &str) -> Result<()> {
        check(database, &self.collection, self.timeout, self.max_data)
    }

    async fn open(
        self,
        namespace: Namespace,
        (connector, first): (MongoConnector, MongoClient),
    ) -> Result<MongoStore> {
        let backend = MongoBackend::new(namespace, &self);
        let store = MongoStore::new(backend, connector, first);
        let (backend, migrates) = (store.backend(), self.migrate);
        let check = |call| async move { backend.check(&call, migrates).await };
        store.by_command(Operation::Connect, check).await?;
        if migrates {
            store.migrate().await?;
        }
        Ok(store)
    }
}

/// Refuses names and limits that can't be.
pub(crate) fn check(database: &str, name: &str, timeout: Duration, max_data: usize) -> Result<()> {
    let wrong = |rule: &str| {
        Err(Error::misconfigured(format!(
            "invalid collection name {name:?}: it {rule}"
        )))
    };
    if name.is_empty() {
        return wrong("is empty");
    }
    if name.contains(['$', '\0']) {
        return wrong("contains a $ or a NUL");
    }
    if name.starts_with("system.") || name.starts_with('.') || name.ends_with('.') {
        return wrong("starts with system. or has a dot at its ends");
    }
    if database.len() + 1 + name.len() > MAX_NAMESPACE {
        return wrong("is longer, with its database's name, than 255 bytes");
    }
    Policy::new(timeout, max_data).check()?;
    if max_data > 15 * 1024 * 1024 {
        return Err(Error::misconfigured(
            "max_data must be at most 15 MiB: a MongoDB document has at most 16",
        ));
    }
    Ok(())
}
