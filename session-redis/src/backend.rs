//! What the server is sent for sessions: each of the five operations is a command or a script.

use std::fmt;
use std::time::{Duration, Instant};

use bytes::Bytes;
use redis::{Cmd, Pipeline, Value};
use session_core::backend::{
    Backend, BatchLimits, Call, Create, Destroy, Policy, Save, Setup, Store, Touch, one_by_one,
};
use session_core::{
    Cursor, Ended, Error, Owner, Page, Record, Result, Saved, SessionId, Ttl, Version,
};

use crate::clock::{Clock, Reading};
use crate::command::{
    End, Group, add_draft, answer, both, convert, corrupt, eval, saved, send, send_all, unexpected,
};
use crate::envelope::{Envelope, millis, read_owner};
use crate::keys::Keys;
use crate::script::{Code, Scripts};
use crate::{RedisClient, RedisStoreBuilder, probe};

/// Measured: `docs/performance.md`. Pipelining alone spares no round trip's wait, but each command
/// and script has its price at the server. One connection carries all, so batches in flight cost
/// nothing.
const BATCHES: BatchLimits = BatchLimits::new(24, 3).with_queued(100_000);
/// How often a command is sent again for each cause. Causes come together: a server that restarts
/// loses the connection, refuses it, loads its data, and then lacks the scripts.
pub(crate) const REPEATS: u32 = 3;
/// How often a touch is sent while the session gets other owners.
const TOUCHES: u32 = 4;

/// Sessions in Redis. Clones share the connection.
///
/// [`connect`](Store::connect) and [`builder`](Store::builder) set one up.
///
/// [`migrate`](Store::migrate) checks that the server answers, is new enough, and lets its user run
/// every command that the store needs: it tries each on a key that nothing else has. There is no
/// schema to set up. Two or three round trips. It fails with [`ErrorKind::Misconfigured`] if the server
/// is older than 6.2, refuses the login, or does not let the user run a command, which the message
/// names.
pub type RedisStore = Store<RedisBackend>;

/// What a [`RedisStore`] sends for each operation.
pub struct RedisBackend {
    pub(crate) keys: Keys,
    pub(crate) scripts: Scripts,
    pub(crate) is_cluster: bool,
    clock: Clock,
    policy: Policy,
}

/// Which sessions were ended, of how many of those that were to be.
pub(crate) struct Ends {
    pub(crate) ended: Vec<Ended>,
    pub(crate) looked_at: usize,
}

impl RedisBackend {
    /// With the time and size of `limits`.
    pub(crate) fn new(keys: Keys, is_cluster: bool, limits: Policy) -> Self {
        let mut policy = limits.with_repeats(REPEATS);
        // In a cluster the keys are on different nodes, and every operation goes by itself.
        if !is_cluster {
            policy = policy.with_load(BATCHES).with_save(BATCHES);
        }
        Self {
            keys,
            scripts: Scripts::new(),
            is_cluster,
            clock: Clock::default(),
            policy,
        }
    }

    async fn create_one(&self, call: &Call<RedisClient>, create: &Create) -> Result<Saved> {
        let Create { id, draft, .. } = create;
        let mut command = eval(&self.scripts.create, &[self.keys.session(id)]);
        add_draft(&mut command, draft);
        let index = self.index(id, draft);
        let sent = self.send_indexed(call, index, command).await?;
        let (code, _) = answer(sent.answer)?;
        Ok(saved(code, draft)?.after(sent.is_repeated))
    }

    /// In a cluster, where the time would be another node's, it is told by what is left of the key.
    async fn load_in_cluster(
        &self,
        call: &Call<RedisClient>,
        id: &SessionId,
    ) -> Result<Option<Record>> {
        let key = self.keys.session(id);
        let mut commands = Pipeline::with_capacity(2);
        commands.get(&key).pttl(&key);
        let sent = send_all(call, &commands).await?;
        let (value, left): (Option<Vec<u8>>, i64) = both(sent.answer)?;
        let Some(value) = value else {
            return Ok(None);
        };
        let envelope = Envelope::decode(Bytes::from(value))?;
        let now = match (envelope.deadline, u64::try_from(left)) {
            // The key goes a millisecond before the deadline, see the scripts.
            (Some(deadline), Ok(left)) => deadline.saturating_sub(left + 1),
            // It went, or lost its end, between the two commands.
            (Some(_), Err(_)) if left == -2 => return Ok(None),
            _ => match self.inspect(call, id).await? {
                Some((_, _, now)) => now,
                None => return Ok(None),
            },
        };
        Ok(Some(envelope.into_record(now)))
    }

