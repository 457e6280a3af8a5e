//! The operations: each has a command for one session, and one for a batch.
//!
//! Destroys are sent individually, because a `delete` of several documents answers only how many
//! there were.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use futures_util::stream::{self, StreamExt};
use mongodb::Namespace;
use session_core::backend::{
    Backend, BatchLimits, Call, Create, Destroy, Policy, Save, Setup, Store, Touch,
};
use session_core::{
    Capabilities, Cursor, Ended, Inspection, NoticeStream, Owner, Page, Record, Result, Saved,
    SessionId, Ttl,
};

use crate::client::MongoClient;
use crate::{
    MongoStoreBuilder, check, command, directory, inspection, migrate, notices, schema, statement,
};

/// Measured: `docs/performance.md`. From three callers on, one query for all is faster.
const LOAD_LIMITS: BatchLimits = limits(2, 2);
const WRITE_LIMITS: BatchLimits = limits(4, 2);
/// One more, because the server can execute a statement while it waits for its journal.
const SAVE_LIMITS: BatchLimits = limits(4, 3);

const fn limits(unbatched: usize, in_flight: usize) -> BatchLimits {
    BatchLimits::new(unbatched, in_flight).with_bytes(1024 * 1024)
}

/// How often a command is repeated for each cause.
pub(crate) const REPEATS: u32 = 1;

/// How many operations of a batch may be in flight when they are sent individually.
const MAX_IN_FLIGHT: usize = 16;

/// A store of sessions in one MongoDB collection. Clones share the client.
///
/// [`connect`](Store::connect) and [`builder`](Store::builder) set one up.
pub type MongoStore = Store<MongoBackend>;

/// The backend of a [`MongoStore`].
pub struct MongoBackend {
    namespace: Namespace,
    policy: Policy,
    /// In seconds; that of the TTL index once it is known.
    expiry_grace: AtomicU64,
}

impl MongoBackend {
    pub(crate) fn new(namespace: Namespace, options: &MongoStoreBuilder) -> Self {
        let policy = Policy::new(options.timeout, options.max_data)
            .with_circuit_breaker(options.circuit_breaker)
            .with_repeats(REPEATS)
            .with_create(WRITE_LIMITS)
            .with_load(LOAD_LIMITS)
            .with_save(SAVE_LIMITS)
            .with_touch(WRITE_LIMITS);
        Self {
            namespace,
            policy,
            expiry_grace: AtomicU64::new(schema::whole_seconds(options.expiry_grace)),
        }
    }

    fn expiry_grace(&self) -> Duration {
        Duration::from_secs(self.expiry_grace.load(Relaxed))
    }

    fn set_expiry_grace(&self, grace: Duration) {
        let seconds = schema::whole_seconds(grace);
        self.expiry_grace.store(seconds, Relaxed);
    }

    /// Checks the user's rights and, unless the store `migrates` afterwards, the collection, and
    /// takes over the grace of its TTL index.
    pub(crate) async fn check(&self, call: &Call<MongoClient>, migrates: bool) -> Result<()> {
        if migrates {
            let rights = [&check::USE_RIGHTS[..], &check::SETUP_RIGHTS].concat();
            return check::rights(call, &self.namespace, &rights).await;
        }
        check::rights(call, &self.namespace, &check::USE_RIGHTS).await?;
        let indexes = check::collection(call, &self.namespace, &migrate::LAYOUT, false).await?;
        if let Some(grace) = migrate::grace(&indexes.unwrap_or_default()) {
            self.set_expiry_grace(grace);
        }
        Ok(())
    }
}

impl Backend for MongoBackend {
    type Client = MongoClient;

    const NAME: &'static str = "mongodb";
    const HAS_DIRECTORY: bool = true;

    fn policy(&self) -> Policy {
        self.policy
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::new()
            .with_expiry_reports(!self.expiry_grace().is_zero())
            .with_descriptions(true)
            .with_keeps_past(true)
    }

    async fn create(
        &self,
        call: &Call<MongoClient>,
        creates: &[Create],
    ) -> Result<Vec<Result<Saved>>> {
        let mut is_pending = vec![true; creates.len()];
        let mut is_repeated = false;
        if creates.len() > 1 {
            match command::update(call, || statement::creates(creates)).await {
                Ok(sent) => {
                    is_repeated = sent.is_repeated;
                    is_pending.fill(false);
                    // An expired session has that id, or a live one.
                    for index in sent.answer.duplicates {
                        is_pending[index] = true;
                    }
                }
                Err(error) if error.is_temporary() => return Err(error),
                // Some of them may have been executed.
                Err(_) => is_repeated = true,
            }
        }
        let mut answers = Vec::with_capacity(creates.len());
        for (Create { id, draft, .. }, is_pending) in creates.iter().zip(is_pending) {
            answers.push(async move {
                if !is_pending {
                    return Ok(Saved::done(draft));
                }
                let saved = command::create(call, id, draft).await?;
                Ok(saved.after(is_repeated))
            });
        }
        Ok(stream::iter(answers)
            .buffered(MAX_IN_FLIGHT)
            .collect()
            .await)
    }

    async fn load(
        &self,
        call: &Call<MongoClient>,
        ids: &[SessionId],
    ) -> Result<Vec<Result<Option<Record>>>> {
        command::find_live(call, ids.iter(), &statement::RECORD_FIELDS, |found| {
            found.record()
        })
        .await
    }

