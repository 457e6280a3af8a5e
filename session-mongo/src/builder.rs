//! How a store is set up.

use std::time::Duration;

use mongodb::options::ClientOptions;
use mongodb::{Client, Database};
use session_core::{Error, Result};

use crate::{MongoStore, error};

/// The database of a URL that names none.
const DATABASE: &str = "app";
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
            collection: "sessions".to_owned(),
            timeout: Duration::from_secs(5),
            max_data: 8 * 1024 * 1024,
            expiry_grace: Duration::ZERO,
            migrate: true,
        }
    }
}

impl MongoStoreBuilder {
    /// The collection; default `sessions`. Stores in different collections share nothing.
    pub fn collection(mut self, name: impl Into<String>) -> Self {
        self.collection = name.into();
        self
    }

    /// The longest that one store operation may take; default 5 s.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The most bytes of one session's data; default 8 MiB, at most 15 MiB, for a document has at
    /// most 16.
    pub fn max_data(mut self, bytes: usize) -> Self {
        self.max_data = bytes;
        self
    }

    /// How much later than its deadline the TTL index removes a session, in whole seconds,
    /// rounded up; default 0. Until then a reaper can report it, so give this when you run one:
    /// an hour, say. With 0 the store reports nothing.
    pub fn expiry_grace(mut self, grace: Duration) -> Self {
        self.expiry_grace = grace;
        self
    }

    /// Whether to create the indexes when the store is made; default true. Otherwise call
    /// [`MongoStore::migrate`] yourself.
    pub fn migrate(mut self, migrate: bool) -> Self {
        self.migrate = migrate;
        self
    }

    /// Connects to the MongoDB deployment at `url`, with the options of the [`mongodb`] crate. The
    /// database is the one in the URL's path, or `app`.
    ///
    /// # Errors
    /// [`Error::Misconfigured`] for a URL or setting that can't be right or a login that is
    /// refused, [`Error::Unavailable`] or [`Error::Timeout`] if the server can't be reached.
    pub async fn connect(self, url: &str) -> Result<MongoStore> {
        let client = client(url, self.timeout).await?;
        let database = client.default_database();
        self.build(database.unwrap_or_else(|| client.database(DATABASE)))
            .await
    }

    /// Uses a database of the caller's, with its read and write concern. It is never closed here.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub async fn build(self, database: Database) -> Result<MongoStore> {
        check(
            database.name(),
            &self.collection,
            self.timeout,
            self.max_data,
        )?;
        let migrate = self.migrate;
        let store = MongoStore::new(&database, &self);
        if migrate {
            store.migrate().await?;
        }
        Ok(store)
    }
}

/// A client of the deployment at `url`.
pub(crate) async fn client(url: &str, timeout: Duration) -> Result<Client> {
    let mut options = ClientOptions::parse(url)
        .await
        .map_err(|error| error::from_mongo("connect", &error))?;
    // A little less than the store's own limit, so that it is the driver that says why.
    let limit = timeout.mul_f64(0.8);
    options.server_selection_timeout.get_or_insert(limit);
    options.connect_timeout.get_or_insert(limit);
    Client::with_options(options).map_err(|error| error::from_mongo("connect", &error))
}

/// Refuses names and limits that can't be.
pub(crate) fn check(database: &str, name: &str, timeout: Duration, max_data: usize) -> Result<()> {
    let wrong = |rule: &str| {
        Err(Error::misconfigured(format!(
            "MongoDB has no collection named {name:?}: it {rule}"
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
    if timeout.is_zero() || max_data == 0 {
        return Err(Error::misconfigured(
            "timeout and max_data must be over zero",
        ));
    }
    if max_data > 15 * 1024 * 1024 {
        return Err(Error::misconfigured(
            "max_data must be at most 15 MiB: a MongoDB document has at most 16",
        ));
    }
    Ok(())
}