    /// Reads `ids`, of one server.
    fn get(&self, ids: &[SessionId]) -> Cmd {
        let length: usize = ids.iter().map(|id| self.keys.length(id)).sum();
        let mut get = Cmd::with_capacity(1 + ids.len(), 4 + length);
        get.arg(if ids.len() == 1 { "GET" } else { "MGET" });
        let mut key = String::new();
        for id in ids {
            self.keys.write_session(id, &mut key);
            get.arg(&key);
        }
        get
    }

    /// The answer to `get`, and the server's time then.
    async fn ask_with_time(&self, call: &Call<RedisClient>, get: Cmd) -> Result<(Value, u64)> {
        if let Some(reading) = self.clock.reading() {
            let sent = send(call, &get).await?;
            return Ok((sent.answer, reading.now()));
        }
        let mut commands = Pipeline::with_capacity(2);
        commands.add_command(get).cmd("TIME");
        let asked = Instant::now();
        let mut answers = send_all(call, &commands).await?.answer;
        let told = Reading::new(convert(answers.pop())?, asked);
        self.clock.set(told);
        let answer = answers.pop().ok_or_else(unexpected)?;
        Ok((answer, told.told()))
    }

    async fn save_in_cluster(&self, call: &Call<RedisClient>, save: &Save) -> Result<Saved> {
        let group = Group::of_one(save);
        let saves = std::slice::from_ref(save);
        let command = group.command(&self.scripts.save, saves, &self.keys);
        let index = self.index(&save.id, &save.draft);
        let sent = self.send_indexed(call, index, command).await?;
        let code = group.ends(sent.answer)?.pop().ok_or_else(unexpected)?;
        Ok(saved(code, &save.draft)?.after(sent.is_repeated))
    }

    /// Two round trips if the session has an owner and its deadline moves, for the index has to
    /// know first: the first one says whose it is.
    async fn touch_one(&self, call: &Call<RedisClient>, touch: &Touch) -> Result<Option<Ttl>> {
        let key = self.keys.session(&touch.id);
        let mut indexed: Option<(Owner, Ttl)> = None;
        for _ in 0..TOUCHES {
            let mut command = eval(&self.scripts.touch, &[&key]);
            let (owner, index) = match &indexed {
                Some((owner, ttl)) => {
                    (owner.as_str(), Some(self.index_for(owner, &touch.id, *ttl)))
                }
                None => ("", None),
            };
            command.arg(millis(touch.idle)).arg(owner);
            let sent = self.send_indexed(call, index, command).await?;
            let (code, mut rest) = answer(sent.answer)?;
            match code {
                Code::Done => return Ok(Some(ttl(convert(rest.pop())?))),
                Code::Owned => {
                    let (left, owner): (i64, Vec<u8>) = both(rest)?;
                    // Not the owner that it was a moment ago: perhaps none.
                    indexed = read_owner(&owner)?.map(|owner| (owner, ttl(left)));
                }
                Code::Corrupt => return Err(corrupt()),
                _ => return Ok(None),
            }
        }
        Err(Error::contention(TOUCHES))
    }

    async fn destroy_one(
        &self,
        call: &Call<RedisClient>,
        destroy: &Destroy,
    ) -> Result<Option<Ended>> {
        let ids = std::slice::from_ref(&destroy.id);
        let mut ends = self
            .end(call, ids, None, destroy.expected.as_ref(), 1)
            .await?;
        Ok(ends.ended.pop())
    }

    /// Ends up to `most` of the sessions `ids`, all on one node, that have `owner` and are of the
    /// version `expected`, if those are given.
    pub(crate) async fn end(
        &self,
        call: &Call<RedisClient>,
        ids: &[SessionId],
        owner: Option<&Owner>,
        expected: Option<&Version>,
        most: usize,
    ) -> Result<Ends> {
        let keys: Vec<String> = ids.iter().map(|id| self.keys.session(id)).collect();
        let mut command = eval(&self.scripts.destroy, &keys);
        let stamp = expected.map(Version::stamp);
        let stamp = stamp.as_ref().map_or(&[][..], |stamp| stamp.as_bytes());
        let owner = owner.map_or("", Owner::as_str);
        command.arg(owner).arg(stamp).arg(most);
        let sent = send(call, &command).await?;
        let ends = End::read_all(sent.answer, ids)?;
        let looked_at = ends.len();
        let ended = ends.into_iter().zip(ids).filter_map(|(end, id)| match end {
            End::Done(ended) => Some(ended),
            // By the attempt before, perhaps.
            End::Absent if sent.is_repeated => Some(Ended::unknown(id.clone())),
            End::Absent | End::Other => None,
        });
        let ended: Vec<Ended> = ended.collect();
        // One session, or several of one owner.
        if let Some(owner) = ended.iter().find_map(|ended| ended.owner.as_ref()) {
            let known = ended.iter().filter(|ended| ended.owner.is_some());
            self.remove_from_owner_index(call, owner, known.map(|ended| &ended.id));
        }
        Ok(Ends { ended, looked_at })
    }

