//! The operations: each sends a command or a script.

use std::fmt;
use std::time::{Duration, Instant};

use bytes::Bytes;
use redis::{Cmd, Pipeline, Value};
use session_core::backend::{
    Backend, BatchLimits, Call, Create, Destroy, Policy, Save, Setup, Store, Touch, one_by_one,
};
use session_core::{
    Anchor, Capabilities, Cursor, Ended, Error, NoticeStream, Owner, Page, Record, Result, Saved,
    SessionId, Ttl, Version,
};

use crate::clock::{Clock, Reading};
use crate::command::{
    DestroyOutcome, add_draft, convert, corrupt, eval, last_two, parse_answer, saved, send,
    send_all, unexpected,
};
use crate::keys::Keys;
use crate::notices::Notices;
use crate::record::{StoredSession, millis, read_owner};
use crate::save_many::SaveGroup;
use crate::script::{Code, Scripts};
use crate::{RedisClient, RedisStoreBuilder, check};

/// Measured: `docs/performance.md`. Batches save the server's cost of a command or script, not
/// round trips: commands are pipelined on one connection anyway, so batches in flight are free.
/// With loads that are only pipelined, 256 callers make 0.66 of the loads a second, and fewer
/// callers 0.95 to 0.98.
const BATCH_LIMITS: BatchLimits = BatchLimits::new(24, 3).with_queued(100_000);
/// How often a command is repeated for each cause. A restart has several causes in turn: the
/// connection breaks, is refused, the server loads its data, and then lacks the scripts.
pub(crate) const REPEATS: u32 = 3;
/// How often a touch is sent while other requests change the session's owner.
const TOUCH_ATTEMPTS: u32 = 4;

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
    pub(crate) is_cluster: bool,
    /// `None` if they are switched off.
    pub(crate) notices: Option<Notices>,
    clock: Clock,
    policy: Policy,
}

/// What one call of the destroy script has done.
pub(crate) struct Destroyed {
    pub(crate) ended: Vec<Ended>,
    /// How many of the ids the script has examined: it stops at the limit.
    pub(crate) examined: usize,
}

impl RedisBackend {
    /// `limits` has the time-out and the maximum size.
    pub(crate) fn new(keys: Keys, is_cluster: bool, limits: Policy) -> Self {
        let mut policy = limits.with_repeats(REPEATS);
        // The keys of a batch would be on different nodes of a cluster.
        if !is_cluster {
            policy = policy.with_load(BATCH_LIMITS).with_save(BATCH_LIMITS);
        }
        Self {
            keys,
            scripts: Scripts::new(),
            is_cluster,
            notices: None,
            clock: Clock::default(),
            policy,
        }
    }

    async fn create_one(&self, call: &Call<RedisClient>, create: &Create) -> Result<Saved> {
        let Create { id, draft, .. } = create;
        let mut command = eval(&self.scripts.create, &[self.keys.session(id)]);
        add_draft(&mut command, draft);
        let index = self.owner_index_entry(id, draft);
        let sent = self.send_indexed(call, index, command).await?;
        let (code, _) = parse_answer(sent.answer)?;
        Ok(saved(code, draft)?.after(sent.is_repeated))
    }

    /// Computes the server's time from the key's remaining time: in a cluster `TIME` may be
    /// answered by another node.
    async fn load_in_cluster(
        &self,
        call: &Call<RedisClient>,
        id: &SessionId,
    ) -> Result<Option<Record>> {
        let key = self.keys.session(id);
        let mut commands = Pipeline::with_capacity(2);
        commands.get(&key).pttl(&key);
        let sent = send_all(call, &commands).await?;
        let (value, left): (Option<Vec<u8>>, i64) = last_two(sent.answer)?;
        let Some(value) = value else {
            return Ok(None);
        };
        let session = StoredSession::decode(Bytes::from(value))?;
        let now = match (session.deadline, u64::try_from(left)) {
            // The key expires a millisecond before the deadline, see the scripts.
            (Some(deadline), Ok(left)) => deadline.saturating_sub(left + 1),
            // The key expired, or its expiry was removed, between the two commands.
            (Some(_), Err(_)) if left == -2 => return Ok(None),
            _ => match self.inspect(call, id).await? {
                Some((_, _, now)) => now,
                None => return Ok(None),
            },
        };
        Ok(Some(session.into_record(now)))
    }

    /// The command that reads `ids` from one server.
    fn get(&self, ids: &[SessionId]) -> Cmd {
        let length: usize = ids.iter().map(|id| self.keys.session_length(id)).sum();
        let mut get = Cmd::with_capacity(1 + ids.len(), 4 + length);
        get.arg(if ids.len() == 1 { "GET" } else { "MGET" });
        let mut key = String::new();
        for id in ids {
            self.keys.write_session(id, &mut key);
            get.arg(&key);
        }
        get
    }

