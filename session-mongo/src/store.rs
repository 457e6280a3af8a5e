//! The five operations: one command each, or a share of one that serves many.

use std::fmt;
use std::time::Duration;

use mongodb::Database;
use mongodb::bson::{Document, doc};
use session_core::batch::{Batcher, Create, Save, Touch};
use session_core::{
    Capabilities, Draft, Ended, Error, Record, Result, Saved, SessionDirectory, SessionId,
    SessionStore, Timeout, Ttl, Version, async_trait,
};

use crate::MongoStoreBuilder;
use crate::carrier::{Creates, LIMITS, LOADS, Loads, SAVES, Saves, Touches};
use crate::command::Commands;
use crate::error::{INDEX_OPTIONS_CONFLICT, code};
use crate::link::Link;
use crate::schema;

/// Sessions in one MongoDB collection. Clones share the client.
#[derive(Clone)]
pub struct MongoStore {
    pub(crate) commands: Commands,
    creates: Batcher<Creates>,
    loads: Batcher<Loads>,
    saves: Batcher<Saves>,
    touches: Batcher<Touches>,
    max_data: usize,
    expiry_grace: Duration,
}

impl MongoStore {
    /// Connects to the MongoDB deployment at `url`, with the defaults of the
    /// [builder](MongoStoreBuilder).
    ///
    /// # Errors
    /// As [`MongoStoreBuilder::connect`].
    pub async fn connect(url: &str) -> Result<Self> {
        Self::builder().connect(url).await
    }

    /// Sets a store up.
    pub fn builder() -> MongoStoreBuilder {
        MongoStoreBuilder::default()
    }

    pub(crate) fn new(database: &Database, options: &MongoStoreBuilder) -> Self {
        let link = Link {
            collection: database.collection(&options.collection),
            timeout: options.timeout,
        };
        let database = database.clone();
        let commands = Commands { link, database };
        let limit = options.timeout;
        Self {
            creates: Batcher::new(Creates(commands.clone()), LIMITS, limit),
            loads: Batcher::new(Loads(commands.clone()), LOADS, limit),
            saves: Batcher::new(Saves(commands.clone()), SAVES, limit),
            touches: Batcher::new(Touches(commands.clone()), LIMITS, limit),
            commands,
            max_data: options.max_data,
            expiry_grace: options.expiry_grace,
        }
    }

    /// Creates the indexes on owners and on deadlines, or changes the latter to another
    /// [`expiry_grace`](MongoStoreBuilder::expiry_grace). May be called by many processes at once,
    /// and again. Two round trips, or four if the grace changes. Needs the rights `createIndex` on
    /// the collection, `collMod` too if the grace changes, and `listCollections` on the database.
    ///
    /// # Errors
    /// [`Error::Misconfigured`] if the collection compares text otherwise than byte for byte or a
    /// right is missing; the store's own.
    pub async fn migrate(&self) -> Result<()> {
        self.check_collation().await?;
        let indexes = schema::indexes(self.expiry_grace);
        let conflict = self
            .commands
            .link
            .run("migrate", async {
                match self.commands.link.collection.create_indexes(indexes).await {
                    Err(error)
                        if code(&error).is_some_and(|c| INDEX_OPTIONS_CONFLICT.contains(&c)) =>
                    {
                        Ok(true)
                    }
                    done => done.map(|_| false),
                }
            })
            .await?;
        if conflict {
            self.change_grace().await?;
        }
        Ok(())
    }

    /// A collection that takes `a` for `A` would take one session for another.
    async fn check_collation(&self) -> Result<()> {
        let name = self.commands.link.collection.name();
        let list = doc! { "listCollections": 1, "filter": { "name": name } };
        let listed: Document = self
            .commands
            .link
            .run("migrate", async {
                self.commands.database.run_command(list).await
            })
            .await?;
        let collated = listed
            .get_document("cursor")
            .and_then(|cursor| cursor.get_array("firstBatch"))
            .ok()
            .and_then(|batch| batch.first()?.as_document()?.get_document("options").ok())
            .is_some_and(|options| options.contains_key("collation"));
        if collated {
            return Err(Error::misconfigured(format!(
                "the collection {name:?} has a collation; sessions need one without"
            )));
        }
        Ok(())
    }

    async fn change_grace(&self) -> Result<()> {
        let seconds = schema::grace_seconds(self.expiry_grace);
        let change = doc! {
            "collMod": self.commands.link.collection.name(),
            "index": {
                "name": schema::TTL_INDEX,
                "expireAfterSeconds": i64::try_from(seconds).unwrap_or(i64::MAX),
            },
        };
        self.commands
            .link
            .run("migrate", async {
                self.commands.database.run_command(change).await
            })
            .await?;
        // The other index may not have been made, because the conflict came first.
        let indexes = schema::indexes(self.expiry_grace);
        self.commands
            .link
            .run("migrate", async {
                self.commands.link.collection.create_indexes(indexes).await
            })
            .await?;
        Ok(())
    }

    fn check(&self, draft: &Draft) -> Result<()> {
        Error::check_size("record", draft.data.len(), self.max_data)
    }
}

#[async_trait]
impl SessionStore for MongoStore {
    fn capabilities(&self) -> Capabilities {
        Capabilities::new()
            .with_expiry_reports(!self.expiry_grace.is_zero())
            .with_max_data(self.max_data)
    }

    fn directory(&self) -> Option<&dyn SessionDirectory> {
        Some(self)
    }

    async fn create(&self, id: &SessionId, draft: &Draft) -> Result<Saved> {
        self.check(draft)?;
        let (id, draft) = (id.clone(), draft.clone());
        self.creates.call(Create { id, draft }).await
    }

    async fn load(&self, id: &SessionId) -> Result<Option<Record>> {
        self.loads.call(id.clone()).await
    }

    async fn save(&self, id: &SessionId, draft: &Draft, expected: &Version) -> Result<Saved> {
        self.check(draft)?;
        let (id, draft, expected) = (id.clone(), draft.clone(), expected.clone());
        self.saves
            .call(Save {
                id,
                draft,
                expected,
            })
            .await
    }

    async fn touch(&self, id: &SessionId, idle: Timeout) -> Result<Option<Ttl>> {
        let id = id.clone();
        self.touches.call(Touch { id, idle }).await
    }

    async fn destroy(&self, id: &SessionId, expected: Option<&Version>) -> Result<Option<Ended>> {
        self.commands.destroy(id, expected).await
    }
}

impl fmt::Debug for MongoStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MongoStore")
            .field("collection", &self.commands.link.collection.name())
            .field("timeout", &self.commands.link.timeout)
            .field("expiry_grace", &self.expiry_grace)
            .finish_non_exhaustive()
    }
}