    async fn save(&self, call: &Call<MongoClient>, saves: &[Save]) -> Result<Vec<Result<Saved>>> {
        match save(call, saves, false).await {
            // Sent individually, each save gets its own error. The store would do that too, but it
            // does not know that some saves may have been executed.
            Err(error) if saves.len() > 1 && !error.is_temporary() => {
                let mut answers = Vec::with_capacity(saves.len());
                for one in saves.chunks(1) {
                    answers.push(async move {
                        let saved = save(call, one, true).await?.pop();
                        saved.unwrap_or(Ok(Saved::Unknown))
                    });
                }
                Ok(stream::iter(answers)
                    .buffered(MAX_IN_FLIGHT)
                    .collect()
                    .await)
            }
            saved => saved,
        }
    }

    async fn touch(
        &self,
        call: &Call<MongoClient>,
        touches: &[Touch],
    ) -> Result<Vec<Result<Option<Ttl>>>> {
        if let [Touch { id, idle, .. }] = touches {
            return Ok(vec![command::touch(call, id, *idle).await]);
        }
        command::update(call, || statement::touches(touches)).await?;
        let ids = touches.iter().map(|touch| &touch.id);
        command::find_live(call, ids, &statement::BRIEF_FIELDS, |found| found.ttl()).await
    }

    async fn destroy(
        &self,
        call: &Call<MongoClient>,
        destroys: &[Destroy],
    ) -> Result<Vec<Result<Option<Ended>>>> {
        let mut answers = Vec::with_capacity(destroys.len());
        for Destroy { id, expected, .. } in destroys {
            answers.push(command::destroy(call, id, expected.as_ref()));
        }
        Ok(stream::iter(answers)
            .buffered(MAX_IN_FLIGHT)
            .collect()
            .await)
    }

    fn notices(&self, call: Call<MongoClient>) -> Option<NoticeStream> {
        Some(notices::listen(call))
    }

    /// Creates the owner index and the TTL index, or changes the
    /// [`expiry_grace`](MongoStoreBuilder::expiry_grace) of the TTL index. Up to four round trips,
    /// one more if the grace changes. Needs the rights `createIndex` and `listIndexes` on the
    /// collection and `listCollections` on the database; to change the grace also `collMod`,
    /// without which the old grace stays and a warning is logged.
    async fn migrate(&self, call: &Call<MongoClient>) -> Result<()> {
        let grace = migrate::run(call, &self.namespace, self.expiry_grace()).await?;
        self.set_expiry_grace(grace);
        Ok(())
    }

    async fn inspection(&self, call: &Call<MongoClient>) -> Result<Inspection> {
        inspection::run(call, self.expiry_grace()).await
    }

    /// Drops the collection.
    async fn remove(&self, call: &Call<MongoClient>) -> Result<()> {
        let dropped =
            command::send_idempotent(call, |to| async move { to.collection.drop().await });
        dropped.await.map(|_| ())
    }

    async fn count(&self, call: &Call<MongoClient>) -> Result<u64> {
        directory::count(call).await
    }

    async fn list(
        &self,
        call: &Call<MongoClient>,
        cursor: Option<&Cursor>,
        limit: usize,
    ) -> Result<Page> {
        directory::list(call, cursor, limit).await
    }

    async fn owned_by(
        &self,
        call: &Call<MongoClient>,
        owner: &Owner,
        cursor: Option<&Cursor>,
        limit: usize,
    ) -> Result<Page> {
        directory::owned_by(call, owner, cursor, limit).await
    }

    async fn destroy_owned_by(
        &self,
        call: &Call<MongoClient>,
        owner: &Owner,
        except: Option<&SessionId>,
        limit: usize,
    ) -> Result<Vec<Ended>> {
        directory::destroy_owned_by(call, owner, except, limit).await
    }

    async fn clear(&self, call: &Call<MongoClient>) -> Result<u64> {
        directory::clear(call, schema::of_this_layout).await
    }

    async fn reap(&self, call: &Call<MongoClient>, limit: usize) -> Result<Vec<Ended>> {
        directory::reap(call, limit).await
    }

    async fn confirm_reaped(&self, call: &Call<MongoClient>, reaped: &[Ended]) -> Result<()> {
        directory::confirm_reaped(call, reaped).await
    }
}

impl Setup for MongoBackend {
    type Builder = MongoStoreBuilder;

    async fn connect(builder: MongoStoreBuilder, url: &str) -> Result<MongoStore> {
        builder.connect(url).await
    }
}

/// Saves sessions. With `is_repeated`, an earlier attempt may have been executed.
async fn save(
    call: &Call<MongoClient>,
    saves: &[Save],
    is_repeated: bool,
) -> Result<Vec<Result<Saved>>> {
    let sent = command::update(call, || statement::saves(saves)).await?;
    let matched = sent.answer.matched;
    if matched == saves.len() as u64 {
        let done = saves.iter().map(|save| Ok(Saved::done(&save.draft)));
        return Ok(done.collect());
    }
    let is_repeated = is_repeated || sent.is_repeated;
    let ids = saves.iter().map(|save| &save.id);
    let stamps =
        command::find_live(call, ids, &statement::BRIEF_FIELDS, |found| found.stamp()).await?;
    let drafts = saves.iter().map(|save| &save.draft);
    Ok(Saved::of_batch(drafts, stamps, matched, is_repeated))
}

impl fmt::Debug for MongoBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MongoBackend")
            .field("collection", &self.namespace.coll)
            .field("timeout", &self.policy.timeout)
            .field("expiry_grace", &self.expiry_grace())
            .finish_non_exhaustive()
    }
}
