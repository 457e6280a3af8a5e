//! The six operations, each a script.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use redis::{Cmd, FromRedisValue, Pipeline, RedisResult, Script, ServerErrorKind, Value};
use session_core::batch::{Batcher, Save};
use session_core::{
    Capabilities, Draft, Error, Owner, Record, Result, Saved, SessionDirectory, SessionId,
    SessionStore, Stamp, Timeout, Ttl, async_trait,
};

use crate::carrier::{LIMITS, Loads, Saves};
use crate::clock::Clock;
use crate::command::{
    Answer, End, Group, add_draft, add_expected, answer, both, convert, corrupt, eval, saved,
    unexpected,
};
use crate::envelope::{Envelope, millis};
use crate::error::from_redis;
use crate::keys::Keys;
use crate::link::Link;
use crate::script::{Code, Scripts};
use crate::{Connection, RedisStoreBuilder};

/// Sessions in Redis. Clones share the connection.
#[derive(Clone)]
pub struct RedisStore {
    pub(crate) link: Link,
    pub(crate) inner: Arc<Inner>,
    /// None in a cluster.
    batches: Option<Batches>,
}

#[derive(Clone)]
struct Batches {
    loads: Batcher<Loads>,
    saves: Batcher<Saves>,
}

pub(crate) struct Inner {
    pub(crate) keys: Keys,
    pub(crate) scripts: Scripts,
    pub(crate) clock: Clock,
    max_data: usize,
}

impl RedisStore {
    /// Connects to the Redis server at `url`, with the defaults of the
    /// [builder](RedisStoreBuilder).
    ///
    /// # Errors
    /// As [`RedisStoreBuilder::connect`].
    pub async fn connect(url: &str) -> Result<Self> {
        Self::builder().connect(url).await
    }

    /// Sets a store up.
    pub fn builder() -> RedisStoreBuilder {
        RedisStoreBuilder::default()
    }

    pub(crate) fn new(link: Link, keys: Keys, max_data: usize) -> Self {
        let inner = Inner {
            keys,
            scripts: Scripts::new(),
            clock: Clock::default(),
            max_data,
        };
        let timeout = link.timeout;
        let mut store = Self {
            link,
            inner: Arc::new(inner),
            batches: None,
        };
        if !store.link.connection.is_cluster() {
            let (loads, saves) = (Loads(store.clone()), Saves(store.clone()));
            store.batches = Some(Batches {
                loads: Batcher::new(loads, LIMITS, timeout),
                saves: Batcher::new(saves, LIMITS, timeout),
            });
        }
        store
    }

    /// Checks that the server answers and is new enough. There is no schema to set up.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Timeout`] if it does not answer,
    /// [`Error::Misconfigured`] if it is older than 6.2 or refuses the login.
    pub async fn migrate(&self) -> Result<()> {
        let mut connection = self.link.connection.clone();
        // GETEX came with 6.2, and so did `SET … PXAT` and `ZADD … GT`, which the scripts need.
        let mut command = redis::cmd("GETEX");
        command.arg(self.inner.keys.probe());
        let asked: Result<Option<Vec<u8>>> = self
            .link
            .limited("migrate", async {
                command.query_async(&mut connection).await
            })
            .await;
        match asked {
            Err(Error::Store { source, .. }) if source.to_string().contains("unknown command") => {
                Err(Error::misconfigured("this Redis server is older than 6.2"))
            }
            asked => asked.map(drop),
        }
    }

    /// Runs the pipeline `commands`.
    pub(crate) async fn run<T: FromRedisValue>(
        &self,
        operation: &'static str,
        scripts: &[&Script],
        commands: &Pipeline,
    ) -> Result<T> {
        let work = self.repeat(scripts, |mut connection| async move {
            commands.query_async(&mut connection).await
        });
        self.link.limited(operation, work).await
    }

    /// Runs `commands` for a batch, which has a limit of its time already. One command by itself is
    /// not sent as a pipeline, which costs the driver more.
    pub(crate) async fn run_batch(
        &self,
        operation: &'static str,
        scripts: &[&Script],
        commands: &Pipeline,
    ) -> Result<Vec<Value>> {
        let mut each = commands.cmd_iter();
        let answers = match (each.next(), each.next()) {
            (Some(only), None) => {
                let answer = self.repeat(scripts, |mut connection| async move {
                    only.query_async(&mut connection).await
                });
                answer.await.map(|answer| vec![answer])
            }
            _ => {
                let answers = self.repeat(scripts, |mut connection| async move {
                    commands.query_async(&mut connection).await
                });
                answers.await
            }
        };
        answers.map_err(|error| from_redis(operation, error))
    }

    /// Has scripts that the server has forgotten loaded, and uses a connection that has broken
    /// again once it is back: all our writes may be repeated.
    async fn repeat<T, W>(
        &self,
        scripts: &[&Script],
        send: impl Fn(Connection) -> W,
    ) -> RedisResult<T>
    where
        W: Future<Output = RedisResult<T>>,
    {
        let connection = &self.link.connection;
        match send(connection.clone()).await {
            Err(error) if error.kind() == redis::ErrorKind::Server(ServerErrorKind::NoScript) => {
                self.load_scripts(scripts).await?;
                send(connection.clone()).await
            }
            Err(error) if error.is_connection_dropped() => send(connection.clone()).await,
            answer => answer,
        }
    }