    /// Sends `get`. Returns its answer and the server's time in milliseconds.
    async fn get_with_time(&self, call: &Call<RedisClient>, get: Cmd) -> Result<(Value, u64)> {
        if let Some(reading) = self.clock.reading() {
            let sent = send(call, &get).await?;
            return Ok((sent.answer, reading.now()));
        }
        let mut commands = Pipeline::with_capacity(2);
        commands.add_command(get).cmd("TIME");
        let requested = Instant::now();
        let mut answers = send_all(call, &commands).await?.answer;
        let reading = Reading::new(convert(answers.pop())?, requested);
        self.clock.set(reading);
        let answer = answers.pop().ok_or_else(unexpected)?;
        Ok((answer, reading.reported()))
    }

    async fn save_in_cluster(&self, call: &Call<RedisClient>, save: &Save) -> Result<Saved> {
        let group = SaveGroup::single(save);
        let saves = std::slice::from_ref(save);
        let command = group.command(&self.scripts.save, saves, &self.keys);
        let index = self.owner_index_entry(&save.id, &save.draft);
        let sent = self.send_indexed(call, index, command).await?;
        let code = group.outcomes(sent.answer)?.pop().ok_or_else(unexpected)?;
        self.announce(call, save, code);
        Ok(saved(code, &save.draft)?.after(sent.is_repeated))
    }

    /// Publishes a save that was a sign-in: streams of an earlier one close.
    fn announce(&self, call: &Call<RedisClient>, save: &Save, code: Code) {
        if let (Code::Done, Anchor::Restart, Some(notices)) =
            (code, save.draft.anchor, &self.notices)
        {
            notices.publish_changed(call, &self.keys, &save.id);
        }
    }

    /// Two round trips if the session has an owner and its deadline moves: the first one returns
    /// the owner, whose index must have the later deadline before the session has it.
    async fn touch_one(&self, call: &Call<RedisClient>, touch: &Touch) -> Result<Option<Ttl>> {
        let key = self.keys.session(&touch.id);
        let mut indexed: Option<(Owner, Ttl)> = None;
        for _ in 0..TOUCH_ATTEMPTS {
            let mut command = eval(&self.scripts.touch, &[&key]);
            let (owner, index) = match &indexed {
                Some((owner, ttl)) => (
                    owner.as_str(),
                    Some(self.index_entry(owner, &touch.id, *ttl)),
                ),
                None => ("", None),
            };
            command.arg(millis(touch.idle)).arg(owner);
            let sent = self.send_indexed(call, index, command).await?;
            let (code, mut rest) = parse_answer(sent.answer)?;
            match code {
                Code::Done => return Ok(Some(ttl(convert(rest.pop())?))),
                Code::OtherOwner => {
                    let (left, owner): (i64, Vec<u8>) = last_two(rest)?;
                    // Another owner than in the last attempt, or none.
                    indexed = read_owner(&owner)?.map(|owner| (owner, ttl(left)));
                }
                Code::Corrupt => return Err(corrupt()),
                _ => return Ok(None),
            }
        }
        Err(Error::contention(TOUCH_ATTEMPTS))
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
        let keys: Vec<String> = ids.iter().map(|id| self.keys.session(id)).collect();
        let mut command = eval(&self.scripts.destroy, &keys);
        let stamp = expected.map(Version::stamp);
        let stamp = stamp.as_ref().map_or(&[][..], |stamp| stamp.as_bytes());
        let owner = owner.map_or("", Owner::as_str);
        let channel = self.notices.as_ref().map_or("", Notices::channel);
        command.arg(owner).arg(stamp).arg(limit).arg(channel);
        let sent = send(call, &command).await?;
        let outcomes = DestroyOutcome::read_all(sent.answer, ids)?;
        let examined = outcomes.len();
        let ended = outcomes
            .into_iter()
            .zip(ids)
            .filter_map(|(outcome, id)| match outcome {
                DestroyOutcome::Done(ended) => Some(ended),
                // An earlier attempt may have destroyed it.
                DestroyOutcome::Absent if sent.is_repeated => Some(Ended::unknown(id.clone())),
                DestroyOutcome::Absent | DestroyOutcome::Mismatch => None,
            });
        let ended: Vec<Ended> = ended.collect();
        // All sessions have one owner.
        if let Some(owner) = ended.iter().find_map(|ended| ended.owner.as_ref()) {
            let known = ended.iter().filter(|ended| ended.owner.is_some());
            self.remove_from_owner_index(call, owner, known.map(|ended| &ended.id));
        }
        Ok(Destroyed { ended, examined })
    }

    /// Reads a session without its data. Returns it with the size of the data in bytes and the
    /// server's time in milliseconds.
    pub(crate) async fn inspect(
        &self,
        call: &Call<RedisClient>,
        id: &SessionId,
    ) -> Result<Option<(StoredSession, usize, u64)>> {
        let command = eval(&self.scripts.inspect, &[self.keys.session(id)]);
        let sent = send(call, &command).await?;
        let (code, rest) = parse_answer(sent.answer)?;
        match code {
            Code::Done => {}
            Code::Corrupt => return Err(corrupt()),
            _ => return Ok(None),
        }
        let mut rest = rest.into_iter();
        let head: Vec<u8> = convert(rest.next())?;
        let (whole, now): (usize, u64) = last_two(rest.collect())?;
        let size = whole.saturating_sub(head.len());
        Ok(Some((StoredSession::decode(head.into())?, size, now)))
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
        Capabilities::new().with_descriptions(true)
    }