    /// A session's envelope without its data, the size of that, and the server's time.
    pub(crate) async fn inspect(
        &self,
        call: &Call<RedisClient>,
        id: &SessionId,
    ) -> Result<Option<(Envelope, usize, u64)>> {
        let command = eval(&self.scripts.inspect, &[self.keys.session(id)]);
        let sent = send(call, &command).await?;
        let (code, rest) = answer(sent.answer)?;
        match code {
            Code::Done => {}
            Code::Corrupt => return Err(corrupt()),
            _ => return Ok(None),
        }
        let mut rest = rest.into_iter();
        let head: Vec<u8> = convert(rest.next())?;
        let (whole, now): (usize, u64) = both(rest.collect())?;
        let size = whole.saturating_sub(head.len());
        Ok(Some((Envelope::decode(head.into())?, size, now)))
    }
}

impl Backend for RedisBackend {
    type Client = RedisClient;
    const NAME: &'static str = "redis";
    const HAS_DIRECTORY: bool = true;

    fn policy(&self) -> Policy {
        self.policy
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
        let (answer, now) = self.ask_with_time(call, self.get(ids)).await?;
        let record = |value| match value {
            Value::Nil => Ok(None),
            Value::BulkString(value) => {
                let envelope = Envelope::decode(Bytes::from(value))?;
                Ok(envelope.into_live_record(now))
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
        // The owners' indexes first: one that lacks a session would hide it.
        for index in saves
            .iter()
            .filter_map(|save| self.index(&save.id, &save.draft))
        {
            commands.add_command(index);
        }
        let groups = Group::all(saves);
        for group in &groups {
            commands.add_command(group.command(&self.scripts.save, saves, &self.keys));
        }
        let mut sent = send_all(call, &commands).await?;
        let mut outcomes: Vec<_> = saves.iter().map(|_| Err(unexpected())).collect();
        // The answers of the indexes are in front.
        for group in groups.iter().rev() {
            let ends = group.ends(sent.answer.pop().ok_or_else(unexpected)?)?;
            for (place, code) in group.places.iter().zip(ends) {
                let saved = saved(code, &saves[*place].draft);
                outcomes[*place] = saved.map(|saved| saved.after(sent.is_repeated));
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

    async fn migrate(&self, call: &Call<RedisClient>) -> Result<()> {
        probe::commands(call, &self.keys.scratch(), probe::NATIVE).await
    }

    /// Scans all keys of the database: its time grows with them.
    async fn count(&self, call: &Call<RedisClient>) -> Result<u64> {
        self.directory(call).count().await
    }

    /// Scans part of the database; a page may well be empty though more follow.
    async fn list(
        &self,
        call: &Call<RedisClient>,
        cursor: Option<&Cursor>,
        limit: usize,
    ) -> Result<Page> {
        self.directory(call).list(cursor, limit).await
    }

    /// Reads part of the owner's index; a page may well be empty though more follow. One round trip
    /// for that, and one for each session it names, 64 at a time.
    async fn owned_by(
        &self,
        call: &Call<RedisClient>,
        owner: &Owner,
        cursor: Option<&Cursor>,
        limit: usize,
    ) -> Result<Page> {
        self.directory(call).owned_by(owner, cursor, limit).await
    }

    /// Walks over the owner's index until `limit` sessions are ended. One round trip for each 1,000
    /// ids in it, and one for each 128 of those; in a cluster one for each, up to 64 at a time.
    ///
    /// After an error it says what it has ended until then, if there was any.
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
        self.directory(call).clear().await
    }

    /// Nothing to do: Redis removes what has expired, and the owners' indexes heal when they are
    /// written and expire by themselves.
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

/// What a script says is left of a session: below 0, it has no end.
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
