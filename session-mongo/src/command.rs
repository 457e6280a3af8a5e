//! The commands that a store sends, for one session or for many.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::TryStreamExt;
use mongodb::bson::{Bson, Document, RawDocument, RawDocumentBuf, doc};
use mongodb::{Collection, Database};
use session_core::{Draft, Error, Result, SessionId, Stamp, within};

use crate::error::{DUPLICATE_KEY, code, from_code, from_mongo};
use crate::schema;

/// A collection, and how long a command on it may take.
#[derive(Clone)]
pub(crate) struct Commands {
    pub(crate) collection: Collection<RawDocumentBuf>,
    pub(crate) database: Database,
    pub(crate) timeout: Duration,
}

/// What an `update` of many has done.
pub(crate) struct Updated {
    pub(crate) matched: u64,
    /// The statements that would have given a second document their id.
    pub(crate) duplicates: Vec<usize>,
}

impl Commands {
    /// Runs one command within the time limit.
    pub(crate) async fn run<T>(
        &self,
        operation: &'static str,
        command: impl Future<Output = mongodb::error::Result<T>>,
    ) -> Result<T> {
        let command = async { command.await.map_err(|error| from_mongo(operation, &error)) };
        within(operation, self.timeout, command).await
    }

    /// What `read` makes of each of the live sessions `ids`, in their order; `None` for those
    /// that are not there. `fields` need not name the session's id.
    pub(crate) async fn find_live<'i, T>(
        &self,
        operation: &'static str,
        ids: impl ExactSizeIterator<Item = &'i SessionId>,
        mut fields: Document,
        read: impl Fn(&RawDocument) -> Result<T>,
    ) -> Result<Vec<Result<Option<T>>>> {
        fields.insert("sid", 1);
        let mut places = HashMap::with_capacity(ids.len());
        places.extend(ids.enumerate().map(|(place, id)| (id.as_str(), place)));
        let find = self
            .collection
            .find(schema::live_ones(places.keys().copied()))
            .projection(fields)
            // One more than there can be, so that the cursor ends with the first reply.
            .batch_size(u32::try_from(places.len() + 1).unwrap_or(u32::MAX));
        let find = match places.len() {
            1 => find.limit(-1),
            _ => find,
        };
        let mut found: Vec<_> = places.iter().map(|_| Ok(None)).collect();
        self.run(operation, async {
            let mut batches = find.batch().await?;
            while let Some(batch) = batches.try_next().await? {
                for document in batch.doc_slices()? {
                    let Some(document) = document?.as_document() else {
                        continue;
                    };
                    let place = document.get_str("sid").ok().and_then(|id| places.get(id));
                    if let Some(place) = place {
                        found[*place] = read(document).map(Some);
                    }
                }
            }
            Ok(())
        })
        .await?;
        Ok(found)
    }

    /// The stamp of the live session `id`.
    pub(crate) async fn stamp(
        &self,
        operation: &'static str,
        id: &SessionId,
    ) -> Result<Option<Stamp>> {
        let fields = doc! { "stamp": 1 };
        let found = self.find_live(operation, [id].into_iter(), fields, schema::stamp);
        found.await?.pop().unwrap_or(Ok(None))
    }

    /// Removes the session `id` if it has expired: it stands where a new one shall be.
    async fn remove_expired(&self, operation: &'static str, id: &SessionId) -> Result<()> {
        let filter = schema::with_expired(doc! { "sid": id.as_str() });
        let delete = self.collection.delete_one(filter);
        self.run(operation, async { delete.await }).await?;
        Ok(())
    }

    /// Updates one document; `None` if that would give a second one its id.
    pub(crate) async fn update(
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
    pub(crate) async fn update_in_place_of(
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

    /// Creates one session.
    pub(crate) async fn create(&self, id: &SessionId, draft: &Draft) -> Result<Stamp> {
        // Matches the same draft written before, or nothing; any other one of this id makes the
        // insert fail on the unique index.
        let filter = schema::at(id, draft.stamp);
        self.update_in_place_of("create", id, &filter, draft, true)
            .await?;
        Ok(draft.stamp)
    }

    /// Runs many update statements as one command, in no promised order.
    ///
    /// The driver repeats none of its own commands of this kind, so it is done here, once: every
    /// statement is harmless to repeat.
    pub(crate) async fn update_many(
        &self,
        operation: &'static str,
        statements: impl Iterator<Item = Document>,
    ) -> Result<Updated> {
        let concern = self.collection.write_concern();
        let name = self.collection.name();
        let command = schema::update_command(name, statements, concern);
        let send = || {
            self.run(operation, async {
                self.database.run_command(command.clone()).await
            })
        };
        let reply = match send().await {
            Err(error) if matches!(error, Error::Unavailable { .. }) => send().await?,
            done => done?,
        };
        updated(operation, &reply)
    }
}

/// Reads the reply to an `update`. An error that is not about a duplicate is everybody's: the
/// batch then goes again in parts.
fn updated(operation: &'static str, reply: &Document) -> Result<Updated> {
    let failed = |error: &Document| {
        let code = i32::try_from(integer(error, "code")).unwrap_or_default();
        from_code(
            operation,
            code,
            error.get_str("codeName").unwrap_or_default(),
        )
    };
    if let Ok(error) = reply.get_document("writeConcernError") {
        return Err(failed(error));
    }
    let errors = reply.get_array("writeErrors").map(Vec::as_slice);
    let mut duplicates = Vec::new();
    for error in errors
        .unwrap_or_default()
        .iter()
        .filter_map(Bson::as_document)
    {
        if integer(error, "code") != i64::from(DUPLICATE_KEY) {
            return Err(failed(error));
        }
        duplicates.extend(usize::try_from(integer(error, "index")));
    }
    let matched = u64::try_from(integer(reply, "n")).unwrap_or_default();
    Ok(Updated {
        matched,
        duplicates,
    })
}

fn integer(document: &Document, field: &str) -> i64 {
    match document.get(field) {
        Some(Bson::Int32(n)) => i64::from(*n),
        Some(Bson::Int64(n)) => *n,
        _ => 0,
    }
}
