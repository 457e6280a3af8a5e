//! How commands are sent, and how their answers are read.

use std::collections::HashMap;

use futures_util::TryStreamExt;
use mongodb::bson::{Bson, DateTime, Document, RawBsonRef, RawDocument, RawDocumentBuf, doc};
use session_core::backend::{Call, Sent};
use session_core::{
    Draft, Ended, Error, ErrorKind, Result, Saved, SessionId, Stamp, Timeout, Ttl, Version,
};

use crate::client::MongoClient;
use crate::error::{self, DUPLICATE_KEY, Resend, code};
use crate::record::{self, StoredSession};
use crate::schema;
use crate::statement::{self, Fields};

/// The result of an `update` of a batch.
pub(crate) struct Updated {
    pub(crate) matched: u64,
    /// The indexes of the statements whose id is taken.
    pub(crate) duplicates: Vec<usize>,
}

/// Sends a command, and repeats it only if the server refused to execute it, because another server
/// may be the primary by then.
pub(crate) async fn send<T, W>(
    call: &Call<MongoClient>,
    command: impl FnOnce(MongoClient) -> W + Clone,
) -> Result<Sent<T>>
where
    W: Future<Output = mongodb::error::Result<T>>,
{
    resend(call, Resend::IfRefused, command).await
}

/// Sends a command that is harmless to execute twice, and repeats it if the command or its answer
/// is lost. The driver itself repeats only commands that it has built, and writes only on a replica
/// set.
pub(crate) async fn send_idempotent<T, W>(
    call: &Call<MongoClient>,
    command: impl FnOnce(MongoClient) -> W + Clone,
) -> Result<Sent<T>>
where
    W: Future<Output = mongodb::error::Result<T>>,
{
    resend(call, Resend::IfLost, command).await
}

async fn resend<T, W>(
    call: &Call<MongoClient>,
    resend: Resend,
    command: impl FnOnce(MongoClient) -> W + Clone,
) -> Result<Sent<T>>
where
    W: Future<Output = mongodb::error::Result<T>>,
{
    let sent = call.send(|attempt| {
        let (client, command) = (attempt.client, command.clone());
        async move {
            let answer = command(client.clone()).await;
            answer.map_err(|error| error::failure(call, &client, &error, resend))
        }
    });
    sent.await
}

