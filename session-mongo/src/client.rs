//! The way to a collection: a client of the driver's, and another in its place when it leads
//! nowhere any more.
//!
//! The driver finds a new primary by itself where it knows the members of a replica set. With
//! `directConnection` it knows one address: if that leads to another server than before, the open
//! connections go on to the old one, which refuses writes. And a client works only as long as the
//! runtime that it was made in. So a store that has made its client makes another in these cases.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, PoisonError, RwLock, Weak};
use std::time::{Duration, Instant};

use mongodb::bson::{Document, RawDocumentBuf};
use mongodb::error::{Error as MongoError, ErrorKind};
use mongodb::event::EventHandler;
use mongodb::event::sdam::SdamEvent;
use mongodb::options::{ClientOptions, DatabaseOptions, ReadPreference, SelectionCriteria};
use mongodb::{Client, Collection, Database, ServerType};
use session_core::{Error, Result};
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use crate::error::from_mongo;

/// How long a client is kept at least, so that a server that stays the wrong one is not asked by a
/// new client for each operation.
const KEPT: Duration = Duration::from_millis(500);

/// The way to one collection.
pub(crate) struct Route {
    /// What new clients are made from; `None` if the caller has made the client.
    source: Option<Source>,
    /// The product and its addresses, for errors.
    place: String,
    current: RwLock<Arc<Connected>>,
}

struct Source {
    options: ClientOptions,
    database: String,
    collection: String,
}

/// A client's database and collection. Operations hold it until they have ended.
pub(crate) struct Connected {
    pub(crate) database: Database,
    pub(crate) collection: Collection<RawDocumentBuf>,
    own: Option<Own>,
}

/// A client that was made here.
struct Own {
    client: Client,
    made: Instant,
    runtime: Handle,
    /// Held by a task for as long as the runtime runs.
    runs: Weak<()>,
    task: AbortHandle,
    is_direct: bool,
    /// Whether the server has refused an operation, because it is not the primary.
    refused: AtomicBool,
    /// Whether the server that is connected to directly says that it is not the primary.
    is_secondary: Arc<AtomicBool>,
}

impl Route {
    /// To a collection of the deployment that `options` name. Needs a runtime.
    pub(crate) fn own(
        mut options: ClientOptions,
        database: String,
        collection: String,
    ) -> Result<Self> {
        options.selection_criteria = Some(primary(options.direct_connection == Some(true)));
        let hosts: Vec<_> = options.hosts.iter().map(ToString::to_string).collect();
        let place = format!("MongoDB at {}", hosts.join(","));
        let source = Source {
            options,
            database,
            collection,
        };
        // Nothing is sent yet.
        let connected = source.connect().map_err(|error| match &*error.kind {
            ErrorKind::Io(io) => {
                Error::misconfigured(format!("a TLS file that the MongoDB URL names: {io}"))
            }
            _ => from_mongo("connect", &place, &error),
        })?;
        Ok(Self {
            source: Some(source),
            place,
            current: RwLock::new(Arc::new(connected)),
        })
    }

    /// To a collection by a client of the caller's.
    pub(crate) fn of_caller(database: &Database, collection: &str) -> Self {
        let options = DatabaseOptions::builder()
            .selection_criteria(primary(false))
            .read_concern(database.read_concern().cloned())
            .write_concern(database.write_concern().cloned())
            .build();
        let client = database.client();
        let connected = Connected::new(
            client.database_with_options(database.name(), options),
            collection,
            None,
        );
        Self {
            source: None,
            place: "MongoDB".to_owned(),
            current: RwLock::new(Arc::new(connected)),
        }
    }

    /// The product and its addresses.
    pub(crate) fn place(&self) -> &str {
        &self.place
    }

    /// The client to send the next operation by.
    pub(crate) fn connected(&self) -> Arc<Connected> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        match &self.source {
            Some(source) if current.is_spent() => {
                let spent = Arc::clone(&current);
                drop(current);
                self.replace(&spent, source)
            }
            _ => Arc::clone(&current),
        }
    }

    fn replace(&self, spent: &Arc<Connected>, source: &Source) -> Arc<Connected> {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        if Arc::ptr_eq(&current, spent)
            && let Ok(next) = source.connect()
        {
            *current = Arc::new(next);
        }
        Arc::clone(&current)
    }
}

impl Source {
    fn connect(&self) -> std::result::Result<Connected, MongoError> {
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
        let client = Client::with_options(options)?;
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
            refused: AtomicBool::new(false),
            is_secondary,
        };
        let database = client.database(&self.database);
        Ok(Connected::new(database, &self.collection, Some(own)))
    }
}

impl Connected {
    fn new(database: Database, collection: &str, own: Option<Own>) -> Self {
        Self {
            collection: database.collection(collection),
            database,
            own,
        }
    }

    /// The collection, for documents that are taken apart.
    pub(crate) fn documents(&self) -> Collection<Document> {
        self.collection.clone_with_type()
    }

    /// Notes that the server refuses, because it is not the primary. Of a replica set the driver
    /// finds another by itself.
    pub(crate) fn note_refusal(&self) {
        if let Some(own) = self.own.as_ref().filter(|own| own.is_direct) {
            own.refused.store(true, Relaxed);
        }
    }

    /// Whether another client would do better.
    fn is_spent(&self) -> bool {
        self.own.as_ref().is_some_and(|own| {
            let is_wrong = own.refused.load(Relaxed) || own.is_secondary.load(Relaxed);
            own.runs.strong_count() == 0 || (is_wrong && own.made.elapsed() > KEPT)
        })
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

impl fmt::Debug for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Route").field(&self.place).finish()
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
