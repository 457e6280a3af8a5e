//! The six operations, each one command.

use std::fmt;
use std::time::Duration;

use mongodb::bson::{Document, RawDocumentBuf, doc};
use mongodb::options::ReturnDocument;
use mongodb::{Collection, Database};
use session_core::{
    Capabilities, Draft, Error, Record, Result, Saved, SessionDirectory, SessionId, SessionStore,
    Stamp, Timeout, Ttl, async_trait, within,
};

use crate::error::{DUPLICATE_KEY, INDEX_OPTIONS_CONFLICT, code, from_mongo};
use crate::{MongoStoreBuilder, schema};

/// Sessions in one MongoDB collection. Clones share the client.
#[derive(Clone)]
pub struct MongoStore {
    pub(crate) collection: Collection<RawDocumentBuf>,
    database: Database,
    timeout: Duration,
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
        Self {
            collection: database.collection(&options.collection),
            database: database.clone(),
            timeout: options.timeout,
            max_data: options.max_data,
            expiry_grace: options.expiry_grace,
        }
    }

    /// Creates the indexes, or changes the TTL index to another
    /// [`expiry_grace`](MongoStoreBuilder::expiry_grace). May be called by many processes at once,
    /// and again. Needs the rights `createIndex`, `collMod` and `listCollections`.
    ///
    /// # Errors
    /// [`Error::Misconfigured`] if the collection compares text otherwise than byte for byte or a
    /// right is missing; the store's own.
    pub async fn migrate(&self) -> Result<()> {
        self.check_collation().await?;
        let indexes = schema::indexes(self.expiry_grace);
        let conflict = self
            .run("migrate", async {
                match self.collection.create_indexes(indexes).await {
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
        let name = self.collection.name();
        let list = doc! { "listCollections": 1, "filter": { "name": name } };
        let listed: Document = self
            .run("migrate", async { self.database.run_command(list).await })
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
            "collMod": self.collection.name(),
            "index": {
                "name": schema::TTL_INDEX,
                "expireAfterSeconds": i64::try_from(seconds).unwrap_or(i64::MAX),
            },
        };
        self.run("migrate", async { self.database.run_command(change).await })
            .await?;
        // The other indexes may not have been made, for the conflict came first.
        let indexes = schema::indexes(self.expiry_grace);
        self.run("migrate", async {
            self.collection.create_indexes(indexes).await
        })
        .await?;
        Ok(())
    }

    /// Runs one command within the time limit.
    pub(crate) async fn run<T>(
        &self,
        operation: &'static str,
        command: impl Future<Output = mongodb::error::Result<T>>,
    ) -> Result<T> {
        let command = async { command.await.map_err(|error| from_mongo(operation, &error)) };
        within(operation, self.timeout, command).await
    }

    fn check(&self, draft: &Draft) -> Result<()> {
        Error::check_size("record", draft.data.len(), self.max_data)
    }

    /// The stamp of the live session `id`.
    async fn stamp(&self, operation: &'static str, id: &SessionId) -> Result<Option<Stamp>> {
        let find = self
            .collection
            .find_one(schema::live(id))
            .projection(doc! { "stamp": 1 });
        let found = self.run(operation, async { find.await }).await?;
        found.map(|document| schema::stamp(&document)).transpose()
    }

    /// Removes the session `id` if it has expired: it stands where a new one shall be.
    async fn remove_expired(&self, operation: &'static str, id: &SessionId) -> Result<()> {
        let filter = schema::with_expired(doc! { "sid": id.as_str() });
        let delete = self.collection.delete_one(filter);
        self.run(operation, async { delete.await }).await?;
        Ok(())
    }

    /// Updates one document; `None` if that would give a second one its id.
    async fn update(
        &self,
        operation: &'static str,
        filter: Document,
        pipeline: Vec<Document>,
        upsert: bool,
    ) -> Result<Option<u64>> {
        let update = self.collection.update_one(filter, pipeline).upsert(upsert);
        let command = async {
            match update.await {
                Ok(updated) => Ok(Some(updated.matched_count)),
                Err(error) if code(&error) == Some(DUPLICATE_KEY) => Ok(None),
                Err(error) => Err(error),
            }
        };
        self.run(operation, command).await
    }

    /// As [`update`](Self::update), after an expired session of the id `to` has made room.
    async fn update_in_place_of(
        &self,
        operation: &'static str,
        to: &SessionId,
        filter: &Document,
        draft: &Draft,
        upsert: bool,
    ) -> Result<u64> {
        // An expired one may stand there, and then the same draft, which another call of this write
        // has put there meanwhile; what still is in the way then is another session.
        for _ in 0..3 {
            let pipeline = schema::write(to, draft);
            if let Some(matched) = self
                .update(operation, filter.clone(), pipeline, upsert)
                .await?
            {
                return Ok(matched);
            }
            self.remove_expired(operation, to).await?;
        }
        Err(Error::AlreadyExists)
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

    async fn create(&self, id: &SessionId, draft: &Draft) -> Result<Stamp> {
        self.check(draft)?;
        // Matches the same draft written before, or nothing; any other one of this id makes the
        // insert fail on the unique index.
        let filter = doc! { "sid": id.as_str(), "stamp": schema::bytes(draft.stamp.as_bytes()) };
        self.update_in_place_of("create", id, &filter, draft, true)
            .await?;
        Ok(draft.stamp)
    }

    async fn load(&self, id: &SessionId) -> Result<Option<Record>> {
        let find = self
            .collection
            .find_one(schema::live(id))
            .projection(schema::record_fields());
        let found = self.run("load", async { find.await }).await?;
        found.map(|document| schema::record(&document)).transpose()
    }

    async fn save(&self, id: &SessionId, draft: &Draft, expected: Stamp) -> Result<Saved> {
        self.check(draft)?;
        let filter = schema::live_at(id, expected);
        if self
            .update("save", filter, schema::write(id, draft), false)
            .await?
            == Some(1)
        {
            return Ok(Saved::Done(draft.stamp));
        }
        Ok(match self.stamp("save", id).await? {
            Some(stamp) if stamp == draft.stamp => Saved::Done(stamp),
            Some(_) => Saved::Conflict,
            None => Saved::Gone,
        })
    }

    async fn touch(&self, id: &SessionId, idle: Timeout) -> Result<Option<Ttl>> {
        let touch = self
            .collection
            .find_one_and_update(schema::live(id), schema::touch(idle))
            .projection(schema::ttl_field())
            .return_document(ReturnDocument::After);
        let touched = self.run("touch", async { touch.await }).await?;
        touched.map(|document| schema::ttl(&document)).transpose()
    }

    async fn rename(
        &self,
        from: &SessionId,
        to: &SessionId,
        draft: &Draft,
        expected: Stamp,
    ) -> Result<Saved> {
        self.check(draft)?;
        let filter = schema::live_at(from, expected);
        if self
            .update_in_place_of("rename", to, &filter, draft, false)
            .await?
            == 1
        {
            return Ok(Saved::Done(draft.stamp));
        }
        if self.stamp("rename", to).await? == Some(draft.stamp) {
            return Ok(Saved::Done(draft.stamp));
        }
        Ok(match self.stamp("rename", from).await? {
            Some(_) => Saved::Conflict,
            None => Saved::Gone,
        })
    }

    async fn destroy(&self, id: &SessionId) -> Result<bool> {
        let delete = self.collection.delete_one(schema::live(id));
        let deleted = self.run("destroy", async { delete.await }).await?;
        Ok(deleted.deleted_count > 0)
    }
}

impl fmt::Debug for MongoStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MongoStore")
            .field("collection", &self.collection.name())
            .field("timeout", &self.timeout)
            .field("expiry_grace", &self.expiry_grace)
            .finish_non_exhaustive()
    }
}