/// Applies `read` to each of the live sessions `ids`, in order; `None` for an id without a session.
pub(crate) async fn find_live<'i, T>(
    call: &Call<MongoClient>,
    ids: impl ExactSizeIterator<Item = &'i SessionId> + Clone,
    fields: &Fields,
    read: impl Fn(&StoredSession<'_>) -> Result<T>,
) -> Result<Vec<Result<Option<T>>>> {
    let mut indexes = HashMap::with_capacity(ids.len());
    indexes.extend(
        ids.clone()
            .enumerate()
            .map(|(index, id)| (id.as_str(), index)),
    );
    let batches = send_idempotent(call, |to| {
        let of = &to.collection;
        let command = statement::find(of.name(), ids.clone(), fields, of.read_concern());
        async move {
            let mut find = to.database.run_raw_cursor_command(command);
            if let Some(criteria) = to.collection.selection_criteria() {
                find = find.selection_criteria(criteria.clone());
            }
            find.batch().await?.try_collect::<Vec<_>>().await
        }
    });
    let mut found: Vec<_> = indexes.iter().map(|_| Ok(None)).collect();
    for batch in batches.await?.answer {
        let documents = batch.doc_slices().map_err(|_| unreadable(call))?;
        for document in documents
            .into_iter()
            .flatten()
            .filter_map(RawBsonRef::as_document)
        {
            let session = StoredSession::new(document)?;
            if let Some(index) = session.id().and_then(|id| indexes.get(id)) {
                found[*index] = match session.is_live() {
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
async fn stamp(call: &Call<MongoClient>, id: &SessionId) -> Result<Option<Stamp>> {
    let found = find_live(call, [id].into_iter(), &statement::BRIEF_FIELDS, |found| {
        found.stamp()
    });
    found.await?.pop().unwrap_or(Ok(None))
}

/// Runs update statements as one command, in any order. Each of them must be harmless to repeat.
pub(crate) async fn update(
    call: &Call<MongoClient>,
    statements: impl Fn() -> Vec<RawDocumentBuf>,
) -> Result<Sent<Updated>> {
    let sent = send_idempotent(call, |to| {
        let of = &to.collection;
        let command = statement::update(of.name(), statements(), of.write_concern());
        async move { to.database.run_raw_command(command).await }
    });
    let sent = sent.await?;
    let updated = updated(call, &sent.answer)?;
    Ok(sent.map(|_| updated))
}

/// Creates one session.
pub(crate) async fn create(
    call: &Call<MongoClient>,
    id: &SessionId,
    draft: &Draft,
) -> Result<Saved> {
    let mut is_repeated = false;
    // An expired session may have this id. Once it is removed, an earlier attempt of this create
    // may insert the same draft.
    for _ in 0..3 {
        // As the driver's own command: only that accepts an error that quotes half a character of
        // an id.
        let sent = send_idempotent(call, |to| async move {
            // Matches the same draft from an earlier attempt, or nothing; with any other session of
            // this id the insert fails.
            let same = schema::with_stamp(id, draft.stamp);
            let create = to.collection.update_one(same, statement::create(draft));
            match create.upsert(true).await {
                Ok(_) => Ok(true),
                Err(error) if code(&error) == Some(DUPLICATE_KEY) => Ok(false),
                Err(error) => Err(error),
            }
        });
        let sent = sent.await?;
        is_repeated |= sent.is_repeated;
        if sent.answer {
            return Ok(Saved::done(draft));
        }
        match stamp(call, id).await {
            Ok(None) => remove_expired(call, id).await?,
            Ok(Some(stamp)) if stamp == draft.stamp => return Ok(Saved::done(draft)),
            Ok(Some(_)) => break,
            Err(error) if error.kind() == ErrorKind::Corrupt => break,
            Err(error) => return Err(error),
        }
    }
    Ok(Saved::Conflict.after(is_repeated))
}

/// Removes the session `id` if it has expired.
async fn remove_expired(call: &Call<MongoClient>, id: &SessionId) -> Result<()> {
    let delete = send(call, |to| async move {
        let expired = schema::with_expired(schema::with_id(id));
        to.collection.delete_one(expired).await
    });
    delete.await.map(drop)
}

/// Touches one session. Not by the driver's retryable `findAndModify`: for that the server keeps a
/// copy of the document, and a repeat returns the copy without the server's time.
pub(crate) async fn touch(
    call: &Call<MongoClient>,
    id: &SessionId,
    idle: Timeout,
) -> Result<Option<Ttl>> {
    let sent = send_idempotent(call, |to| async move {
        let of = &to.collection;
        let command = statement::touch_one(of.name(), id, idle, of.write_concern());
        to.database.run_raw_command(command).await
    });
    let reply = sent.await?.answer;
    check_concern(call, &reply)?;
    let Ok(touched) = reply.get_document("value") else {
        return Ok(None);
    };
    let touched = RawDocumentBuf::try_from(touched).map_err(|_| unreadable(call))?;
    let found = StoredSession::new(&touched)?;
    found.check_layout()?;
    found.ttl().map(Some)
}

/// Destroys the session `id`, or only the version `expected`. The session may be corrupt.
pub(crate) async fn destroy(
    call: &Call<MongoClient>,
    id: &SessionId,
    expected: Option<&Version>,
) -> Result<Option<Ended>> {
    let sent = send_idempotent(call, |to| async move {
        let session = match expected {
            Some(version) => schema::with_stamp(id, version.stamp()),
            None => schema::with_id(id),
        };
        let unexpired = schema::with_unexpired(session);
        let delete = to.collection.find_one_and_delete(unexpired);
        delete.projection(schema::ended_fields()).await
    });
    let sent = sent.await?;
    if let Some(document) = sent.answer {
        return Ok(Some(ended(call, id, &document).await));
    }
    // The first attempt may have destroyed it. Not if a session has this id, because ids are never
    // used again.
    if !sent.is_repeated || (expected.is_some() && is_there(call, id).await?) {
        return Ok(None);
    }
    Ok(Some(Ended::unknown(id.clone())))
}

/// The end of the session `id`, from the answer of a `findAndModify`.
async fn ended(call: &Call<MongoClient>, id: &SessionId, answer: &RawDocument) -> Ended {
    match StoredSession::new(answer) {
        Ok(found) => found.end_of(id),
        // After a repeat by the driver, the answer is the whole document instead of the projection.
        Err(_) => record::ended(id.clone(), answer, now(call).await.ok()),
    }
}

/// The server's time.
async fn now(call: &Call<MongoClient>) -> Result<DateTime> {
    let hello = send(call, |to| async move {
        to.database.run_command(doc! { "hello": 1 }).await
    });
    let now = hello.await?.answer.get_datetime("localTime").copied();
    now.map_err(|_| unreadable(call))
}

/// Whether there is a session `id` that has not expired.
async fn is_there(call: &Call<MongoClient>, id: &SessionId) -> Result<bool> {
    match stamp(call, id).await {
        Ok(stamp) => Ok(stamp.is_some()),
        Err(error) if error.kind() == ErrorKind::Corrupt => Ok(true),
        Err(error) => Err(error),
    }
}

/// Reads the reply to an `update`. An error that is not about a duplicate fails the whole batch,
/// which is then sent again in parts.
fn updated(call: &Call<MongoClient>, reply: &Document) -> Result<Updated> {
    check_concern(call, reply)?;
    let errors = reply.get_array("writeErrors").map(Vec::as_slice);
    let mut duplicates = Vec::new();
    for error in errors
        .unwrap_or_default()
        .iter()
        .filter_map(Bson::as_document)
    {
        if integer(error, "code") != i64::from(DUPLICATE_KEY) {
            return Err(server_error(call, error));
        }
        duplicates.extend(usize::try_from(integer(error, "index")));
    }
    let matched = u64::try_from(integer(reply, "n")).unwrap_or_default();
    Ok(Updated {
        matched,
        duplicates,
    })
}

/// Fails if the write concern was not satisfied.
fn check_concern(call: &Call<MongoClient>, reply: &Document) -> Result<()> {
    match reply.get_document("writeConcernError") {
        Ok(error) => Err(server_error(call, error)),
        Err(_) => Ok(()),
    }
}

fn server_error(call: &Call<MongoClient>, error: &Document) -> Error {
    let code = i32::try_from(integer(error, "code")).unwrap_or_default();
    let name = error.get_str("codeName").unwrap_or_default();
    error::from_code(call.name(), call.place(), code, name)
}

fn unreadable(call: &Call<MongoClient>) -> Error {
    let why = format!("{}: the answer can't be read", call.place());
    Error::refused(call.name(), why)
}

fn integer(document: &Document, field: &str) -> i64 {
    match document.get(field) {
        Some(Bson::Int32(n)) => i64::from(*n),
        Some(Bson::Int64(n)) => *n,
        _ => 0,
    }
}
