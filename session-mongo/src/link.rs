//! A collection, and how long a command on it may take.

use std::time::Duration;

use futures_util::TryStreamExt;
use mongodb::Collection;
use mongodb::bson::{Bson, Document, doc};
use session_core::{Result, within};

use crate::error::from_mongo;

/// How many documents one command clears.
const CLEARED_AT_ONCE: usize = 10_000;

#[derive(Clone, Debug)]
pub(crate) struct Link<T: Send + Sync> {
    pub(crate) collection: Collection<T>,
    pub(crate) timeout: Duration,
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
            let ids: Vec<Bson> = part
                .into_iter()
                .filter_map(|mut document| document.remove("_id"))
                .collect();
            let delete = collection.delete_many(doc! { "_id": { "$in": ids } });
            let deleted = self.run("clear", async { delete.await }).await?;
            cleared += deleted.deleted_count;
        }
    }
}
