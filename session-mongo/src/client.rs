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
    /// The runtime that the client works in: of one that the caller has made, probably.
    runtime: Arc<RuntimeWatch>,
}

/// Whether a runtime has ended.
struct RuntimeWatch {
    /// A task of the runtime holds the value until the runtime ends.
    is_alive: Weak<()>,
    task: AbortHandle,
}

/// A client of the driver that the store has created.
pub(crate) struct OwnClient {
    pub(crate) client: mongodb::Client,
    pub(crate) created: Instant,
    pub(crate) runtime: Handle,
    pub(crate) is_direct: bool,
    /// Whether the server of a direct connection says that it is not the primary.
    pub(crate) is_secondary: Arc<AtomicBool>,
}

impl MongoClient {
    /// Needs a runtime.
    pub(crate) fn new(database: Database, collection: &str, own: Option<OwnClient>) -> Self {
        Self {
            collection: database.collection(collection),
            database,
            own: own.map(Arc::new),
            runtime: Arc::new(RuntimeWatch::of_current()),
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
        let is_spent = |own: &OwnClient| self.runtime.has_ended() || own.leads_to_secondary();
        self.own.as_deref().is_some_and(is_spent)
    }

    /// Whether the caller has made the client, in a runtime that has ended.
    pub(crate) fn is_left_behind(&self) -> bool {
        self.own.is_none() && self.runtime.has_ended()
    }
}

impl OwnClient {
    fn leads_to_secondary(&self) -> bool {
        self.is_secondary.load(Relaxed) && self.created.elapsed() > MIN_AGE
    }
}

impl RuntimeWatch {
    fn of_current() -> Self {
        let held = Arc::new(());
        let is_alive = Arc::downgrade(&held);
        let task = tokio::spawn(async move {
            let _held = held;
            std::future::pending::<()>().await;
        });
        Self {
            is_alive,
            task: task.abort_handle(),
        }
    }

    fn has_ended(&self) -> bool {
        self.is_alive.strong_count() == 0
    }
}

impl Drop for RuntimeWatch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Without a shutdown, the driver's monitors end only when they next wake up, after up to 10 s.
impl Drop for OwnClient {
    fn drop(&mut self) {
        let shutdown = self.client.clone().shutdown().immediate(true);
        self.runtime.spawn(async move { shutdown.await });
    }
}
