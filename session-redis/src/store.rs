//! The five operations, each a command or a script.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use redis::{Cmd, Pipeline};
use session_core::batch::{Batcher, Save};
use session_core::{
    Capabilities, Draft, Ended, Error, Owner, Record, Result, Saved, SessionDirectory, SessionId,
    SessionStore, Timeout, Ttl, Version, async_trait,
};

use crate::RedisStoreBuilder;
use crate::carrier::{LIMITS, Loads, Saves};
use crate::client::Sent;
use crate::clock::Clock;
use crate::command::{
    End, Group, add_draft, answer, both, convert, corrupt, eval, saved, unexpected,
};
use crate::envelope::{Envelope, millis, read_owner};
use crate::keys::Keys;
use crate::link::Link;
use crate::probe;
use crate::script::{Code, Scripts};

/// How often a touch is sent while the session gets other owners.
const TOUCHES: u32 = 4;

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

/// Which sessions were ended, of how many of those that were to be.
pub(crate) struct Ends {
    pub(crate) ended: Vec<Ended>,
    pub(crate) looked_at: usize,
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
        if !store.link.is_cluster() {
            let (loads, saves) = (Loads(store.clone()), Saves(store.clone()));
            store.batches = Some(Batches {
                loads: Batcher::new(loads, LIMITS, timeout),
                saves: Batcher::new(saves, LIMITS, timeout),
            });
        }
        store
    }

    /// Checks that the server answers, is new enough, and lets its user run every command that the
    /// store needs: it tries each on a key that nothing else has. There is no schema to set up. Two
    /// or three round trips.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Timeout`] if it does not answer,
    /// [`Error::Misconfigured`] if it is older than 6.2, refuses the login, or does not let the user
    /// run a command, which the message names.
    pub async fn migrate(&self) -> Result<()> {
        let (link, scratch) = (&self.link, self.inner.keys.scratch());
        probe::commands(link, &scratch, probe::NATIVE).await
    }

    /// Saves the sessions of a group, all on one node.
    pub(crate) fn save_command(&self, group: &Group, items: &[Save]) -> Cmd {
        group.command(&self.inner.scripts.save, items, &self.inner.keys)
    }

    fn check(&self, draft: &Draft) -> Result<()> {
        Error::check_size("record", draft.data.len(), self.inner.max_data)
    }

    /// Ends up to `most` of the sessions `ids`, all on one node, that have `owner` and are of the
    /// version `expected`, if those are given.
    pub(crate) async fn end(
        &self,
        operation: &'static str,
        ids: &[SessionId],
        owner: Option<&Owner>,
        expected: Option<&Version>,
        most: usize,
    ) -> Result<Ends> {
        let keys: Vec<String> = ids.iter().map(|id| self.inner.keys.session(id)).collect();
        let mut command = eval(&self.inner.scripts.destroy, &keys);
        let stamp = expected.map(Version::stamp);
        let stamp = stamp.as_ref().map_or(&[][..], |stamp| stamp.as_bytes());
        let owner = owner.map_or("", Owner::as_str);
        command.arg(owner).arg(stamp).arg(most);
        let Sent { answer, before } = self.send(operation, &command).await?;
        let ends = End::read_all(answer, ids)?;
        let looked_at = ends.len();
        let ended = ends.into_iter().zip(ids).filter_map(|(end, id)| match end {
            End::Done(ended) => Some(ended),
            // By the sending before, perhaps.
            End::Absent if before => Some(Ended::unknown(id.clone())),
            End::Absent | End::Other => None,
        });
        let ended: Vec<Ended> = ended.collect();
        // One session, or several of one owner.
        if let Some(owner) = ended.iter().find_map(|ended| ended.owner.as_ref()) {
            let known = ended.iter().filter(|ended| ended.owner.is_some());
            self.remove_from_owner_index(owner, known.map(|ended| &ended.id));
        }
        Ok(Ends { ended, looked_at })
    }

    /// A session's envelope without its data, the size of that, and the server's time.
    pub(crate) async fn inspect(
        &self,
        operation: &'static str,
        id: &SessionId,
    ) -> Result<Option<(Envelope, usize, u64)>> {
        let script = &self.inner.scripts.inspect;
        let command = eval(script, &[&self.inner.keys.session(id)]);
        let sent = self.send(operation, &command).await?;
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

#[async_trait]
impl SessionStore for RedisStore {
    fn capabilities(&self) -> Capabilities {
        Capabilities::new().with_max_data(self.inner.max_data)
    }

    fn directory(&self) -> Option<&dyn SessionDirectory> {
        Some(self)
    }

    async fn create(&self, id: &SessionId, draft: &Draft) -> Result<Saved> {
        self.check(draft)?;
        let script = &self.inner.scripts.create;
        let mut command = eval(script, &[&self.inner.keys.session(id)]);
        add_draft(&mut command, draft);
        let index = self.index(id, draft);
        let sent = self.send_indexed("create", index, command).await?;
        let (code, _) = answer(sent.answer)?;
        Ok(saved(code, draft)?.after(sent.before))
    }

    async fn load(&self, id: &SessionId) -> Result<Option<Record>> {
        if let Some(batches) = &self.batches {
            let loaded = batches.loads.call(id.clone()).await;
            return loaded.map_err(|error| self.link.of_batch(error));
        }
        // In a cluster, where the time would be another node's: as what is left of the key.
        let key = self.inner.keys.session(id);
        let mut commands = Pipeline::with_capacity(2);
        commands.get(&key).pttl(&key);
        let sent = self.send_all("load", &commands).await?;
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
            _ => match self.inspect("load", id).await? {
                Some((_, _, now)) => now,
                None => return Ok(None),
            },
        };
        Ok(Some(envelope.into_record(now)))
    }

    async fn save(&self, id: &SessionId, draft: &Draft, expected: &Version) -> Result<Saved> {
        self.check(draft)?;
        let save = Save {
            id: id.clone(),
            draft: draft.clone(),
            expected: expected.clone(),
        };
        if let Some(batches) = &self.batches {
            let saved = batches.saves.call(save).await;
            return saved.map_err(|error| self.link.of_batch(error));
        }
        let group = Group::of_one(&save);
        let command = self.save_command(&group, std::slice::from_ref(&save));
        let index = self.index(id, draft);
        let sent = self.send_indexed("save", index, command).await?;
        let code = group.ends(sent.answer)?.pop().ok_or_else(unexpected)?;
        Ok(saved(code, draft)?.after(sent.before))
    }

    /// Two round trips if the session has an owner and its deadline moves, for the index has to
    /// know first: the first one says whose it is.
    async fn touch(&self, id: &SessionId, idle: Timeout) -> Result<Option<Ttl>> {
        let mut indexed: Option<(Owner, Ttl)> = None;
        for _ in 0..TOUCHES {
            let mut command = eval(&self.inner.scripts.touch, &[&self.inner.keys.session(id)]);
            let (owner, index) = match &indexed {
                Some((owner, ttl)) => (owner.as_str(), Some(self.index_for(owner, id, *ttl))),
                None => ("", None),
            };
            command.arg(millis(idle)).arg(owner);
            let sent = self.send_indexed("touch", index, command).await?;
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
        Err(Error::Contention { attempts: TOUCHES })
    }

    async fn destroy(&self, id: &SessionId, expected: Option<&Version>) -> Result<Option<Ended>> {
        let ids = std::slice::from_ref(id);
        let mut ends = self.end("destroy", ids, None, expected, 1).await?;
        Ok(ends.ended.pop())
    }
}

/// What a script says is left of a session: below 0, it has no end.
fn ttl(left: i64) -> Ttl {
    u64::try_from(left).map_or(Ttl::Never, |left| Ttl::Left(Duration::from_millis(left)))
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore")
            .field("connection", &self.link.connection.origin)
            .field("keys", &self.inner.keys)
            .finish_non_exhaustive()
    }
}
