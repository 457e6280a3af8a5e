//! Listing, owners, clearing and reaping.

use futures_util::TryStreamExt;
use futures_util::future::join_all;
use mongodb::action::Action;
use mongodb::bson::{Bson, Document, RawDocument, RawDocumentBuf, doc};
use mongodb::options::Hint;
use session_core::backend::Call;
use session_core::{Cursor, Ended, Error, Owner, Page, Result, SessionId, Stamp};

use crate::command::{send, send_idempotent};
use crate::connector::MongoClient;
use crate::found::Found;
use crate::schema::{self, ID_INDEX, OWNER_INDEX};

/// How many commands are in flight at once when many sessions are ended.
const AT_ONCE: usize = 32;

/// The largest page, in sessions. Each page is asked for in one reply, which would have 101 documents
/// at most by default.
pub(crate) const LARGEST_PAGE: usize = 10_000;

/// How often in a row all of an owner's sessions that were found may have ended, or changed their
/// owner, before they could be ended here.
const FRUITLESS: u32 = 16;

/// What the text of a cursor begins with. The id of the last session follows.
const AFTER: &str = "after:";

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
    page(call, (schema::of(owner), OWNER_INDEX), cursor, limit).await
}

/// A round trip that finds them, and one for each session, 32 at once. If some fail after others were
/// done, the answer is what was ended.
pub(crate) async fn destroy_owned_by(
    call: &Call<MongoClient>,
    owner: &Owner,
    except: Option<&SessionId>,
    limit: usize,
) -> Result<Vec<Ended>> {
    for _ in 0..FRUITLESS {
        let found = owned(call, owner, except, limit).await?;
        if found.is_empty() {
            return Ok(found);
        }
        let ended = end_owned(call, found, owner).await?;
        if !ended.is_empty() {
            return Ok(ended);
        }
    }
    Err(Error::unavailable(
        call.name(),
        format!("at each of {FRUITLESS} attempts, other callers changed what was found"),
    ))
}

