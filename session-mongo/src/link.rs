//! How the layout of connect-mongo sends commands, until it has a store of the seam's.

use std::time::Duration;

use mongodb::bson::{Bson, Document};
use session_core::Result;
use session_core::backend::{Call, Operation, Sent};

use crate::connector::MongoClient;
use crate::{MongoStore, command, directory};

#[derive(Clone, Debug)]
pub(crate) struct Link {
    pub(crate) store: MongoStore,
    pub(crate) collection: String,
    pub(crate) timeout: Duration,
    pub(crate) place: String,
}

impl Link {
    pub(crate) async fn call<T, W>(
        &self,
        operation: &'static str,
        work: impl FnOnce(Call<MongoClient>) -> W,
    ) -> Result<T>
    where
        W: Future<Output = Result<T>>,
    {
        let mut all = Operation::ALL.into_iter();
        let operation = all.find(|other| other.as_str() == operation);
        let operation = operation.unwrap_or(Operation::Save);
        self.store.by_command(operation, work).await
    }

    pub(crate) async fn run<R, C>(
        &self,
        operation: &'static str,
        send: impl FnOnce(MongoClient) -> C + Clone,
    ) -> Result<R>
    where
        C: Future<Output = mongodb::error::Result<R>>,
    {
        let sent = self.run_unless_done(operation, send).await?;
        Ok(sent.answer)
    }

    pub(crate) async fn run_unless_done<R, C>(
        &self,
        operation: &'static str,
        send: impl FnOnce(MongoClient) -> C + Clone,
    ) -> Result<Sent<R>>
    where
        C: Future<Output = mongodb::error::Result<R>>,
    {
        let work = |call| async move { command::send(&call, send).await };
        self.call(operation, work).await
    }

    pub(crate) async fn run_twice<R, C>(
        &self,
        operation: &'static str,
        send: impl FnOnce(MongoClient) -> C + Clone,
    ) -> Result<Sent<R>>
    where
        C: Future<Output = mongodb::error::Result<R>>,
    {
        let work = |call| async move { command::send_idempotent(&call, send).await };
        self.call(operation, work).await
    }

    pub(crate) async fn ids(
        &self,
        operation: &'static str,
        filter: Document,
        limit: usize,
    ) -> Result<Vec<Bson>> {
        let filter = &filter;
        let work = |call| async move { directory::find_ids(&call, filter, None, limit).await };
        self.call(operation, work).await
    }

    pub(crate) async fn clear(&self, filter: fn() -> Document) -> Result<u64> {
        let work = |call| async move { directory::clear(&call, filter).await };
        self.call("clear", work).await
    }
}
