//! Where clients come from: a client of the driver's, and another in its place when it leads nowhere
//! any more.
//!
//! The driver finds a new primary by itself where it knows the members of a replica set, and replaces
//! connections that break or fall silent. With `directConnection` it knows one address: if that leads
//! to another server than before, the open connections go on to the old one, which refuses writes.
//! And a client works only as long as the runtime that it was made in. In these cases a store that
//! has made its client makes another.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use mongodb::bson::{Document, RawDocumentBuf};
use mongodb::error::{Error as MongoError, ErrorKind};
use mongodb::event::EventHandler;
use mongodb::event::sdam::SdamEvent;
use mongodb::options::{ClientOptions, DatabaseOptions, ReadPreference, SelectionCriteria};
use mongodb::{Collection, Database, ServerType};
use session_core::backend::Connector;
use session_core::{Error, Result};
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use crate::error::from_mongo;

/// How long a client is kept at least, so that a server that stays the wrong one is not asked by a
/// new client for each operation.
const MIN_AGE: Duration = Duration::from_millis(500);

/// What operations are sent by: a client's database and collection. A cursor ends with the client.
#[derive(Clone)]
pub struct MongoClient {
    pub(crate) database: Database,
    pub(crate) collection: Collection<RawDocumentBuf>,
    own: Option<Arc<Own>>,
}

/// A client that was made here.
struct Own {
    client: mongodb::Client,
    made: Instant,
    runtime: Handle,
    /// Held by a task for as long as the runtime runs.
    runs: Weak<()>,
    task: AbortHandle,
    is_direct: bool,
    /// Whether the server that is connected to directly says that it is not the primary.
    is_secondary: Arc<AtomicBool>,
}

/// Makes the clients of one collection.
pub(crate) struct MongoConnector {
    /// What new clients are made from; `None` if the caller has made the client.
    source: Option<Source>,
    /// The product and its addresses, for errors.
    place: String,
}

struct Source {
    options: ClientOptions,
    database: String,
    collection: String,
}

impl MongoConnector {
    /// For a collection of the deployment that `options` name, with the first client. Needs a runtime.
    pub(crate) fn own(
        mut options: ClientOptions,
        database: String,
        collection: String,
    ) -> Result<(Self, MongoClient)> {
        options.selection_criteria = Some(primary(options.direct_connection == Some(true)));
        let hosts: Vec<_> = options.hosts.iter().map(ToString::to_string).collect();
        let place = format!("MongoDB at {}", hosts.join(","));
        let source = Source {
            options,
            database,
            collection,
        };
        // Nothing is sent yet.
        let first = source.connect().map_err(|error| match &*error.kind {
            ErrorKind::Io(io) => {
                Error::misconfigured(format!("a TLS file that the MongoDB URL names: {io}"))
            }
            _ => from_mongo("connect", &place, &error),
        })?;
        let source = Some(source);
        Ok((Self { source, place }, first))
    }

    /// For a collection in a database of the caller's, whose client is the only one.
    pub(crate) fn of_caller(database: &Database, collection: &str) -> (Self, MongoClient) {
        let options = DatabaseOptions::builder()
            .selection_criteria(primary(false))
            .read_concern(database.read_concern().cloned())
            .write_concern(database.write_concern().cloned())
            .build();
        let client = database.client();
        let database = client.database_with_options(database.name(), options);
        let connector = Self {
            source: None,
            place: "MongoDB".to_owned(),
        };
        (connector, MongoClient::new(database, collection, None))
    }
}

impl Connector for MongoConnector {
    type Client = MongoClient;

    fn place(&self) -> &str {
        &self.place
    }

    fn connect(&self) -> Option<MongoClient> {
        self.source.as_ref()?.connect().ok()
    }

    fn is_spent(&self, client: &MongoClient) -> bool {
        client.own.as_ref().is_some_and(|own| own.is_spent())
    }

    /// The driver closes what is silent.
    fn replaces_silent(&self, _: &MongoClient, _: Instant) -> bool {
        false
    }

    fn min_age(&self) -> Duration {
        MIN_AGE
    }
}

impl Source {
    fn connect(&self) -> Result<MongoClient, MongoError> {
        let is_secondary = Arc::new(AtomicBool::new(false));
        let mut options = self.options.clone();
        let is_direct = options.direct_connection == Some(true);
        if is_direct {
            let seen = Arc::clone(&is_secondary);
            options.sdam_event_handler = Some(EventHandler::callback(move |event| {
                if let SdamEvent::ServerDescriptionChanged(changed) = event {
                    let kind = changed.new_description.server_type();
                    seen.store(kind != ServerType::Unknown && !takes_writes(kind), Relaxed);
                }
            }));
        }
        let client = mongodb::Client::with_options(options)?;
        let held = Arc::new(());
        let runs = Arc::downgrade(&held);
        let runtime = Handle::current();
        let task = runtime.spawn(async move {
            let _held = held;
            std::future::pending::<()>().await;
        });
        let own = Own {
            client: client.clone(),
            made: Instant::now(),
            runtime,
            runs,
            task: task.abort_handle(),
            is_direct,
            is_secondary,
        };
        let database = client.database(&self.database);
        Ok(MongoClient::new(database, &self.collection, Some(own)))
    }
}

impl MongoClient {
    fn new(database: Database, collection: &str, own: Option<Own>) -> Self {
        Self {
            collection: database.collection(collection),
            database,
            own: own.map(Arc::new),
        }
    }

    /// The collection, for documents that are taken apart.
    pub(crate) fn documents(&self) -> Collection<Document> {
        self.collection.clone_with_type()
    }

    /// Whether another client may lead to another server: of a replica set the driver finds the
    /// primary by itself.
    pub(crate) fn is_direct(&self) -> bool {
        self.own.as_ref().is_some_and(|own| own.is_direct)
    }
}

impl Own {
    fn is_spent(&self) -> bool {
        self.runs.strong_count() == 0
            || (self.is_secondary.load(Relaxed) && self.made.elapsed() > MIN_AGE)
    }
}

/// The driver's monitors end only when they next wake up, after up to ten seconds, unless they are
/// told.
impl Drop for Own {
    fn drop(&mut self) {
        self.task.abort();
        let shutdown = self.client.clone().shutdown().immediate(true);
        self.runtime.spawn(async move { shutdown.await });
    }
}

impl fmt::Debug for MongoConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("MongoConnector").field(&self.place).finish()
    }
}

/// Reads go to the primary. The driver takes the one server of a direct connection for it, whatever
/// that says, so there the server is asked.
fn primary(is_direct: bool) -> SelectionCriteria {
    match is_direct {
        true => SelectionCriteria::Predicate(Arc::new(|server| takes_writes(server.server_type()))),
        false => ReadPreference::Primary.into(),
    }
}

fn takes_writes(server: ServerType) -> bool {
    matches!(
        server,
        ServerType::Standalone
            | ServerType::RsPrimary
            | ServerType::Mongos
            | ServerType::LoadBalancer
    )
}
