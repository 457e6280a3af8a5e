//! Listing, owners, clearing and reaping.

use futures_util::TryStreamExt;
use futures_util::future::join_all;
use mongodb::bson::{Document, RawDocument, RawDocumentBuf, doc};
use mongodb::options::Hint;
use session_core::{
    Cursor, Ended, Error, Owner, Page, Result, SessionDirectory, SessionId, Stamp, async_trait,
};

use crate::MongoStore;
use crate::schema::{self, Found, ID_INDEX, OWNER_INDEX};

/// How many commands are in flight at once when many sessions are ended.
const AT_ONCE: usize = 32;

/// The largest page, in sessions.
const LARGEST_PAGE: usize = 10_000;

/// How often in a row all of an owner's sessions that were found may have ended, or changed their
/// owner, before they could be ended here.
const FRUITLESS: u32 = 16;

/// What the text of a cursor begins with. The id of the last session follows.
const AFTER: &str = "after:";

#[async_trait]
impl SessionDirectory for MongoStore {
    async fn count(&self) -> Result<u64> {
        let count = self.commands.link.run("count", |to| async move {
            let live = schema::with_live(doc! {});
            to.collection.count_documents(live).await
        });
        count.await
    }

    async fn list(&self, cursor: Option<&Cursor>, limit: usize) -> Result<Page> {
        self.page("list", (doc! {}, ID_INDEX), cursor, limit).await
    }

    async fn owned_by(&self, owner: &Owner, cursor: Option<&Cursor>, limit: usize) -> Result<Page> {
        let owned = (schema::of(owner), OWNER_INDEX);
        self.page("owned_by", owned, cursor, limit).await
    }

    /// A round trip that finds them, and one for each session, 32 at once. If some fail after
    /// others were done, the answer is what was ended.
    async fn destroy_owned_by(
        &self,
        owner: &Owner,
        except: Option<&SessionId>,
        limit: usize,
    ) -> Result<Vec<Ended>> {
        for _ in 0..FRUITLESS {
            let found = self.owned(owner, except, limit).await?;
            if found.is_empty() {
                return Ok(found);
            }
            let ended = self.end_owned(found, owner).await?;
            if !ended.is_empty() {
                return Ok(ended);
            }
        }
        Err(Error::unavailable(
            "destroy_owned_by",
            format!("at each of {FRUITLESS} attempts, other callers changed what was found"),
        ))
    }

    /// Removes all sessions, and what is damaged; a document of another program is left.
    async fn clear(&self) -> Result<u64> {
        self.commands.link.clear(schema::ours()).await
    }

    /// Four round trips for a batch: find, claim, read, delete. A claim makes each session one
    /// caller's; if that one dies before the delete, the next takes it up after a minute.
    async fn reap(&self, limit: usize) -> Result<Vec<Ended>> {
        if limit == 0 {
            return Ok(Vec::new());
        }
        let link = &self.commands.link;
        let due = schema::with_unclaimed(doc! {});
        let ids = link.ids("reap", due, limit.min(LARGEST_PAGE)).await?;
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let found = doc! { "_id": { "$in": ids } };
        let claim = Stamp::generate();
        let claimable = schema::with_unclaimed(found.clone());
        let claims = link.run_twice("reap", |to| {
            let (claimable, claim) = (claimable.clone(), schema::claim(&claim));
            async move { to.collection.update_many(claimable, claim).await }
        });
        claims.await?;
        let claimed = schema::with_claim(found, &claim);
        let mine = link.run("reap", |to| {
            let claimed = claimed.clone();
            async move {
                let find = to.collection.find(claimed);
                let find = find.projection(schema::ended_fields());
                find.await?.try_collect::<Vec<RawDocumentBuf>>().await
            }
        });
        let mine = mine.await?;
        let delete = link.run_twice("reap", |to| {
            let claimed = claimed.clone();
            async move { to.collection.delete_many(claimed).await }
        });
        delete.await?;
        Ok(readable(&mine, |session| session.ended()))
    }
}

impl MongoStore {
    /// A page of the live sessions that `filter` matches, in the order of their ids, which `index`
    /// gives them in. One round trip.
    async fn page(
        &self,
        operation: &'static str,
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
        let documents = self.commands.link.run(operation, |to| async move {
            let find = to.collection.find(filter);
            let find = find.projection(schema::info_fields());
            let find = find.hint(Hint::Name(index.to_owned()));
            let find = find.sort(doc! { "_id": 1 }).limit(limit as i64);
            find.await?.try_collect::<Vec<RawDocumentBuf>>().await
        });
        let documents = documents.await?;
        let last = documents.last().filter(|_| documents.len() == limit);
        let next = last.and_then(|document| Some(Found::new(document).ok()?.place()?.to_owned()));
        Ok(Page {
            sessions: readable(&documents, |found| found.info()),
            next: next.map(|id| Cursor::new(format!("{AFTER}{id}"))),
        })
    }

    /// Up to `limit` sessions of `owner` but `except`, as they would end. One round trip.
    async fn owned(
        &self,
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
        let found = self.commands.link.run("destroy_owned_by", |to| async move {
            let find = to.collection.find(filter);
            let find = find.projection(schema::ended_fields());
            let find = find.hint(Hint::Name(OWNER_INDEX.to_owned()));
            let find = find.limit(limit.clamp(1, LARGEST_PAGE) as i64);
            find.await?.try_collect::<Vec<RawDocumentBuf>>().await
        });
        Ok(readable(&found.await?, |session| session.ended()))
    }

    /// Ends those of `found` that are still `owner`'s, whatever their version, and says which.
    async fn end_owned(&self, found: Vec<Ended>, owner: &Owner) -> Result<Vec<Ended>> {
        let mut all = Vec::with_capacity(found.len());
        for part in found.chunks(AT_ONCE) {
            let mut failure = None;
            let ends = part.iter().map(|session| self.end_one(session, owner));
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

    /// Not sent again after a lost connection but by the driver, whose repeats are exact: what a
    /// second sending does not find may have changed its owner.
    async fn end_one(&self, session: &Ended, owner: &Owner) -> Result<Option<Ended>> {
        let mut filter = schema::with_id(&session.id);
        filter.extend(schema::of(owner));
        let filter = schema::with_unexpired(filter);
        let deleted = self.commands.link.run("destroy_owned_by", |to| async move {
            let delete = to.collection.delete_one(filter);
            delete.hint(Hint::Name(ID_INDEX.to_owned())).await
        });
        let is_mine = deleted.await?.deleted_count > 0;
        Ok(is_mine.then(|| session.clone()))
    }
}

/// What `read` makes of each document. One that can't be read costs only its own reader.
fn readable<T>(documents: &[RawDocumentBuf], read: impl Fn(&Found<'_>) -> Result<T>) -> Vec<T> {
    let read = |document: &RawDocument| read(&Found::new(document)?);
    let read = documents.iter().map(|document| read(document));
    read.filter_map(Result::ok).collect()
}
