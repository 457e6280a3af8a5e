//! The operations: each in the lane of its server.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use futures_util::future::join_all;
use session_core::backend::{
    Backend, BatchLimits, Call, Create, Destroy, Operation, Policy, Save, Setup, Store, Touch,
    one_by_one,
};
use session_core::{
    Anchor, Capabilities, Cursor, Ended, Inspection, InvalidationStream, NoticeStream, Owner, Page,
    Record, Result, Saved, SessionId, Ttl, Version,
};

use crate::cluster::{Cluster, Part, slot};
use crate::command::{self, DestroyOutcome, unexpected};
use crate::compare::Compare;
use crate::expiry::{self, ExpiryIndex};
use crate::invalidations::Invalidations;
use crate::keys::Keys;
use crate::lane::Lane;
use crate::notices::Notices;
use crate::route::Route;
use crate::script::Scripts;
use crate::scripted::{Inspected, Scripted};
use crate::{RedisClient, RedisStoreBuilder, check, inspection, rights};

/// Measured: `docs/performance.md`. Batches save the server's cost of a command or script, not
/// round trips: commands are pipelined on one connection anyway, so batches in flight are free.
/// With loads that are only pipelined, 256 callers make 0.66 of the loads a second, and fewer
/// callers 0.95 to 0.98.
const BATCH_LIMITS: BatchLimits = BatchLimits::new(24, 3);
/// In how many queues the batches of a cluster are made: one for each node, if there are not more.
const QUEUES: usize = 32;
/// How often a command is repeated for each cause. A restart has several causes in turn: the
/// connection breaks, is refused, the server loads its data, and then lacks the scripts.
pub(crate) const REPEATS: u32 = 3;

/// A store of sessions in Redis. Clones share the connection.
///
/// [`connect`](Store::connect) and [`builder`](Store::builder) set one up.
///
/// [`migrate`](Store::migrate) checks that the server is version 6.2 or later and that the user may
/// run every command that the store needs; it tries them on a key that nothing else uses. Redis has
/// no schema to create. Two or three round trips. It fails with
/// [`ErrorKind::Misconfigured`](session_core::ErrorKind::Misconfigured) if the server is older,
/// refuses the login, or refuses commands, which the message names.
pub type RedisStore = Store<RedisBackend>;

/// The backend of a [`RedisStore`].
pub struct RedisBackend {
    pub(crate) keys: Keys,
    pub(crate) scripts: Scripts,
    /// An unused key, on which commands are tried.
    pub(crate) scratch: String,
    /// Whether the last server that was met takes scripts.
    pub(crate) takes_scripts: AtomicBool,
    /// Whether the last server that has told its lane compares by its own commands.
    pub(crate) has_compared: AtomicBool,
    pub(crate) is_cluster: bool,
    cluster: Option<Cluster>,
    /// `None` if they are switched off.
    pub(crate) notices: Option<Notices>,
    /// `None` if expiries are not reported.
    pub(crate) expiry: Option<Arc<ExpiryIndex>>,
    /// `None` until the store is set up.
    pub(crate) invalidations: Option<Invalidations>,
    policy: Policy,
}

/// What has become of some sessions that were to be destroyed.
pub(crate) struct Destroyed {
    pub(crate) ended: Vec<Ended>,
    /// How many of the ids were examined, from the first on: it stops at the limit. An error if it
    /// is not known what has become of some.
    pub(crate) examined: Result<usize>,
}