    /// Teaches the server the scripts; in a cluster, every node.
    async fn load_scripts(&self, scripts: &[&Script]) -> RedisResult<()> {
        let mut connection = self.link.connection.clone();
        for script in scripts {
            script.load_async(&mut connection).await?;
        }
        Ok(())
    }

    /// Runs one script on a session.
    async fn call(&self, operation: &'static str, script: &Script, command: Cmd) -> Result<Answer> {
        answer(self.send(operation, script, command).await?)
    }

    async fn send(&self, operation: &'static str, script: &Script, command: Cmd) -> Result<Value> {
        let (scripts, command) = ([script], &command);
        let work = self.repeat(&scripts, |mut connection| async move {
            command.query_async(&mut connection).await
        });
        self.link.limited(operation, work).await
    }

    /// Runs a script that writes a session, after its owner's index has got its id.
    ///
    /// On one server that is one round trip. In a cluster the index is on another node, so its
    /// answer is waited for: an index that lacks a session would hide it from "log out everywhere".
    async fn send_indexed(
        &self,
        operation: &'static str,
        (id, draft): (&SessionId, &Draft),
        script: &Script,
        command: Cmd,
    ) -> Result<Value> {
        let Some(index) = self.index(id, draft) else {
            return self.send(operation, script, command).await;
        };
        if self.link.connection.is_cluster() {
            self.send(operation, &self.inner.scripts.index, index)
                .await?;
            return self.send(operation, script, command).await;
        }
        let mut commands = Pipeline::with_capacity(2);
        commands.add_command(index).add_command(command);
        let scripts = [&self.inner.scripts.index, script];
        let mut answers: Vec<Value> = self.run(operation, &scripts, &commands).await?;
        answers.pop().ok_or_else(unexpected)
    }

    /// Puts the session into its owner's index, if it has one.
    pub(crate) fn index(&self, id: &SessionId, draft: &Draft) -> Option<Cmd> {
        let longest = draft.lifetime.left_after_use(Duration::ZERO);
        let owner = draft.owner.as_ref()?;
        Some(self.index_command(owner, id, longest))
    }

    /// Saves the sessions of a group, all on one node.
    pub(crate) fn save_command(&self, group: &Group, items: &[Save]) -> Cmd {
        let script = &self.inner.scripts.save;
        group.command(script, items, |id| self.inner.keys.session(id))
    }

    /// What a save that has ended so has come to.
    pub(crate) async fn outcome(&self, Save { id, draft, .. }: &Save, end: End) -> Result<Saved> {
        if let Some(before) = end.owner {
            self.disown("save", &before, id, draft.owner.as_ref())
                .await?;
        }
        saved(end.code, draft)
    }

    fn index_command(&self, owner: &Owner, id: &SessionId, longest: Ttl) -> Cmd {
        let longest = Timeout::from_millis(longest.left().map(|left| {
            // At least 1, for 0 is never.
            u64::try_from(left.as_millis()).unwrap_or(u64::MAX).max(1)
        }));
        let key = self.inner.keys.owner(owner);
        let mut command = eval(&self.inner.scripts.index, &[&key]);
        command.arg(id.as_str()).arg(millis(longest));
        command
    }

    /// Takes `id` out of the index of `owner`, if that is not `but`'s.
    async fn disown(
        &self,
        operation: &'static str,
        owner: &[u8],
        id: &SessionId,
        but: Option<&Owner>,
    ) -> Result<()> {
        let Some(owner) = std::str::from_utf8(owner)
            .ok()
            .and_then(|o| Owner::new(o).ok())
        else {
            return Ok(());
        };
        if Some(&owner) == but {
            return Ok(());
        }
        let mut commands = Pipeline::with_capacity(1);
        commands
            .zrem(self.inner.keys.owner(&owner), id.as_str())
            .ignore();
        self.run::<()>(operation, &[], &commands).await
    }

    fn check(&self, draft: &Draft) -> Result<()> {
        Error::check_size("record", draft.data.len(), self.inner.max_data)
    }

    /// Ends a session that must have `owner`, if one is given; gives its age.
    pub(crate) async fn end(
        &self,
        operation: &'static str,
        id: &SessionId,
        owner: Option<&Owner>,
    ) -> Result<Option<Duration>> {
        let script = &self.inner.scripts.destroy;
        let mut command = eval(script, &[&self.inner.keys.session(id)]);
        if let Some(owner) = owner {
            command.arg(owner.as_str());
        }
        let (code, rest) = self.call(operation, script, command).await?;
        if code != Code::Done {
            return Ok(None);
        }
        let (whose, age): (Vec<u8>, u64) = both(rest)?;
        self.disown(operation, &whose, id, None).await?;
        Ok(Some(Duration::from_millis(age)))
    }

