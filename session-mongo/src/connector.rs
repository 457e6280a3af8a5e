//! Makes the clients of a store.
//!
//! The driver finds a new primary itself if it knows the members of a replica set, and replaces
//! connections that break. Those that fall silent it finds out one by one. With `directConnection` it
//! knows one address: if that comes to lead to another server, open connections stay at the old one,
//! which refuses writes. And a client works only as long as the runtime that it was created in. In
//! all these cases a store that has created its client replaces it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use mongodb::error::{Error as MongoError, ErrorKind};
use mongodb::event::EventHandler;
use mongodb::event::sdam::SdamEvent;
use mongodb::options::{
    ClientOptions, DatabaseOptions, ReadConcern, ReadPreference, SelectionCriteria,
};
use mongodb::{Database, ServerType};
use session_core::backend::Connector;
use session_core::{Error, Result};
use tokio::runtime::Handle;

use crate::client::{MongoClient, OwnClient};
use crate::error::from_mongo;

/// The minimum age of a client that is replaced, so that operations on a server that stays the
/// wrong one do not create a client each.
pub(crate) const MIN_AGE: Duration = Duration::from_millis(500);

/// Makes the clients of a store.
pub(crate) struct MongoConnector {
    /// `None` if the caller has created the client.
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
    /// For a collection of the deployment in `options`. Returns the first client too. Needs a
    /// runtime.
    pub(crate) fn new(
        mut options: ClientOptions,
        database: String,
        collection: String,
    ) -> Result<(Self, MongoClient)> {
        options.selection_criteria = Some(primary(options.direct_connection == Some(true)));
        options.read_concern = Some(read_concern(options.read_concern.as_ref()));
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

    /// For a collection in a database of the caller, whose client is never replaced.
    pub(crate) fn for_database(database: &Database, collection: &str) -> (Self, MongoClient) {
        let options = DatabaseOptions::builder()
            .selection_criteria(primary(false))
            .read_concern(read_concern(database.read_concern()))
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
        client.is_spent()
    }

    /// The driver closes the connection of a call that was given up, and finds the others out only
    /// one by one, or when its monitor has waited for an answer.
    fn replaces_silent(&self, _: &MongoClient, _: Instant) -> bool {
        self.source.is_some()
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
        let own = OwnClient {
            client: client.clone(),
            created: Instant::now(),
            runtime: Handle::current(),
            is_direct,
            is_secondary,
        };
        let database = client.database(&self.database);
        Ok(MongoClient::new(database, &self.collection, Some(own)))
    }
}

impl fmt::Debug for MongoConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("MongoConnector").field(&self.place).finish()
    }
}

/// The read concern of loads. Without one, a deployment's own default would hold, which may be
/// `majority` or `available` (`setDefaultRWConcern`): a load would miss the last saves.
fn read_concern(chosen: Option<&ReadConcern>) -> ReadConcern {
    chosen.cloned().unwrap_or_else(ReadConcern::local)
}

/// Selects the primary. The driver takes the server of a direct connection for the primary, so a
/// predicate checks its type.
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