/// Removes the documents that `filter` matches, whose ids are text, in as many commands as it takes
/// for each to be short. One of another program is left.
pub(crate) async fn clear(call: &Call<MongoClient>, filter: fn() -> Document) -> Result<u64> {
    let (mut cleared, mut ids) = (0, doc! { "$type": "string" });
    let by_id = doc! { "_id": 1 };
    loop {
        let mut part = filter();
        part.insert("_id", ids.clone());
        let part = find_ids(call, &part, Some(&by_id), LARGEST_PAGE).await?;
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

/// Four round trips for a batch: find, claim, read, delete. A claim makes each session one caller's;
/// if that one dies before the delete, the next takes it up after a minute.
pub(crate) async fn reap(call: &Call<MongoClient>, limit: usize) -> Result<Vec<Ended>> {
    if limit == 0 {
        return Ok(Vec::new());
    }
    let due = schema::with_unclaimed(doc! {});
    let ids = find_ids(call, &due, None, limit).await?;
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let found = doc! { "_id": { "$in": ids } };
    let claim = Stamp::generate();
    let claimable = schema::with_unclaimed(found.clone());
    let claims = send_idempotent(call, |to| {
        let (claimable, claim) = (claimable.clone(), schema::claim(&claim));
        async move { to.collection.update_many(claimable, claim).await }
    });
    claims.await?;
    let claimed = schema::with_claim(found, &claim);
    let mine = send(call, |to| {
        let claimed = claimed.clone();
        async move {
            let find = to.collection.find(claimed);
            let find = find.projection(schema::ended_fields());
            let find = find.batch_size(LARGEST_PAGE as u32);
            find.await?.try_collect::<Vec<RawDocumentBuf>>().await
        }
    });
    let mine = mine.await?.answer;
    let delete = send_idempotent(call, |to| {
        let claimed = claimed.clone();
        async move { to.collection.delete_many(claimed).await }
    });
    delete.await?;
    Ok(readable(&mine, |session| session.ended()))
}

/// The `_id`s of up to `limit` of the documents that `filter` matches, the first ones by `sort`. One
/// round trip.
pub(crate) async fn find_ids(
    call: &Call<MongoClient>,
    filter: &Document,
    sort: Option<&Document>,
    limit: usize,
) -> Result<Vec<Bson>> {
    let limit = u32::try_from(limit.clamp(1, LARGEST_PAGE)).unwrap_or_default();
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

/// A page of the live sessions that `filter` matches, in the order of their ids, which `index` gives
/// them in. One round trip.
async fn page(
    call: &Call<MongoClient>,
    (mut filter, index): (Document, &str),
    cursor: Option<&Cursor>,
    limit: usize,
) -> Result<Page> {
    // Every id is after the empty text, and what is no text is no id.
    let after = match cursor {
        Some(cursor) => cursor.as_str().strip_prefix(AFTER).ok_or_else(|| {
            Error::misconfigured("this cursor is not of a MongoDB store: start without one")
        })?,
        None => "",
    };
    filter.insert("_id", doc! { "$gt": after });
    let limit = limit.clamp(1, LARGEST_PAGE);
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
    let next = last.and_then(|document| Some(Found::new(document).ok()?.place()?.to_owned()));
    Ok(Page::new(
        readable(&documents, |found| found.info()),
        next.map(|id| Cursor::new(format!("{AFTER}{id}"))),
    ))
}

/// Up to `limit` sessions of `owner` but `except`, as they would end. One round trip.
async fn owned(
    call: &Call<MongoClient>,
    owner: &Owner,
    except: Option<&SessionId>,
    limit: usize,
) -> Result<Vec<Ended>> {
    let mut filter = schema::of(owner);
    let mut ids = doc! { "$type": "string" };
    if let Some(except) = except {
        ids.insert("$ne", except.as_str());
    }
    filter.insert("_id", ids);
    let filter = schema::with_unexpired(filter);
    let limit = limit.clamp(1, LARGEST_PAGE);
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
    Ok(readable(&found.await?.answer, |session| session.ended()))
}

/// Ends those of `found` that are still `owner`'s, whatever their version, and says which.
async fn end_owned(
    call: &Call<MongoClient>,
    found: Vec<Ended>,
    owner: &Owner,
) -> Result<Vec<Ended>> {
    let mut all = Vec::with_capacity(found.len());
    for part in found.chunks(AT_ONCE) {
        let mut failure = None;
        let ends = part.iter().map(|session| end_one(call, session, owner));
        for end in join_all(ends).await {
            match end {
                Ok(ended) => all.extend(ended),
                Err(error) => failure = Some(error),
            }
        }
        match failure {
            Some(error) if all.is_empty() => return Err(error),
            Some(_) => break,
            None => {}
        }
    }
    Ok(all)
}

/// Not sent again after a lost connection but by the driver, whose repeats are exact: what a second
/// sending does not find may have changed its owner.
async fn end_one(
    call: &Call<MongoClient>,
    session: &Ended,
    owner: &Owner,
) -> Result<Option<Ended>> {
    let deleted = send(call, |to| async move {
        let mut filter = schema::with_id(&session.id);
        filter.extend(schema::of(owner));
        let delete = to.collection.delete_one(schema::with_unexpired(filter));
        delete.hint(Hint::Name(ID_INDEX.to_owned())).await
    });
    let is_mine = deleted.await?.answer.deleted_count > 0;
    Ok(is_mine.then(|| session.clone()))
}

/// What `read` makes of each document. One that can't be read costs only its own reader.
fn readable<T>(documents: &[RawDocumentBuf], read: impl Fn(&Found<'_>) -> Result<T>) -> Vec<T> {
    let read = |document: &RawDocument| read(&Found::new(document)?);
    let read = documents.iter().map(|document| read(document));
    read.filter_map(Result::ok).collect()
}