    /// A session's envelope without its data, its size, and the server's time.
    pub(crate) async fn inspect(
        &self,
        operation: &'static str,
        id: &SessionId,
    ) -> Result<Option<(Envelope, usize, u64)>> {
        let script = &self.inner.scripts.inspect;
        let command = eval(script, &[&self.inner.keys.session(id)]);
        let (code, rest) = self.call(operation, script, command).await?;
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

#[async_trait]
impl SessionStore for RedisStore {
    fn capabilities(&self) -> Capabilities {
        Capabilities::new().with_max_data(self.inner.max_data)
    }

    fn directory(&self) -> Option<&dyn SessionDirectory> {
        Some(self)
    }

    async fn create(&self, id: &SessionId, draft: &Draft) -> Result<Stamp> {
        self.check(draft)?;
        let script = &self.inner.scripts.create;
        let mut command = eval(script, &[&self.inner.keys.session(id)]);
        add_draft(&mut command, draft);
        let created = self
            .send_indexed("create", (id, draft), script, command)
            .await?;
        match answer(created)?.0 {
            Code::Done => Ok(draft.stamp),
            _ => Err(Error::AlreadyExists),
        }
    }

    async fn load(&self, id: &SessionId) -> Result<Option<Record>> {
        if let Some(batches) = &self.batches {
            return batches.loads.call(id.clone()).await;
        }
        // In a cluster, where the time would be another node's: as what is left of the key.
        let key = self.inner.keys.session(id);
        let mut commands = Pipeline::with_capacity(2);
        commands.get(&key).pttl(&key);
        let (value, left): (Option<Vec<u8>>, i64) = self.run("load", &[], &commands).await?;
        let Some(value) = value else {
            return Ok(None);
        };
        let envelope = Envelope::decode(Bytes::from(value))?;
        let now = match (envelope.deadline, u64::try_from(left)) {
            // The key goes a millisecond before the deadline, see the scripts.
            (Some(deadline), Ok(left)) => deadline.saturating_sub(left + 1),
            // It went, or lost its end, between the two commands.
            (Some(_), Err(_)) if left == -2 => return Ok(None),
            _ => match self.inspect("load", id).await? {
                Some((_, _, now)) => now,
                None => return Ok(None),
            },
        };
        Ok(Some(envelope.into_record(now)))
    }

    async fn save(&self, id: &SessionId, draft: &Draft, expected: Stamp) -> Result<Saved> {
        self.check(draft)?;
        let (id, draft) = (id.clone(), draft.clone());
        let save = Save {
            id,
            draft,
            expected,
        };
        if let Some(batches) = &self.batches {
            return batches.saves.call(save).await;
        }
        let group = Group::of_one(&save);
        let command = self.save_command(&group, std::slice::from_ref(&save));
        let (script, written) = (&self.inner.scripts.save, (&save.id, &save.draft));
        let answer = self.send_indexed("save", written, script, command).await?;
        let end = group.ends(answer)?.pop().ok_or_else(unexpected)?;
        self.outcome(&save, end).await
    }

    async fn touch(&self, id: &SessionId, idle: Timeout) -> Result<Option<Ttl>> {
        let script = &self.inner.scripts.touch;
        let mut command = eval(script, &[&self.inner.keys.session(id)]);
        command.arg(millis(idle));
        let (code, rest) = self.call("touch", script, command).await?;
        match code {
            Code::Done => {}
            Code::Corrupt => return Err(corrupt()),
            _ => return Ok(None),
        }
        let (left, owner): (i64, Vec<u8>) = both(rest)?;
        let ttl =
            u64::try_from(left).map_or(Ttl::Never, |left| Ttl::Left(Duration::from_millis(left)));
        if let Some(owner) = std::str::from_utf8(&owner)
            .ok()
            .and_then(|o| Owner::new(o).ok())
        {
            let index = self.index_command(&owner, id, ttl);
            self.call("touch", &self.inner.scripts.index, index).await?;
        }
        Ok(Some(ttl))
    }

    async fn rename(
        &self,
        from: &SessionId,
        to: &SessionId,
        draft: &Draft,
        expected: Stamp,
    ) -> Result<Saved> {
        self.check(draft)?;
        let script = &self.inner.scripts.rename;
        let keys = &self.inner.keys;
        let mut command = eval(script, &[&keys.session(from), &keys.session(to)]);
        add_expected(&mut command, draft, expected);
        let renamed = self
            .send_indexed("rename", (to, draft), script, command)
            .await?;
        let (code, mut rest) = answer(renamed)?;
        if code == Code::Done && from != to {
            let before: Vec<u8> = convert(rest.pop())?;
            self.disown("rename", &before, from, None).await?;
        }
        saved(code, draft)
    }

    async fn destroy(&self, id: &SessionId) -> Result<bool> {
        Ok(self.end("destroy", id, None).await?.is_some())
    }
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore")
            .field("connection", &self.link.connection)
            .field("keys", &self.inner.keys)
            .finish_non_exhaustive()
    }
}
