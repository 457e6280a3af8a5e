//! Listing, owners, clearing and reaping.

use futures_util::stream::{self, StreamExt, TryStreamExt};
use mongodb::bson::oid::ObjectId;
use mongodb::bson::{Document, RawDocument, RawDocumentBuf, doc};
use session_core::{
    Cursor, Ended, Error, Owner, Page, Result, SessionDirectory, SessionId, SessionInfo, Stamp,
    async_trait,
};

use crate::MongoStore;
use crate::schema::{self, Found};

/// How many commands are under way at once when many sessions are ended.
const AT_ONCE: usize = 32;

#[async_trait]
impl SessionDirectory for MongoStore {
    async fn count(&self) -> Result<u64> {
        let count = self
            .commands
            .link
            .collection
            .count_documents(schema::with_live(doc! {}));
        self.commands.link.run("count", async { count.await }).await
    }

    async fn list(&self, cursor: Option<&Cursor>, limit: usize) -> Result<Page> {
        let mut filter = schema::with_live(doc! {});
        if let Some(cursor) = cursor {
            let after = ObjectId::parse_str(cursor.as_str());
            let after =
                after.map_err(|_| Error::misconfigured("this cursor is not of a MongoDB store"))?;
            filter.insert("_id", doc! { "$gt": after });
        }
        let limit = limit.clamp(1, 10_000);
        let documents = self.find("list", filter, Some(limit)).await?;
        let last = documents.last().filter(|_| documents.len() == limit);
        let next = last
            .and_then(|document| document.get_object_id("_id").ok())
            .map(|id| Cursor::new(id.to_hex()));
        Ok(Page {
            sessions: readable(&documents),
            next,
        })
    }

    async fn owned_by(&self, owner: &Owner) -> Result<Vec<SessionInfo>> {
        let filter = schema::with_live(doc! { "owner": owner.as_str() });
        Ok(readable(&self.find("owned_by", filter, None).await?))
    }

    async fn destroy_owned_by(
        &self,
        owner: &Owner,
        except: Option<&SessionId>,
    ) -> Result<Vec<Ended>> {
        let mut filter = schema::with_live(doc! { "owner": owner.as_str() });
        if let Some(except) = except {
            filter.insert("sid", doc! { "$ne": except.as_str() });
        }
        let documents = self.find("destroy_owned_by", filter, None).await?;
        let ends = stream::iter(documents).map(|document| {
            let store = self.clone();
            let owner = owner.clone();
            async move { store.end_owned(&document, &owner).await }
        });
        let ends: Vec<_> = ends.buffer_unordered(AT_ONCE).try_collect().await?;
        Ok(ends.into_iter().flatten().collect())
    }

    async fn clear(&self) -> Result<u64> {
        self.commands.link.clear().await
    }

    /// Four round trips for a batch: find, claim, read, delete. A claim makes each session one
    /// caller's; if that one dies before the delete, the next takes it up after a minute.
    async fn reap(&self, limit: usize) -> Result<Vec<Ended>> {
        let due = schema::with_unclaimed(doc! {});
        let due = self.find("reap", due, Some(limit.clamp(1, 10_000))).await?;
        let ids: Vec<ObjectId> = due
            .iter()
            .filter_map(|document| document.get_object_id("_id").ok())
            .collect();
        if ids.is_empty() || limit == 0 {
            return Ok(Vec::new());
        }
        let claim = Stamp::generate();
        let claimable = schema::with_unclaimed(doc! { "_id": { "$in": ids } });
        let update = self
            .commands
            .link
            .collection
            .update_many(claimable, schema::claim(&claim));
        self.commands
            .link
            .run("reap", async { update.await })
            .await?;
        let mine = self.find("reap", schema::claimed_by(&claim), None).await?;
        let delete = self
            .commands
            .link
            .collection
            .delete_many(schema::claimed_by(&claim));
        self.commands
            .link
            .run("reap", async { delete.await })
            .await?;
        Ok(readable(&mine).into_iter().map(schema::ended).collect())
    }
}

impl MongoStore {
    /// What a listing shows of the documents that `filter` matches, oldest first.
    async fn find(
        &self,
        operation: &'static str,
        filter: Document,
        limit: Option<usize>,
    ) -> Result<Vec<RawDocumentBuf>> {
        let mut find = self
            .commands
            .link
            .collection
            .find(filter)
            .projection(schema::info_fields());
        if let Some(limit) = limit {
            find = find.limit(i64::try_from(limit).unwrap_or(i64::MAX));
            // Reaping takes what it finds; a listing goes on where it was.
            if operation == "list" {
                find = find.sort(doc! { "_id": 1 });
            }
        }
        self.commands
            .link
            .run(operation, async { find.await?.try_collect().await })
            .await
    }

    /// Ends a session if it is still its owner's.
    async fn end_owned(&self, document: &RawDocumentBuf, owner: &Owner) -> Result<Option<Ended>> {
        let Ok(info) = info(document) else {
            return Ok(None);
        };
        // By its `_id`, for its session id may be cycled meanwhile.
        let id = document.get_object_id("_id").ok();
        let filter = schema::with_live(doc! { "_id": id, "owner": owner.as_str() });
        let delete = self.commands.link.collection.delete_one(filter);
        let deleted = self
            .commands
            .link
            .run("destroy_owned_by", async { delete.await })
            .await?;
        Ok((deleted.deleted_count > 0).then(|| schema::ended(info)))
    }
}

/// A document that can't be read costs only its own reader.
fn readable(documents: &[RawDocumentBuf]) -> Vec<SessionInfo> {
    documents
        .iter()
        .filter_map(|document| info(document).ok())
        .collect()
}

fn info(document: &RawDocument) -> Result<SessionInfo> {
    Found::new(document)?.info()
}