impl RedisBackend {
    /// How the writes of `store` compare what is stored with what they expect: `compare` by the
    /// server's own commands, `scripts` by scripts, as always in a cluster. No round trip while the
    /// connection is open; a new one may lead to a server of the other kind.
    ///
    /// # Errors
    /// Those of connecting.
    pub async fn lane(store: &RedisStore) -> Result<&'static str> {
        let backend = store.backend();
        let lane = |call| async move { command::lane(&call, &backend.scratch).await };
        let is_cluster = backend.is_cluster;
        Ok(match store.by_command(Operation::Connect, lane).await? {
            Lane::Compare { .. } if !is_cluster => "compare",
            _ => "scripts",
        })
    }

    /// `limits` has the time-out and the maximum size.
    pub(crate) fn new(
        keys: Keys,
        scripts: Scripts,
        cluster: Option<Cluster>,
        limits: Policy,
    ) -> Self {
        let policy = limits.with_repeats(REPEATS);
        Self {
            scratch: keys.scratch(),
            keys,
            scripts,
            takes_scripts: AtomicBool::new(cluster.is_some()),
            has_compared: AtomicBool::new(false),
            is_cluster: cluster.is_some(),
            cluster,
            notices: None,
            expiry: None,
            invalidations: None,
            policy: policy.with_load(BATCH_LIMITS).with_save(BATCH_LIMITS),
        }
    }

    /// Saves sessions that are on one node, in the lane of the server; in a cluster by scripts, and
    /// their owner indexes have the entries already.
    async fn save_on(&self, route: Route<'_>, saves: &[Save]) -> Result<Vec<Result<Saved>>> {
        let scripted = Scripted::new(self, route);
        if self.is_cluster {
            return scripted.save(saves, false).await;
        }
        let compared = Compare::new(self, route).save(saves).await?;
        match compared.answer {
            Some(outcomes) => Ok(outcomes),
            None => scripted.save(saves, compared.is_repeated).await,
        }
    }

    /// Saves sessions of a cluster: first the entries of their owner indexes, because an index must
    /// never lack a session that exists. A save whose entry can't be written fails, no other one.
    async fn save_in(
        &self,
        cluster: &Cluster,
        call: &Call<RedisClient>,
        saves: &[Save],
    ) -> Result<Vec<Result<Saved>>> {
        let indexed = self.send_index_entries(call, cluster, saves).await;
        let ready = saves.iter().zip(&indexed);
        let ready = ready.filter(|(_, indexed)| indexed.is_ok());
        let ready: Vec<Save> = ready.map(|(save, _)| save.clone()).collect();
        let parts = Part::split(cluster, &ready, |save| self.keys.session(&save.id));
        let saved = parts
            .iter()
            .map(|part| self.save_on(part.route(call), &part.items));
        let mut saved = Part::answers(&parts, join_all(saved).await)?.into_iter();
        let outcome = |indexed: Result<()>| {
            indexed.and_then(|()| saved.next().unwrap_or_else(|| Err(unexpected())))
        };
        Ok(indexed.into_iter().map(outcome).collect())
    }

    /// Creates sessions in the lane of the server.
    async fn create_all(
        &self,
        call: &Call<RedisClient>,
        creates: &[Create],
    ) -> Result<Vec<Result<Saved>>> {
        let compared = Compare::new(self, call).create(creates).await?;
        if let Some(outcomes) = compared.answer {
            return Ok(outcomes);
        }
        let scripted = Scripted::new(self, call);
        let create = |create| scripted.create(create, compared.is_repeated);
        Ok(one_by_one(creates, create).await)
    }

    /// Enters a save that is done in the expiry index, if it must be. Publishes one that was a
    /// sign-in: streams of an earlier one close.
    fn announce(&self, call: &Call<RedisClient>, save: &Save, saved: &Result<Saved>) {
        if !matches!(saved, Ok(Saved::Done(_))) {
            return;
        }
        if let Some(expiry) = &self.expiry {
            expiry.saved(call, save);
        }
        if let (Anchor::Restart, Some(notices)) = (save.draft.anchor, &self.notices) {
            notices.publish_changed(call, &self.keys, &save.id);
        }
    }

    async fn destroy_one(
        &self,
        call: &Call<RedisClient>,
        destroy: &Destroy,
    ) -> Result<Option<Ended>> {
        let ids = std::slice::from_ref(&destroy.id);
        let mut destroyed = self
            .destroy_ids(call, ids, None, destroy.expected.as_ref(), 1)
            .await?;
        destroyed.examined?;
        Ok(destroyed.ended.pop())
    }

    /// Destroys up to `limit` of the sessions `ids`, which are on one node. With `owner` or
    /// `expected`, only those of this owner or version.
    pub(crate) async fn destroy_ids(
        &self,
        call: &Call<RedisClient>,
        ids: &[SessionId],
        owner: Option<&Owner>,
        expected: Option<&Version>,
        limit: usize,
    ) -> Result<Destroyed> {
        // No more than may be ended: the commands of this lane are sent all at once.
        let first = &ids[..limit.max(1).min(ids.len())];
        let compare = Compare::new(self, call);
        let compared = compare.destroy(first, owner, expected).await?;
        // The script publishes by itself.
        let mut unpublished = None;
        let (outcomes, is_repeated) = match compared.answer {
            Some(outcomes) => {
                unpublished = self.notices.as_ref();
                (outcomes, compared.is_repeated)
            }
            None => {
                let scripted = Scripted::new(self, call);
                let (outcomes, again) = scripted.destroy(ids, owner, expected, limit).await?;
                let outcomes = outcomes.into_iter().map(Ok).collect();
                (outcomes, again || compared.is_repeated)
            }
        };
        let examined = outcomes.len();
        let mut failed = None;
        let ended = outcomes
            .into_iter()
            .zip(ids)
            .filter_map(|(outcome, id)| match outcome {
                Ok(DestroyOutcome::Done(ended)) => Some(ended),
                // An earlier attempt may have destroyed it.
                Ok(DestroyOutcome::Absent) if is_repeated => Some(Ended::unknown(id.clone())),
                Ok(DestroyOutcome::Absent | DestroyOutcome::Mismatch) => None,
                Err(error) => {
                    failed = Some(error);
                    None
                }
            });
        let ended: Vec<Ended> = ended.collect();
        // All sessions have one owner.
        if let Some(owner) = ended.iter().find_map(|ended| ended.owner.as_ref()) {
            let known = ended.iter().filter(|ended| ended.owner.is_some());
            self.remove_from_owner_index(call, owner, known.map(|ended| &ended.id));
        }
        if let (Some(notices), false) = (unpublished, ended.is_empty()) {
            notices.publish_ended(call, &self.keys, &ended);
        }
        if let Some(expiry) = &self.expiry {
            expiry.remove(call, ended.iter().map(|ended| &ended.id));
        }
        Ok(Destroyed {
            ended,
            examined: failed.map_or(Ok(examined), Err),
        })
    }

    /// Reads a session without its data. Returns it with the size of the data in bytes and the
    /// server's time in milliseconds.
    pub(crate) async fn inspect(
        &self,
        call: &Call<RedisClient>,
        id: &SessionId,
    ) -> Result<Option<Inspected>> {
        match Compare::new(self, call).inspect(id).await?.answer {
            Some(inspected) => Ok(inspected),
            None => Scripted::new(self, call).inspect(id).await,
        }
    }
}

