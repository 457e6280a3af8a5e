//! A collection, and how long a command on it may take.

use std::time::Duration;

use futures_util::TryStreamExt;
use mongodb::Collection;
use mongodb::bson::{Bson, Document, doc};
use session_core::{Result, within};

use crate::error::{from_mongo, is_worth_repeating};

/// How many documents one command clears.
const CLEARED_AT_ONCE: usize = 10_000;

#[derive(Clone, Debug)]
pub(crate) struct Link<T: Send + Sync> {
    pub(crate) collection: Collection<T>,
    pub(crate) timeout: Duration,
}

/// An answer, and what was sent before it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sent<T> {
    pub(crate) answer: T,
    /// Whether an earlier sending got no answer that could be used: it may have been done.
    pub(crate) before: bool,
}

impl<T: Send + Sync> Link<T> {
    /// Runs one command within the time limit.
    pub(crate) async fn run<R>(
        &self,
        operation: &'static str,
        command: impl Future<Output = mongodb::error::Result<R>>,
    ) -> Result<R> {
        let command = async { command.await.map_err(|error| from_mongo(operation, &error)) };
        within(operation, self.timeout, command).await
    }

    /// Runs a command that is harmless to repeat, a second time if it fails for a reason that
    /// passes, both within the time limit. The driver itself repeats only commands that it has put
    /// together, and of those no write on a server without a replica set.
    pub(crate) async fn run_twice<R, C>(
        &self,
        operation: &'static str,
        send: impl Fn() -> C,
    ) -> Result<Sent<R>>
    where
        C: Future<Output = mongodb::error::Result<R>>,
    {
        let command = async {
            let (answer, before) = match send().await {
                Err(error) if is_worth_repeating(operation, &error) => (send().await, true),
                first => (first, false),
            };
            let answer = answer.map_err(|error| from_mongo(operation, &error))?;
            Ok(Sent { answer, before })
        };
        within(operation, self.timeout, command).await
    }

    /// The `_id`s of up to `limit` of the documents that `filter` matches.
    pub(crate) async fn ids(
        &self,
        operation: &'static str,
        filter: Document,
        limit: usize,
    ) -> Result<Vec<Bson>> {
        let collection = self.collection.clone_with_type::<Document>();
        let find = collection.find(filter).projection(doc! { "_id": 1 });
        let find = find.limit(i64::try_from(limit).unwrap_or(i64::MAX));
        let found = async { find.await?.try_collect::<Vec<_>>().await };
        Ok(ids(self.run(operation, found).await?))
    }

    /// Removes all documents, in as many commands as it takes for each to be short.
    pub(crate) async fn clear(&self) -> Result<u64> {
        let collection = self.collection.clone_with_type::<Document>();
        let find = collection.find(doc! {}).projection(doc! { "_id": 1 });
        let find = find.batch_size(CLEARED_AT_ONCE as u32);
        let found = self.run("clear", async { find.await }).await?;
        let mut parts = found.try_chunks(CLEARED_AT_ONCE);
        let mut cleared = 0;
        loop {
            let part = async { parts.try_next().await.map_err(|error| error.1) };
            let Some(part) = self.run("clear", part).await? else {
                return Ok(cleared);
            };
            let delete = collection.delete_many(doc! { "_id": { "$in": ids(part) } });
            let deleted = self.run("clear", async { delete.await }).await?;
            cleared += deleted.deleted_count;
        }
    }
}

fn ids(documents: Vec<Document>) -> Vec<Bson> {
    let id = |mut document: Document| document.remove("_id");
    documents.into_iter().filter_map(id).collect()
}
