//! The client of a store: what commands are sent over.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Weak};
use std::time::Instant;

use mongodb::bson::{Document, RawDocumentBuf};
use mongodb::{Collection, Database};
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use crate::connector::MIN_AGE;

/// The client of a [`MongoStore`](crate::MongoStore): a database and a collection of one client of
/// the driver. Cursors end with the client. Clones share it.
#[derive(Clone)]
pub struct MongoClient {
    pub(crate) database: Database,
    pub(crate) collection: Collection<RawDocumentBuf>,
    own: Option<Arc<OwnClient>>,
}

/// A client of the driver that the store has created.
pub(crate) struct OwnClient {
    pub(crate) client: mongodb::Client,
    pub(crate) created: Instant,
    pub(crate) runtime: Handle,
    /// A task of the runtime holds the value until the runtime ends.
    pub(crate) runtime_is_alive: Weak<()>,
    pub(crate) task: AbortHandle,
    pub(crate) is_direct: bool,
    /// Whether the server of a direct connection says that it is not the primary.
    pub(crate) is_secondary: Arc<AtomicBool>,
}

impl MongoClient {
    pub(crate) fn new(database: Database, collection: &str, own: Option<OwnClient>) -> Self {
        Self {
            collection: database.collection(collection),
            database,
            own: own.map(Arc::new),
        }
    }

    /// The collection, with documents that are parsed.
    pub(crate) fn documents(&self) -> Collection<Document> {
        self.collection.clone_with_type()
    }

    /// Whether a new client may lead to another server. In a replica set the driver itself finds
    /// the primary.
    pub(crate) fn is_direct(&self) -> bool {
        self.own.as_ref().is_some_and(|own| own.is_direct)
    }

    /// Whether the client can't be used again.
    pub(crate) fn is_spent(&self) -> bool {
        self.own.as_ref().is_some_and(|own| own.is_spent())
    }
}

impl OwnClient {
    fn is_spent(&self) -> bool {
        self.runtime_is_alive.strong_count() == 0
            || (self.is_secondary.load(Relaxed) && self.created.elapsed() > MIN_AGE)
    }
}

/// Without a shutdown, the driver's monitors end only when they next wake up, after up to 10 s.
impl Drop for OwnClient {
    fn drop(&mut self) {
        self.task.abort();
        let shutdown = self.client.clone().shutdown().immediate(true);
        self.runtime.spawn(async move { shutdown.await });
    }
}
