//! The commands that a store sends, for one session or for many.

use std::collections::HashMap;

use futures_util::TryStreamExt;
use mongodb::bson::{Bson, DateTime, Document, RawBsonRef, RawDocument, RawDocumentBuf, doc};
use session_core::{Draft, Ended, Error, Result, Saved, SessionId, Stamp, Timeout, Ttl, Version};

use crate::error::{DUPLICATE_KEY, code, from_code};
use crate::link::{Link, Sent};
use crate::raw::{self, Fields};
use crate::schema::{self, Found};

/// The commands on a collection.
#[derive(Clone)]
pub(crate) struct Commands {
    pub(crate) link: Link,
}

/// What an `update` of many has done.
pub(crate) struct Updated {
    pub(crate) matched: u64,
    /// The statements that would have given a second document their id.
    pub(crate) duplicates: Vec<usize>,
}

impl Commands {
    /// What `read` makes of each of the live sessions `ids`, in their order; `None` for those
    /// that are not there.
    pub(crate) async fn find_live<'i, T>(
        &self,
        operation: &'static str,
        ids: impl ExactSizeIterator<Item = &'i SessionId> + Clone,
        fields: &Fields,
        read: impl Fn(&Found<'_>) -> Result<T>,
    ) -> Result<Vec<Result<Option<T>>>> {
        let mut places = HashMap::with_capacity(ids.len());
        places.extend(
            ids.clone()
                .enumerate()
                .map(|(place, id)| (id.as_str(), place)),
        );
        let name = &self.link.collection;
        let batches = self.link.run_twice(operation, |to| {
            let concern = to.collection.read_concern();
            let command = raw::find(name, ids.clone(), fields, concern);
            async move {
                let mut find = to.database.run_raw_cursor_command(command);
                if let Some(criteria) = to.collection.selection_criteria() {
                    find = find.selection_criteria(criteria.clone());
                }
                find.batch().await?.try_collect::<Vec<_>>().await
            }
        });
        let mut found: Vec<_> = places.iter().map(|_| Ok(None)).collect();
        for batch in batches.await?.answer {
            let documents = batch.doc_slices().map_err(|_| self.unreadable(operation))?;
            for document in documents
                .into_iter()
                .flatten()
                .filter_map(RawBsonRef::as_document)
            {
                let session = Found::new(document)?;
                if let Some(place) = session.id().and_then(|id| places.get(id)) {
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

    /// Runs update statements as one command, in no promised order. Each of them is harmless to
    /// repeat.
    pub(crate) async fn update(
        &self,
        operation: &'static str,
        statements: impl Iterator<Item = RawDocumentBuf>,
    ) -> Result<Sent<Updated>> {
        let to = self.link.route.connected();
        let concern = to.collection.write_concern();
        let command = raw::update(&self.link.collection, statements, concern);
        let Sent { answer, before } = self.run_raw(operation, command).await?;
        let answer = self.updated(operation, &answer)?;
        Ok(Sent { answer, before })
    }

    /// Runs a command that is harmless to repeat.
    async fn run_raw(
        &self,
        operation: &'static str,
        command: RawDocumentBuf,
    ) -> Result<Sent<Document>> {
        let send = self.link.run_twice(operation, |to| {
            let command = command.clone();
            async move { to.database.run_raw_command(command).await }
        });
        send.await
    }

    /// Creates one session.
    pub(crate) async fn create(&self, id: &SessionId, draft: &Draft) -> Result<Saved> {
        // Matches the same draft written before, or nothing; any other one of this id makes the
        // insert fail.
        let filter = schema::at(id, draft.stamp);
        let mut before = false;
        // An expired session of this id may be in the way; once it is removed, the same draft may,
        // which another sending of this create has put there.
        for _ in 0..3 {
            // By the driver: an answer about a duplicate may quote half a character of an id, which
            // no other way lets through.
            let sent = self.link.run_twice("create", |to| {
                let (filter, create) = (filter.clone(), schema::create(draft));
                async move {
                    let create = to.collection.update_one(filter, create);
                    match create.upsert(true).await {
                        Ok(_) => Ok(true),
                        Err(error) if code(&error) == Some(DUPLICATE_KEY) => Ok(false),
                        Err(error) => Err(error),
                    }
                }
            });
            let sent = sent.await?;
            before |= sent.before;
            if sent.answer {
                return Ok(Saved::done(draft));
            }
            match self.stamp("create", id).await {
                Ok(None) => self.remove_expired(id).await?,
                Ok(Some(stamp)) if stamp == draft.stamp => return Ok(Saved::done(draft)),
                Ok(Some(_)) | Err(Error::Corrupt { .. }) => break,
                Err(error) => return Err(error),
            }
        }
        Ok(Saved::Conflict.after(before))
    }

    /// Removes the session `id` if it has expired: a new one cannot be created beside it.
    async fn remove_expired(&self, id: &SessionId) -> Result<()> {
        let filter = schema::with_expired(schema::with_id(id));
        let delete = self.link.run("create", |to| async move {
            to.collection.delete_one(filter).await
        });
        delete.await.map(drop)
    }

    /// Touches one session. The command is put together here: a `findAndModify` that the driver
    /// repeats makes the server keep a copy of the document, and its answer is that copy, without
    /// the server's time.
    pub(crate) async fn touch(&self, id: &SessionId, idle: Timeout) -> Result<Option<Ttl>> {
        let to = self.link.route.connected();
        let concern = to.collection.write_concern();
        let command = raw::touch_one(&self.link.collection, id, idle, concern);
        let reply = self.run_raw("touch", command).await?.answer;
        self.check_concern("touch", &reply)?;
        let Ok(touched) = reply.get_document("value") else {
            return Ok(None);
        };
        let touched = RawDocumentBuf::try_from(touched).map_err(|_| self.unreadable("touch"))?;
        let found = Found::new(&touched)?;
        found.check_layout()?;
        found.ttl().map(Some)
    }

    /// Ends the session `id`, or only this version of it. It may be corrupt.
    pub(crate) async fn destroy(
        &self,
        id: &SessionId,
        expected: Option<&Version>,
    ) -> Result<Option<Ended>> {
        let filter = match expected {
            Some(version) => schema::at(id, version.stamp()),
            None => schema::with_id(id),
        };
        let filter = schema::with_unexpired(filter);
        let sent = self.link.run_twice("destroy", |to| {
            let filter = filter.clone();
            async move {
                let delete = to.collection.find_one_and_delete(filter);
                delete.projection(schema::ended_fields()).await
            }
        });
        let Sent { answer, before } = sent.await?;
        if let Some(document) = answer {
            return Ok(Some(self.ended(id, &document).await));
        }
        // The first sending may have ended it. If a session of this id is there, it has not: no id
        // comes back.
        if !before || (expected.is_some() && self.is_there("destroy", id).await?) {
            return Ok(None);
        }
        Ok(Some(Ended::unknown(id.clone())))
    }

    /// The end of the session `id`, as a `findAndModify` has answered it.
    async fn ended(&self, id: &SessionId, answer: &RawDocument) -> Ended {
        match Found::new(answer) {
            Ok(found) => found.end_of(id),
            // One that the driver has repeated answers with the whole document and not with the
            // fields that were asked for.
            Err(_) => schema::ended(id.clone(), answer, self.now("destroy").await.ok()),
        }
    }

    /// The server's time.
    async fn now(&self, operation: &'static str) -> Result<DateTime> {
        let hello = self.link.run(operation, |to| async move {
            to.database.run_command(doc! { "hello": 1 }).await
        });
        let now = hello.await?.get_datetime("localTime").copied();
        now.map_err(|_| self.unreadable(operation))
    }

    /// Whether there is a session `id` that has not expired.
    async fn is_there(&self, operation: &'static str, id: &SessionId) -> Result<bool> {
        match self.stamp(operation, id).await {
            Ok(stamp) => Ok(stamp.is_some()),
            Err(Error::Corrupt { .. }) => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// Reads the reply to an `update`. An error that is not about a duplicate is everybody's: the
    /// batch then goes again in parts.
    fn updated(&self, operation: &'static str, reply: &Document) -> Result<Updated> {
        self.check_concern(operation, reply)?;
        let errors = reply.get_array("writeErrors").map(Vec::as_slice);
        let mut duplicates = Vec::new();
        for error in errors
            .unwrap_or_default()
            .iter()
            .filter_map(Bson::as_document)
        {
            if integer(error, "code") != i64::from(DUPLICATE_KEY) {
                return Err(self.failed(operation, error));
            }
            duplicates.extend(usize::try_from(integer(error, "index")));
        }
        let matched = u64::try_from(integer(reply, "n")).unwrap_or_default();
        Ok(Updated {
            matched,
            duplicates,
        })
    }

    /// Refuses a reply of a write that has not reached as many servers as it must.
    fn check_concern(&self, operation: &'static str, reply: &Document) -> Result<()> {
        match reply.get_document("writeConcernError") {
            Ok(error) => Err(self.failed(operation, error)),
            Err(_) => Ok(()),
        }
    }

    fn failed(&self, operation: &'static str, error: &Document) -> Error {
        let code = i32::try_from(integer(error, "code")).unwrap_or_default();
        let name = error.get_str("codeName").unwrap_or_default();
        from_code(operation, self.link.route.place(), code, name)
    }

    fn unreadable(&self, operation: &'static str) -> Error {
        let place = self.link.route.place();
        Error::store(operation, format!("{place}: the answer can't be read"))
    }
}

fn integer(document: &Document, field: &str) -> i64 {
    match document.get(field) {
        Some(Bson::Int32(n)) => i64::from(*n),
        Some(Bson::Int64(n)) => *n,
        _ => 0,
    }
}
