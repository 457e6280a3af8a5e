//! The directory: listing, counting, owners, clearing and reaping.

use futures_util::TryStreamExt;
use futures_util::future::join_all;
use mongodb::action::Action;
use mongodb::bson::{Bson, Document, RawDocument, RawDocumentBuf, doc};
use mongodb::options::Hint;
use session_core::backend::Call;
use session_core::{Cursor, Ended, Error, Owner, Page, Result, SessionId, Stamp};

use crate::client::MongoClient;
use crate::command::{send, send_idempotent};
use crate::record::StoredSession;
use crate::schema::{self, ID_INDEX, OWNER_INDEX};

/// How many commands on single sessions may be in flight.
const MAX_IN_FLIGHT: usize = 32;

/// The most sessions of a page. A page is one reply, which by default has at most 101 documents.
pub(crate) const MAX_PAGE: usize = 10_000;

/// How many batches in a row may find sessions of which none can be destroyed, because other
/// requests destroy them or change their owner first.
const MAX_FRUITLESS: u32 = 16;

/// The first characters of a cursor. The id of the last session of the page follows.
const CURSOR_PREFIX: &str = "after:";

pub(crate) async fn count(call: &Call<MongoClient>) -> Result<u64> {
    let count = send(call, |to| async move {
        let live = schema::with_live(doc! {});
        to.collection.count_documents(live).await
    });
    Ok(count.await?.answer)
}

pub(crate) async fn list(
    call: &Call<MongoClient>,
    cursor: Option<&Cursor>,
    limit: usize,
) -> Result<Page> {
    page(call, (doc! {}, ID_INDEX), cursor, limit).await
}

pub(crate) async fn owned_by(
    call: &Call<MongoClient>,
    owner: &Owner,
    cursor: Option<&Cursor>,
    limit: usize,
) -> Result<Page> {
    page(
        call,
        (schema::with_owner(owner), OWNER_INDEX),
        cursor,
        limit,
    )
    .await
}

/// One round trip to find sessions, and one for each session, up to 32 at a time. If some fail
/// after others succeeded, returns what those have destroyed, unless a failed one may have been
/// destroyed too.
pub(crate) async fn destroy_owned_by(
    call: &Call<MongoClient>,
    owner: &Owner,
    except: Option<&SessionId>,
    limit: usize,
) -> Result<Vec<Ended>> {
    for _ in 0..MAX_FRUITLESS {
        let found = find_owned(call, owner, except, limit).await?;
        if found.is_empty() {
            return Ok(found);
        }
        let ended = destroy_found(call, found, owner).await?;
        if !ended.is_empty() {
            return Ok(ended);
        }
    }
    Err(Error::unavailable(
        call.name(),
        format!("at each of {MAX_FRUITLESS} attempts, other callers changed what was found"),
    ))
}

/// Removes the documents that `filter` matches and whose ids are text, up to 10,000 for each
/// command.
pub(crate) async fn clear(call: &Call<MongoClient>, filter: fn() -> Document) -> Result<u64> {
    let (mut cleared, mut ids) = (0, doc! { "$type": "string" });
    let by_id = doc! { "_id": 1 };
    loop {
        let mut part = filter();
        part.insert("_id", ids.clone());
        let part = find_ids(call, &part, Some(&by_id), MAX_PAGE).await?;
        let Some(last) = part.last() else {
            return Ok(cleared);
        };
        ids.insert("$gt", last);
        let these = doc! { "_id": { "$in": part } };
        let deleted = send(call, |to| {
            let these = these.clone();
            async move { to.collection.delete_many(these).await }
        });
        cleared += deleted.await?.answer.deleted_count;
    }
}

/// Three round trips: find, claim, read. A claim reserves an expired session for one reaper; if the
/// report is not confirmed, another reaper can claim the session after a minute. Corrupt documents
/// that can't be reported are removed: one round trip more.
pub(crate) async fn reap(call: &Call<MongoClient>, limit: usize) -> Result<Vec<Ended>> {
    if limit == 0 {
        return Ok(Vec::new());
    }
    let due = schema::with_unclaimed(doc! {});
    let ids = find_ids(call, &due, None, limit).await?;
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let found = doc! { "_id": { "$in": &ids } };
    let claim = Stamp::generate();
    let claimable = schema::with_unclaimed(found.clone());
    let claims = send_idempotent(call, |to| {
        let (claimable, claim) = (claimable.clone(), schema::claim(&claim));
        async move { to.collection.update_many(claimable, claim).await }
    });
    claims.await?;
    let claimed = schema::with_claim(found, &claim);
    let documents = send(call, |to| {
        let claimed = claimed.clone();
        async move {
            let find = to.collection.find(claimed);
            let find = find.projection(schema::ended_fields());
            let find = find.batch_size(MAX_PAGE as u32);
            find.await?.try_collect::<Vec<RawDocumentBuf>>().await
        }
    });
    let documents = documents.await?.answer;
    let ended = read_all(&documents, |session| session.ended());
    if ended.len() < documents.len() {
        let mut unreadable = claimed;
        let read = ended.iter().map(|ended| ended.id.as_str());
        unreadable.insert("_id", doc! { "$in": ids, "$nin": read.collect::<Vec<_>>() });
        delete(call, unreadable).await?;
    }
    Ok(ended)
}

/// Removes the sessions whose ends were reported. One round trip.
pub(crate) async fn confirm_reaped(call: &Call<MongoClient>, reaped: &[Ended]) -> Result<()> {
    let ids: Vec<_> = reaped.iter().map(|ended| ended.id.as_str()).collect();
    let reported = schema::with_any_claim(doc! { "_id": { "$in": ids } });
    delete(call, reported).await
}

