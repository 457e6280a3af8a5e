//! The builder of a store.

use std::time::Duration;

use mongodb::{Database, Namespace};
use session_core::backend::{CircuitBreaker, Operation, Policy};
use session_core::{Error, Result};

use crate::client::MongoClient;
use crate::connector::MongoConnector;
use crate::{MongoBackend, MongoStore, url};

/// MongoDB's limit for the names of database and collection together, in bytes.
const MAX_NAMESPACE: usize = 255;

/// Sets up a [`MongoStore`].
#[derive(Clone, Debug)]
#[must_use]
pub struct MongoStoreBuilder {
    pub(crate) collection: String,
    pub(crate) timeout: Duration,
    pub(crate) circuit_breaker: Option<CircuitBreaker>,
    pub(crate) max_data: usize,
    pub(crate) expiry_grace: Duration,
    migrate: bool,
}

impl Default for MongoStoreBuilder {
    fn default() -> Self {
        Self {
            collection: "session_store".to_owned(),
            timeout: Policy::TIMEOUT,
            circuit_breaker: Some(CircuitBreaker::DEFAULT),
            max_data: Policy::MAX_DATA,
            expiry_grace: Duration::ZERO,
            migrate: true,
        }
    }
}

impl MongoStoreBuilder {
    /// Sets the collection; default `session_store`. Stores in different collections share nothing.
    /// A collection with documents or indexes of another program is refused.
    pub fn collection(mut self, name: impl Into<String>) -> Self {
        self.collection = name.into();
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

    /// Sets the maximum size of one session's data in bytes; default 1 MiB, at most 15 MiB, because
    /// a document has at most 16 MiB.
    pub fn max_data(mut self, bytes: usize) -> Self {
        self.max_data = bytes;
        self
    }

    /// Sets how long after its deadline the TTL index removes a session, in whole seconds, rounded
    /// up; default 0. Until then a [`Reaper`](crate::Reaper) can report it, so set this (to an
    /// hour, for example) if you run one. It is to be longer than no reaper may run, and than the
    /// minute after which a report that was not confirmed is made again. With 0 the store reports nothing. Changing the grace of
    /// an existing collection needs the right `collMod`; without it the store keeps the old grace
    /// and logs a warning.
    pub fn expiry_grace(mut self, grace: Duration) -> Self {
        self.expiry_grace = grace;
        self
    }

    /// Sets whether connecting also [migrates](MongoStore::migrate): it creates the indexes.
    /// Default true. Otherwise call [`MongoStore::migrate`]. The user's rights and the collection
    /// are checked in either case.
    pub fn migrate(mut self, migrate: bool) -> Self {
        self.migrate = migrate;
        self
    }

    /// Connects to the MongoDB deployment at `url`, with the options of the [`mongodb`] crate. The
    /// URL must name a database: `mongodb://host/database`. The server looks the user up in that
    /// database, unless the URL has an `authSource`.
    ///
    /// Four round trips, one more to create indexes. Reads go to the primary, whatever the URL
    /// says; with `directConnection=true` operations fail while the server is not the primary. See
    /// [Connections](crate#connections).
    ///
    /// # Errors
    /// [`ErrorKind::Misconfigured`](session_core::ErrorKind::Misconfigured) for a URL or setting
    /// that can't be right, an option that weakens what a store promises, a login or TLS
    /// certificate that is refused, a missing right, or a collection of another program;
    /// [`ErrorKind::Unavailable`](session_core::ErrorKind::Unavailable) or
    /// [`ErrorKind::Timeout`](session_core::ErrorKind::Timeout) if the server can't be reached.
    pub async fn connect(self, url: &str) -> Result<MongoStore> {
        let options = url::parse(url, self.timeout).await?;
        let database = options.default_database.clone().ok_or_else(|| {
            Error::misconfigured("the MongoDB URL names no database: mongodb://host/database")
        })?;
        self.check(&database)?;
        let namespace = Namespace::new(&database, &self.collection);
        let clients = MongoConnector::new(options, database, self.collection.clone())?;
        self.open(namespace, clients).await
    }

    /// Uses a database of the caller, with its read and write concern; reads go to the primary
    /// whatever its read preference. The store never closes or replaces its client. So the client
    /// must belong to a runtime that lives as long as the store: after its end, operations fail with
    /// [`ErrorKind::Misconfigured`](session_core::ErrorKind::Misconfigured). And it should not have
    /// a `directConnection` to a server that may be demoted.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub async fn build(self, database: Database) -> Result<MongoStore> {
        self.check(database.name())?;
        url::check_concerns(database.write_concern(), database.read_concern())?;
        let namespace = Namespace::new(database.name(), &self.collection);
        let clients = MongoConnector::for_database(&database, &self.collection);
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

/// Refuses invalid names and limits.
pub(crate) fn check(database: &str, name: &str, timeout: Duration, max_data: usize) -> Result<()> {
    let invalid = |rule: &str| {
        Err(Error::misconfigured(format!(
            "invalid collection name {name:?}: it {rule}"
        )))
    };
    if name.is_empty() {
        return invalid("must not be empty");
    }
    if name.contains(['$', '\0']) {
        return invalid("must not contain a $ or a NUL");
    }
    if name.starts_with("system.") || name.starts_with('.') || name.ends_with('.') {
        return invalid("must not start with system. or start or end with a dot");
    }
    if database.len() + 1 + name.len() > MAX_NAMESPACE {
        return invalid("must have, with the name of its database, at most 254 bytes");
    }
    Policy::new(timeout, max_data).check()?;
    if max_data > 15 * 1024 * 1024 {
        return Err(Error::misconfigured(
            "max_data must be at most 15 MiB: a MongoDB document has at most 16",
        ));
    }
    Ok(())
}