impl Backend for RedisBackend {
    type Client = RedisClient;
    const NAME: &'static str = "redis";
    const HAS_DIRECTORY: bool = true;

    fn policy(&self) -> Policy {
        self.policy
    }

    fn capabilities(&self) -> Capabilities {
        let reports = self.expiry.is_some();
        Capabilities::new()
            .with_descriptions(true)
            .with_keeps_past(true)
            .with_expiry_reports(reports)
            .with_needs_reaper(reports)
    }

    fn queues(&self) -> usize {
        if self.is_cluster { QUEUES } else { 1 }
    }

    fn queue_of(&self, id: &SessionId) -> usize {
        let Some(cluster) = &self.cluster else {
            return 0;
        };
        let slot = slot::of_key(self.keys.session(id).as_bytes());
        cluster.number_of(slot) % QUEUES
    }

    async fn create(
        &self,
        call: &Call<RedisClient>,
        creates: &[Create],
    ) -> Result<Vec<Result<Saved>>> {
        let created = self.create_all(call, creates).await;
        if let Some(expiry) = &self.expiry {
            expiry.created(call, creates, &created);
        }
        created
    }

    async fn load(
        &self,
        call: &Call<RedisClient>,
        ids: &[SessionId],
    ) -> Result<Vec<Result<Option<Record>>>> {
        let Some(cluster) = &self.cluster else {
            return self.load_on(call.into(), ids).await;
        };
        let parts = Part::split(cluster, ids, |id| self.keys.session(id));
        let loads = parts
            .iter()
            .map(|part| self.load_on(part.route(call), &part.items));
        let loads = join_all(loads).await;
        Part::answers(&parts, loads)
    }

    async fn save(&self, call: &Call<RedisClient>, saves: &[Save]) -> Result<Vec<Result<Saved>>> {
        let outcomes = match &self.cluster {
            None => self.save_on(call.into(), saves).await?,
            Some(cluster) => self.save_in(cluster, call, saves).await?,
        };
        for (save, saved) in saves.iter().zip(&outcomes) {
            self.announce(call, save, saved);
        }
        Ok(outcomes)
    }

    async fn touch(
        &self,
        call: &Call<RedisClient>,
        touches: &[Touch],
    ) -> Result<Vec<Result<Option<Ttl>>>> {
        if let Some(outcomes) = Compare::new(self, call).touch(touches).await?.answer {
            return Ok(outcomes);
        }
        let scripted = Scripted::new(self, call);
        Ok(one_by_one(touches, |touch| scripted.touch(touch)).await)
    }

