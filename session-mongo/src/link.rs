//! How commands are sent: within a time limit, some of them a second time.

use std::sync::Arc;
use std::time::Duration;

use futures_util::TryStreamExt;
use mongodb::bson::{Bson, Document, doc};
use session_core::{Error, Result, within};

use crate::client::{Connected, Route};
use crate::error::{from_mongo, is_refusal, is_undone, is_worth_repeating, may_be_second};

/// How many documents one command clears.
const CLEARED_AT_ONCE: usize = 10_000;

#[derive(Clone, Debug)]
pub(crate) struct Link {
    pub(crate) route: Arc<Route>,
    pub(crate) collection: Arc<str>,
    pub(crate) timeout: Duration,
}

/// An answer, and what was sent before it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sent<T> {
    pub(crate) answer: T,
    /// Whether an earlier sending got no answer that could be used: it may have been done.
    pub(crate) before: bool,
}

impl Link {
    pub(crate) fn new(route: Route, collection: &str, timeout: Duration) -> Self {
        Self {
            route: Arc::new(route),
            collection: collection.into(),
            timeout,
        }
    }

    /// The name of the database.
    pub(crate) fn database(&self) -> String {
        self.route.connected().database.name().to_owned()
    }

    /// Runs one command within the time limit, a second time if the server refuses it: another may be
    /// the primary by now.
    pub(crate) async fn run<R, C>(
        &self,
        operation: &'static str,
        send: impl FnOnce(Arc<Connected>) -> C + Clone,
    ) -> Result<R>
    where
        C: Future<Output = mongodb::error::Result<R>>,
    {
        let sent = self.run_unless_done(operation, send).await?;
        Ok(sent.answer)
    }

    /// The same for a command that is not harmless to repeat, if an earlier sending was done after
    /// all: the answer says whether one may have been.
    pub(crate) async fn run_unless_done<R, C>(
        &self,
        operation: &'static str,
        send: impl FnOnce(Arc<Connected>) -> C + Clone,
    ) -> Result<Sent<R>>
    where
        C: Future<Output = mongodb::error::Result<R>>,
    {
        let command = async {
            let (answer, before) = match self.send(send.clone()).await {
                Err(error) if is_undone(&error) => (self.send(send).await, may_be_second(&error)),
                first => (first, false),
            };
            Ok(Sent {
                answer: answer?,
                before,
            })
        };
        self.within(operation, command).await
    }

    /// Runs a command that is harmless to repeat, a second time if it fails for a reason that
    /// passes, both within the time limit. The driver itself repeats only commands that it has put
    /// together, and of those no write on a server without a replica set.
    pub(crate) async fn run_twice<R, C>(
        &self,
        operation: &'static str,
        send: impl Fn(Arc<Connected>) -> C,
    ) -> Result<Sent<R>>
    where
        C: Future<Output = mongodb::error::Result<R>>,
    {
        let command = async {
            let (answer, before) = match self.send(&send).await {
                Err(error) if is_worth_repeating(operation, &error) => {
                    (self.send(&send).await, true)
                }
                first => (first, false),
            };
            Ok(Sent {
                answer: answer?,
                before,
            })
        };
        self.within(operation, command).await
    }

    async fn send<R, C>(&self, send: impl FnOnce(Arc<Connected>) -> C) -> mongodb::error::Result<R>
    where
        C: Future<Output = mongodb::error::Result<R>>,
    {
        let to = self.route.connected();
        let answer = send(Arc::clone(&to)).await;
        if answer.as_ref().is_err_and(is_refusal) {
            to.note_refusal();
        }
        answer
    }

    async fn within<R>(
        &self,
        operation: &'static str,
        command: impl Future<Output = mongodb::error::Result<R>>,
    ) -> Result<R> {
        let limited = within(operation, self.timeout, async { Ok(command.await) }).await;
        let answer = limited.map_err(|error| self.named(error))?;
        answer.map_err(|error| from_mongo(operation, self.route.place(), &error))
    }

    /// An error that core has made, which does not know of which store: the deadline's.
    pub(crate) fn named(&self, error: Error) -> Error {
        match error {
            Error::Timeout { operation, source } if !source.to_string().starts_with("MongoDB") => {
                Error::timeout(operation, format!("{}: {source}", self.route.place()))
            }
            other => other,
        }
    }

    /// The `_id`s of up to `limit` of the documents that `filter` matches.
    pub(crate) async fn ids(
        &self,
        operation: &'static str,
        filter: Document,
        limit: usize,
    ) -> Result<Vec<Bson>> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let found = self.run(operation, |to| async move {
            let documents = to.documents();
            let find = documents.find(filter).projection(doc! { "_id": 1 });
            find.limit(limit).await?.try_collect::<Vec<_>>().await
        });
        Ok(ids(found.await?))
    }

    /// Removes the documents that `filter` matches, in as many commands as it takes for each to be
    /// short.
    pub(crate) async fn clear(&self, filter: Document) -> Result<u64> {
        let found = self.run("clear", |to| async move {
            let documents = to.documents();
            let find = documents.find(filter).projection(doc! { "_id": 1 });
            let found = find.batch_size(CLEARED_AT_ONCE as u32).await?;
            Ok((found, to))
        });
        // The cursor ends with its client.
        let (found, _client) = found.await?;
        let mut parts = found.try_chunks(CLEARED_AT_ONCE);
        let mut cleared = 0;
        loop {
            let part = async { parts.try_next().await.map_err(|error| error.1) };
            // Only its own server knows the cursor.
            let Some(part) = self.within("clear", part).await? else {
                return Ok(cleared);
            };
            let deleted = self.run("clear", |to| async move {
                let these = doc! { "_id": { "$in": ids(part) } };
                to.collection.delete_many(these).await
            });
            cleared += deleted.await?.deleted_count;
        }
    }
}

fn ids(documents: Vec<Document>) -> Vec<Bson> {
    let id = |mut document: Document| document.remove("_id");
    documents.into_iter().filter_map(id).collect()
}
