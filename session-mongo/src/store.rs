//! The five operations: one command each, or a share of one that serves many.

use std::fmt;
use std::time::Duration;

use session_core::batch::{Batcher, Create, Save, Touch};
use session_core::{
    Capabilities, Draft, Ended, Error, Record, Result, Saved, SessionDirectory, SessionId,
    SessionStore, Timeout, Ttl, Version, async_trait,
};

use crate::MongoStoreBuilder;
use crate::carrier::{Creates, LIMITS, LOADS, Loads, SAVES, Saves, Touches};
use crate::client::Route;
use crate::command::Commands;
use crate::link::Link;
use crate::{check, migrate};

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

    pub(crate) fn new(route: Route, options: &MongoStoreBuilder) -> Self {
        let link = Link::new(route, &options.collection, options.timeout);
        let commands = Commands { link };
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

    /// Checks what the store is to work with, sets it up if it may, and takes the grace that the
    /// index has.
    pub(crate) async fn set_up(mut self, migrate: bool) -> Result<Self> {
        let link = &self.commands.link;
        if migrate {
            check::rights(link, &[&check::USE[..], &check::SET_UP].concat()).await?;
            self.expiry_grace = migrate::run(link, self.expiry_grace).await?;
            return Ok(self);
        }
        check::rights(link, &check::USE).await?;
        let indexes = check::collection(link, &migrate::SHAPE, false).await?;
        if let Some(grace) = migrate::grace(&indexes.unwrap_or_default()) {
            self.expiry_grace = grace;
        }
        Ok(self)
    }

    /// Creates the indexes on owners and on deadlines, or changes the latter to another
    /// [`expiry_grace`](MongoStoreBuilder::expiry_grace). May be called by many processes at once,
    /// and again. Up to four round trips, one more if the grace changes. Needs the rights
    /// `createIndex` and `listIndexes` on the collection and `listCollections` on the database; to
    /// change the grace also `collMod`, without which the old one stays and a warning is logged.
    ///
    /// # Errors
    /// [`Error::Misconfigured`] if the collection is another program's or unfit for sessions, or a
    /// right is missing; the store's own.
    pub async fn migrate(&self) -> Result<()> {
        let link = &self.commands.link;
        migrate::run(link, self.expiry_grace).await.map(drop)
    }

    /// The outcome of an operation that may have waited for others until its deadline.
    fn named<T>(&self, done: Result<T>) -> Result<T> {
        done.map_err(|error| self.commands.link.named(error))
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
        let created = self.creates.call(Create { id, draft }).await;
        self.named(created)
    }

    async fn load(&self, id: &SessionId) -> Result<Option<Record>> {
        self.named(self.loads.call(id.clone()).await)
    }

    async fn save(&self, id: &SessionId, draft: &Draft, expected: &Version) -> Result<Saved> {
        self.check(draft)?;
        let (id, draft, expected) = (id.clone(), draft.clone(), expected.clone());
        let save = Save {
            id,
            draft,
            expected,
        };
        self.named(self.saves.call(save).await)
    }

    async fn touch(&self, id: &SessionId, idle: Timeout) -> Result<Option<Ttl>> {
        let id = id.clone();
        self.named(self.touches.call(Touch { id, idle }).await)
    }

    async fn destroy(&self, id: &SessionId, expected: Option<&Version>) -> Result<Option<Ended>> {
        self.commands.destroy(id, expected).await
    }
}

impl fmt::Debug for MongoStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MongoStore")
            .field("collection", &self.commands.link.collection)
            .field("timeout", &self.commands.link.timeout)
            .field("expiry_grace", &self.expiry_grace)
            .finish_non_exhaustive()
    }
}