    async fn destroy(
        &self,
        call: &Call<RedisClient>,
        destroys: &[Destroy],
    ) -> Result<Vec<Result<Option<Ended>>>> {
        Ok(one_by_one(destroys, |destroy| self.destroy_one(call, destroy)).await)
    }

    /// Listens on a connection of its own; `None` where the store was given a `ConnectionManager`,
    /// or [notices](RedisStoreBuilder::notices) are switched off.
    fn notices(&self, call: Call<RedisClient>) -> Option<NoticeStream> {
        self.notices.as_ref()?.listen(call)
    }

    /// Tracks the keys of the sessions on a connection of its own; `None` in a cluster, for a
    /// `ConnectionManager`, and for a client that does not use RESP3.
    fn invalidations(
        &self,
        call: Call<RedisClient>,
        silence: Duration,
    ) -> Option<InvalidationStream> {
        self.invalidations.as_ref()?.listen(call, silence)
    }

    async fn migrate(&self, call: &Call<RedisClient>) -> Result<()> {
        check::native_rights(call, &self.scratch).await?;
        match self.expiry {
            Some(_) => rights::check(call, &self.scratch, expiry::COMMANDS).await,
            None => Ok(()),
        }
    }

    /// Scans all keys of the database, so the time grows with their number.
    async fn inspection(&self, call: &Call<RedisClient>) -> Result<Inspection> {
        inspection::run(self, call).await
    }

    async fn count(&self, call: &Call<RedisClient>) -> Result<u64> {
        self.directory(call).count().await
    }

    /// Scans part of the database. A page may be empty although more pages follow.
    async fn list(
        &self,
        call: &Call<RedisClient>,
        cursor: Option<&Cursor>,
        limit: usize,
    ) -> Result<Page> {
        self.directory(call).list(cursor, limit).await
    }

    /// Reads part of the owner index. A page may be empty although more pages follow. One round
    /// trip for the index, and one for each session in the page, up to 64 at a time.
    async fn owned_by(
        &self,
        call: &Call<RedisClient>,
        owner: &Owner,
        cursor: Option<&Cursor>,
        limit: usize,
    ) -> Result<Page> {
        self.directory(call).owned_by(owner, cursor, limit).await
    }

    /// Reads the owner index until `limit` sessions are destroyed. One round trip for each 1,000
    /// ids in the index, and one for the sessions of these, which are destroyed in batches of 128;
    /// in a cluster one for each id, up to 64 at a time.
    ///
    /// If an error occurs after some sessions were destroyed, it returns those.
    async fn destroy_owned_by(
        &self,
        call: &Call<RedisClient>,
        owner: &Owner,
        except: Option<&SessionId>,
        limit: usize,
    ) -> Result<Vec<Ended>> {
        let directory = self.directory(call);
        directory.destroy_owned_by(owner, except, limit).await
    }

    async fn clear(&self, call: &Call<RedisClient>) -> Result<u64> {
        let cleared = self.directory(call).clear().await;
        if let Some(notices) = &self.notices {
            notices.publish_cleared(call);
        }
        cleared
    }

    async fn remove(&self, call: &Call<RedisClient>) -> Result<()> {
        self.directory(call).remove().await
    }

    /// Claims expired sessions in the [expiry index](RedisStoreBuilder::expiry_reports): one round
    /// trip for each of its 16 shards, and three for up to 500 sessions of one. Without the index it
    /// does nothing: Redis removes expired sessions itself.
    async fn reap(&self, call: &Call<RedisClient>, limit: usize) -> Result<Vec<Ended>> {
        match &self.expiry {
            Some(expiry) => expiry.reap(call, self.is_cluster, limit).await,
            None => Ok(Vec::new()),
        }
    }

    async fn confirm_reaped(&self, call: &Call<RedisClient>, reaped: &[Ended]) -> Result<()> {
        match &self.expiry {
            Some(expiry) => expiry.confirm(call, reaped).await,
            None => Ok(()),
        }
    }
}

impl Setup for RedisBackend {
    type Builder = RedisStoreBuilder;

    async fn connect(builder: RedisStoreBuilder, url: &str) -> Result<RedisStore> {
        builder.connect(url).await
    }
}

impl fmt::Debug for RedisBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisBackend")
            .field("keys", &self.keys)
            .field("is_cluster", &self.is_cluster)
            .finish_non_exhaustive()
    }
}
