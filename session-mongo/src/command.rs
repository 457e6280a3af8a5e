//! The commands that a store sends, for one session or for many.

use std::collections::HashMap;

use futures_util::TryStreamExt;
use mongodb::Database;
use mongodb::bson::{Bson, Document, RawBsonRef, RawDocumentBuf, doc};
use mongodb::options::Hint;
use session_core::{Draft, Error, Result, SessionId, Stamp};

use crate::error::{DUPLICATE_KEY, code, from_code, from_mongo};
use crate::link::Link;
use crate::raw::{self, Fields};
use crate::schema::{self, Found, Over};

/// The way to a collection, and to the database that it is in.
#[derive(Clone)]
pub(crate) struct Commands {
    pub(crate) link: Link<RawDocumentBuf>,
    pub(crate) database: Database,
}

/// What an `update` of many has done.
pub(crate) struct Updated {
    pub(crate) matched: u64,
    /// The statements that would have given a second document their id.
    pub(crate) duplicates: Vec<usize>,
}

impl Commands {
    /// Sends a command that is harmless to repeat, a second time if it fails for a reason that
    /// passes: the driver repeats none that are put together by others.
    async fn twice<T, W>(&self, operation: &'static str, send: impl Fn() -> W) -> Result<T>
    where
        W: Future<Output = mongodb::error::Result<T>>,
    {
        match self.link.run(operation, send()).await {
            Err(Error::Unavailable { .. }) => self.link.run(operation, send()).await,
            done => done,
        }
    }

    /// What `read` makes of each of the live sessions `ids`, in their order; `None` for those
    /// that are not there.
    pub(crate) async fn find_live<'i, T>(
        &self,
        operation: &'static str,
        ids: impl ExactSizeIterator<Item = &'i SessionId> + Clone,
        fields: &Fields,
        read: impl Fn(&Found<'_>) -> Result<T>,
    ) -> Result<Vec<Result<Option<T>>>> {
        let collection = &self.link.collection;
        let mut places = HashMap::with_capacity(ids.len());
        places.extend(
            ids.clone()
                .enumerate()
                .map(|(place, id)| (id.as_str(), place)),
        );
        let command = raw::find(collection.name(), ids, fields, collection.read_concern());
        let batches = self.twice(operation, || async {
            let mut find = self.database.run_raw_cursor_command(command.clone());
            if let Some(criteria) = collection.selection_criteria() {
                find = find.selection_criteria(criteria.clone());
            }
            find.batch().await?.try_collect::<Vec<_>>().await
        });
        let mut found: Vec<_> = places.iter().map(|_| Ok(None)).collect();
        for batch in batches.await? {
            let documents = batch
                .doc_slices()
                .map_err(|error| from_mongo(operation, &error))?;
            for document in documents
                .into_iter()
                .flatten()
                .filter_map(RawBsonRef::as_document)
            {
                let session = Found::new(document)?;
                if let Some(place) = session.sid().and_then(|id| places.get(id)) {
                    found[*place] = match session.is_live() {
                        Ok(true) => read(&session).map(Some),
                        Ok(false) => Ok(None),
                        Err(error) => Err(error),
                    };
                }
            }
        }
        Ok(found)
    }

    /// The stamp of the live session `id`.
    pub(crate) async fn stamp(
        &self,
        operation: &'static str,
        id: &SessionId,
    ) -> Result<Option<Stamp>> {
        let found = self.find_live(operation, [id].into_iter(), &raw::BRIEF, |found| {
            found.stamp()
        });
        found.await?.pop().unwrap_or(Ok(None))
    }

    /// Removes the session `id` if it has expired: it stands where a new one shall be.
    async fn remove_expired(&self, operation: &'static str, id: &SessionId) -> Result<()> {
        let filter = schema::with_expired(doc! { "sid": id.as_str() });
        let delete = self.link.collection.delete_one(filter);
        self.link.run(operation, async { delete.await }).await?;
        Ok(())
    }

    /// Runs update statements as one command, in no promised order. Each of them is harmless to
    /// repeat.
    pub(crate) async fn update(
        &self,
        operation: &'static str,
        statements: impl Iterator<Item = RawDocumentBuf>,
    ) -> Result<Updated> {
        let collection = &self.link.collection;
        let command = raw::update(collection.name(), statements, collection.write_concern());
        let send = || async { self.database.run_raw_command(command.clone()).await };
        let reply = self.twice(operation, send).await?;
        updated(operation, &reply)
    }

    /// As [`update`](Self::update), after an expired session of the new id has made room.
    pub(crate) async fn update_in_place_of(
        &self,
        operation: &'static str,
        over: Over<'_>,
        filter: &Document,
        draft: &Draft,
    ) -> Result<u64> {
        // What stands there may have expired, and then come back as the same draft, which another
        // call of this write has put there.
        let (to, upsert) = match over {
            Over::Nothing(id) => (id, true),
            Over::Renamed(id) => (id, false),
        };
        for _ in 0..3 {
            // By the driver: an answer about a duplicate may quote half a character of an id, which
            // no other way lets through.
            let update = self
                .link
                .collection
                .update_one(filter.clone(), schema::write(over, draft))
                .upsert(upsert)
                .hint(Hint::Name(schema::SID_INDEX.to_owned()));
            let matched = self.link.run(operation, async {
                match update.await {
                    Ok(updated) => Ok(Some(updated.matched_count)),
                    Err(error) if code(&error) == Some(DUPLICATE_KEY) => Ok(None),
                    Err(error) => Err(error),
                }
            });
            if let Some(matched) = matched.await? {
                return Ok(matched);
            }
            match self.stamp(operation, to).await {
                Ok(None) => self.remove_expired(operation, to).await?,
                Ok(Some(stamp)) if stamp == draft.stamp => return Ok(0),
                Ok(Some(_)) | Err(Error::Corrupt { .. }) => break,
                Err(error) => return Err(error),
            }
        }
        Err(Error::AlreadyExists)
    }

    /// Creates one session.
    pub(crate) async fn create(&self, id: &SessionId, draft: &Draft) -> Result<Stamp> {
        // Matches the same draft written before, or nothing; any other one of this id makes the
        // insert fail on the unique index.
        let filter = schema::at(id, draft.stamp);
        self.update_in_place_of("create", Over::Nothing(id), &filter, draft)
            .await?;
        Ok(draft.stamp)
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