    async fn create(
        &self,
        call: &Call<RedisClient>,
        creates: &[Create],
    ) -> Result<Vec<Result<Saved>>> {
        Ok(one_by_one(creates, |create| self.create_one(call, create)).await)
    }

    async fn load(
        &self,
        call: &Call<RedisClient>,
        ids: &[SessionId],
    ) -> Result<Vec<Result<Option<Record>>>> {
        if self.is_cluster {
            return Ok(one_by_one(ids, |id| self.load_in_cluster(call, id)).await);
        }
        let (answer, now) = self.get_with_time(call, self.get(ids)).await?;
        let record = |value| match value {
            Value::Nil => Ok(None),
            Value::BulkString(value) => {
                let session = StoredSession::decode(Bytes::from(value))?;
                Ok(session.into_live_record(now))
            }
            _ => Err(unexpected()),
        };
        match answer {
            value if ids.len() == 1 => Ok(vec![record(value)]),
            Value::Array(values) => Ok(values.into_iter().map(record).collect()),
            _ => Err(unexpected()),
        }
    }

    async fn save(&self, call: &Call<RedisClient>, saves: &[Save]) -> Result<Vec<Result<Saved>>> {
        if self.is_cluster {
            return Ok(one_by_one(saves, |save| self.save_in_cluster(call, save)).await);
        }
        let mut commands = Pipeline::with_capacity(1);
        // The index entries first: an index must never lack a session that exists.
        for index in saves
            .iter()
            .filter_map(|save| self.owner_index_entry(&save.id, &save.draft))
        {
            commands.add_command(index);
        }
        let groups = SaveGroup::split(saves);
        for group in &groups {
            commands.add_command(group.command(&self.scripts.save, saves, &self.keys));
        }
        let mut sent = send_all(call, &commands).await?;
        let mut outcomes: Vec<_> = saves.iter().map(|_| Err(unexpected())).collect();
        // The answers to the index entries come first.
        for group in groups.iter().rev() {
            let codes = group.outcomes(sent.answer.pop().ok_or_else(unexpected)?)?;
            for (index, code) in group.indexes.iter().zip(codes) {
                self.announce(call, &saves[*index], code);
                let saved = saved(code, &saves[*index].draft);
                outcomes[*index] = saved.map(|saved| saved.after(sent.is_repeated));
            }
        }
        Ok(outcomes)
    }

    async fn touch(
        &self,
        call: &Call<RedisClient>,
        touches: &[Touch],
    ) -> Result<Vec<Result<Option<Ttl>>>> {
        Ok(one_by_one(touches, |touch| self.touch_one(call, touch)).await)
    }

    async fn destroy(
        &self,
        call: &Call<RedisClient>,
        destroys: &[Destroy],
    ) -> Result<Vec<Result<Option<Ended>>>> {
        Ok(one_by_one(destroys, |destroy| self.destroy_one(call, destroy)).await)
    }

    /// Listens on a connection of its own; `None` where the store was given a `ConnectionManager`
    /// or a `ClusterConnection`, or [notices](RedisStoreBuilder::notices) are switched off.
    fn notices(&self, call: Call<RedisClient>) -> Option<NoticeStream> {
        self.notices.as_ref()?.listen(call)
    }

    async fn migrate(&self, call: &Call<RedisClient>) -> Result<()> {
        check::rights(call, &self.keys.scratch(), check::NATIVE_COMMANDS).await
    }

    /// Scans all keys of the database, so the time grows with their number.
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
    /// ids in the index, and one for each 128 of them; in a cluster one for each id, up to 64 at a
    /// time.
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

    /// Does nothing: Redis removes expired sessions itself, and each write to an owner index
    /// removes expired entries.
    async fn reap(&self, _call: &Call<RedisClient>, _limit: usize) -> Result<Vec<Ended>> {
        Ok(Vec::new())
    }
}

impl Setup for RedisBackend {
    type Builder = RedisStoreBuilder;

    async fn connect(builder: RedisStoreBuilder, url: &str) -> Result<RedisStore> {
        builder.connect(url).await
    }
}

/// Converts the remaining milliseconds in a script's answer; a negative number means never.
fn ttl(left: i64) -> Ttl {
    u64::try_from(left).map_or(Ttl::Never, |left| Ttl::Left(Duration::from_millis(left)))
}

impl fmt::Debug for RedisBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisBackend")
            .field("keys", &self.keys)
            .field("is_cluster", &self.is_cluster)
            .finish_non_exhaustive()
    }
}