/// Removes the expired sessions that `filter` matches.
async fn delete(call: &Call<MongoClient>, filter: Document) -> Result<()> {
    let deleted = send_idempotent(call, |to| {
        let filter = filter.clone();
        async move { to.collection.delete_many(filter).await }
    });
    deleted.await.map(drop)
}

/// The `_id`s of the first `limit` documents by `sort` that `filter` matches. One round trip.
pub(crate) async fn find_ids(
    call: &Call<MongoClient>,
    filter: &Document,
    sort: Option<&Document>,
    limit: usize,
) -> Result<Vec<Bson>> {
    let limit = u32::try_from(limit.clamp(1, MAX_PAGE)).unwrap_or_default();
    let found = send(call, |to| async move {
        let documents = to.documents();
        let find = documents.find(filter.clone()).projection(doc! { "_id": 1 });
        let find = find.optional(sort.cloned(), |find, sort| find.sort(sort));
        let find = find.limit(limit.into()).batch_size(limit);
        find.await?.try_collect::<Vec<_>>().await
    });
    let id = |mut document: Document| document.remove("_id");
    Ok(found.await?.answer.into_iter().filter_map(id).collect())
}

/// A page of the live sessions that `filter` matches, ordered by id, which is the order of `index`.
/// One round trip.
async fn page(
    call: &Call<MongoClient>,
    (mut filter, index): (Document, &str),
    cursor: Option<&Cursor>,
    limit: usize,
) -> Result<Page> {
    // Every id is text and sorts after the empty text.
    let after = match cursor {
        Some(cursor) => cursor.as_str().strip_prefix(CURSOR_PREFIX).ok_or_else(|| {
            Error::misconfigured("this cursor is not of a MongoDB store: start without one")
        })?,
        None => "",
    };
    filter.insert("_id", doc! { "$gt": after });
    let limit = limit.clamp(1, MAX_PAGE);
    let filter = schema::with_live(filter);
    let documents = send(call, |to| {
        let filter = filter.clone();
        async move {
            let find = to.collection.find(filter);
            let find = find.projection(schema::info_fields());
            let find = find.hint(Hint::Name(index.to_owned()));
            let find = find.sort(doc! { "_id": 1 });
            let find = find.limit(limit as i64).batch_size(limit as u32);
            find.await?.try_collect::<Vec<RawDocumentBuf>>().await
        }
    });
    let documents = documents.await?.answer;
    let last = documents.last().filter(|_| documents.len() == limit);
    let next =
        last.and_then(|document| Some(StoredSession::new(document).ok()?.sort_key()?.to_owned()));
    Ok(Page::new(
        read_all(&documents, |found| found.info()),
        next.map(|id| Cursor::new(format!("{CURSOR_PREFIX}{id}"))),
    ))
}

/// Up to `limit` sessions of `owner` but `except`, as [`Ended`]. One round trip.
async fn find_owned(
    call: &Call<MongoClient>,
    owner: &Owner,
    except: Option<&SessionId>,
    limit: usize,
) -> Result<Vec<Ended>> {
    let mut filter = schema::with_owner(owner);
    let mut ids = doc! { "$type": "string" };
    if let Some(except) = except {
        ids.insert("$ne", except.as_str());
    }
    filter.insert("_id", ids);
    let filter = schema::with_unexpired(filter);
    let limit = limit.clamp(1, MAX_PAGE);
    let found = send(call, |to| {
        let filter = filter.clone();
        async move {
            let find = to.collection.find(filter);
            let find = find.projection(schema::ended_fields());
            let find = find.hint(Hint::Name(OWNER_INDEX.to_owned()));
            let find = find.limit(limit as i64).batch_size(limit as u32);
            find.await?.try_collect::<Vec<RawDocumentBuf>>().await
        }
    });
    Ok(read_all(&found.await?.answer, |session| session.ended()))
}

/// Destroys the sessions `found` that still belong to `owner`, whatever their version, and returns
/// them.
async fn destroy_found(
    call: &Call<MongoClient>,
    found: Vec<Ended>,
    owner: &Owner,
) -> Result<Vec<Ended>> {
    let mut all = Vec::with_capacity(found.len());
    for part in found.chunks(MAX_IN_FLIGHT) {
        let mut failure = None;
        let ends = part
            .iter()
            .map(|session| destroy_owned(call, session, owner));
        for end in join_all(ends).await {
            match end {
                Ok(ended) => all.extend(ended),
                Err(error) => failure = Some(error),
            }
        }
        match failure {
            // What a doubtful one has ended, the caller must find out.
            Some(error) if all.is_empty() || error.is_doubtful() => return Err(error),
            Some(_) => break,
            None => {}
        }
    }
    Ok(all)
}

/// Destroys one session of `owner`. After a lost connection only the driver repeats it, which is
/// exact: a session that a second attempt does not find may have another owner.
async fn destroy_owned(
    call: &Call<MongoClient>,
    session: &Ended,
    owner: &Owner,
) -> Result<Option<Ended>> {
    let deleted = send(call, |to| async move {
        let mut filter = schema::with_id(&session.id);
        filter.extend(schema::with_owner(owner));
        let delete = to.collection.delete_one(schema::with_unexpired(filter));
        delete.hint(Hint::Name(ID_INDEX.to_owned())).await
    });
    let is_destroyed = deleted.await?.answer.deleted_count > 0;
    Ok(is_destroyed.then(|| session.clone()))
}

/// Applies `read` to each document. Corrupt documents are left out.
fn read_all<T>(
    documents: &[RawDocumentBuf],
    read: impl Fn(&StoredSession<'_>) -> Result<T>,
) -> Vec<T> {
    let read = |document: &RawDocument| read(&StoredSession::new(document)?);
    let read = documents.iter().map(|document| read(document));
    read.filter_map(Result::ok).collect()
}
