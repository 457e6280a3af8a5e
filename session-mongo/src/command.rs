//! How commands are sent, for one session or for many, and what their answers say.

use std::collections::HashMap;

use futures_util::TryStreamExt;
use mongodb::bson::{Bson, DateTime, Document, RawBsonRef, RawDocument, RawDocumentBuf, doc};
use session_core::backend::{Call, Sent};
use session_core::{
    Draft, Ended, Error, ErrorKind, Result, Saved, SessionId, Stamp, Timeout, Ttl, Version,
};

use crate::connector::MongoClient;
use crate::error::{self, DUPLICATE_KEY, Resend, code};
use crate::found::{self, Found};
use crate::schema;
use crate::statement::{self, Fields};

/// What an `update` of many has done.
pub(crate) struct Updated {
    pub(crate) matched: u64,
    /// The statements that would have given a second document their id.
    pub(crate) duplicates: Vec<usize>,
}

/// Sends a command; again only if the server has refused to execute it: another may be the primary by
/// now.
pub(crate) async fn send<T, W>(
    call: &Call<MongoClient>,
    command: impl FnOnce(MongoClient) -> W + Clone,
) -> Result<Sent<T>>
where
    W: Future<Output = mongodb::error::Result<T>>,
{
    resend(call, Resend::Refused, command).await
}

/// Sends a command that is harmless to execute twice; again if it or its answer is lost. The driver
/// itself repeats only commands that it has put together, and of those no write on a server without a
/// replica set.
pub(crate) async fn send_idempotent<T, W>(
    call: &Call<MongoClient>,
    command: impl FnOnce(MongoClient) -> W + Clone,
) -> Result<Sent<T>>
where
    W: Future<Output = mongodb::error::Result<T>>,
{
    resend(call, Resend::Lost, command).await
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

/// What `read` makes of each of the live sessions `ids`, in their order; `None` for those that are not
/// there.
pub(crate) async fn find_live<'i, T>(
    call: &Call<MongoClient>,
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
    let mut found: Vec<_> = places.iter().map(|_| Ok(None)).collect();
    for batch in batches.await?.answer {
        let documents = batch.doc_slices().map_err(|_| unreadable(call))?;
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
async fn stamp(call: &Call<MongoClient>, id: &SessionId) -> Result<Option<Stamp>> {
    let found = find_live(call, [id].into_iter(), &statement::BRIEF, |found| {
        found.stamp()
    });
    found.await?.pop().unwrap_or(Ok(None))
}

/// Runs update statements as one command, in no promised order. Each of them is harmless to repeat.
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
    // An expired session of this id may be in the way; once it is removed, the same draft may, which
    // another sending of this create has put there.
    for _ in 0..3 {
        // By the driver: an answer about a duplicate may quote half a character of an id, which no
        // other way lets through.
        let sent = send_idempotent(call, |to| async move {
            // Matches the same draft written before, or nothing; any other one of this id makes the
            // insert fail.
            let same = schema::at(id, draft.stamp);
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

/// Removes the session `id` if it has expired: a new one cannot be created beside it.
async fn remove_expired(call: &Call<MongoClient>, id: &SessionId) -> Result<()> {
    let delete = send(call, |to| async move {
        let expired = schema::with_expired(schema::with_id(id));
        to.collection.delete_one(expired).await
    });
    delete.await.map(drop)
}

/// Touches one session. The command is put together here: a `findAndModify` that the driver repeats
/// makes the server keep a copy of the document, and its answer is that copy, without the server's
/// time.
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
    let found = Found::new(&touched)?;
    found.check_layout()?;
    found.ttl().map(Some)
}

/// Ends the session `id`, or only this version of it. It may be corrupt.
pub(crate) async fn destroy(
    call: &Call<MongoClient>,
    id: &SessionId,
    expected: Option<&Version>,
) -> Result<Option<Ended>> {
    let sent = send_idempotent(call, |to| async move {
        let session = match expected {
            Some(version) => schema::at(id, version.stamp()),
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
    // The first sending may have ended it. If a session of this id is there, it has not: no id comes
    // back.
    if !sent.is_repeated || (expected.is_some() && is_there(call, id).await?) {
        return Ok(None);
    }
    Ok(Some(Ended::unknown(id.clone())))
}

/// The end of the session `id`, as a `findAndModify` has answered it.
async fn ended(call: &Call<MongoClient>, id: &SessionId, answer: &RawDocument) -> Ended {
    match Found::new(answer) {
        Ok(found) => found.end_of(id),
        // One that the driver has repeated answers with the whole document and not with the fields
        // that were asked for.
        Err(_) => found::ended(id.clone(), answer, now(call).await.ok()),
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

/// Reads the reply to an `update`. An error that is not about a duplicate is everybody's: the batch is
/// then sent again in parts.
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
            return Err(failed(call, error));
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
fn check_concern(call: &Call<MongoClient>, reply: &Document) -> Result<()> {
    match reply.get_document("writeConcernError") {
        Ok(error) => Err(failed(call, error)),
        Err(_) => Ok(()),
    }
}

fn failed(call: &Call<MongoClient>, error: &Document) -> Error {
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
