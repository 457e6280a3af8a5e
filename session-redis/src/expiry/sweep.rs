//! A sweep: what is due is looked for, and what is gone is claimed, told, and removed.
//!
//! A claim is made by adding one's own claim first, and then removing the entry, or the lapsed claim
//! of another: the one who removes it has it. So an entry is never lost with a process, and told by
//! one reaper while none dies.

use std::time::{Duration, Instant};

use futures_util::stream::{self, StreamExt, TryStreamExt};
use redis::{Cmd, Pipeline};
use session_core::backend::Call;
use session_core::{Ended, Result, SessionId};

use super::known::Known;
use super::{ExpiryIndex, by_shard, now};
use crate::RedisClient;
use crate::command::{convert, send, send_all};

/// How many entries are read at once.
const BATCH: usize = 500;
/// How long a claim is valid: then its process is assumed dead.
const LEASE_MILLIS: u64 = 60_000;
/// From then on, a sweep that has claimed something returns: claims are to be told before they lapse.
const LONGEST: Duration = Duration::from_secs(10);
/// Between the look at a session and the claim: a process that has just ended the session removes
/// the entry meanwhile.
const SETTLING: Duration = Duration::from_millis(10);
/// How many commands on single sessions may be in flight in a cluster.
const MAX_IN_FLIGHT: usize = 64;

/// A part of a sweep, at server time `now`.
struct Sweep<'a> {
    index: &'a ExpiryIndex,
    call: &'a Call<RedisClient>,
    is_cluster: bool,
    now: u64,
}

/// What is to be claimed in one shard.
#[derive(Default)]
struct Claimable {
    /// Entries whose sessions are gone.
    gone: Vec<SessionId>,
    /// Lapsed claims of others.
    lapsed: Vec<(String, SessionId)>,
    /// Lapsed claims of this store: what it told was not confirmed.
    own: Vec<SessionId>,
}

impl ExpiryIndex {
    /// Claims up to `limit` sessions that have expired.
    pub(crate) async fn reap(
        &self,
        call: &Call<RedisClient>,
        is_cluster: bool,
        limit: usize,
    ) -> Result<Vec<Ended>> {
        let _alone = self.sweeping.lock().await;
        let started = Instant::now();
        let mut ended = Vec::new();
        for shard in self.shards() {
            while ended.len() < limit {
                if !ended.is_empty() && started.elapsed() >= LONGEST {
                    return Ok(ended);
                }
                let wanted = limit - ended.len();
                match self.reap_some(call, is_cluster, shard, wanted).await {
                    Ok(Some(found)) => ended.extend(found),
                    Ok(None) => break,
                    Err(error) if ended.is_empty() => return Err(error),
                    // What was claimed is told now, the rest by the next sweep.
                    Err(_) => return Ok(ended),
                }
            }
        }
        Ok(ended)
    }

    /// Claims some sessions of one shard; `None` if nothing is due.
    async fn reap_some(
        &self,
        call: &Call<RedisClient>,
        is_cluster: bool,
        shard: u8,
        limit: usize,
    ) -> Result<Option<Vec<Ended>>> {
        let sweep = Sweep {
            index: self,
            call,
            is_cluster,
            now: now(call).await?,
        };
        sweep.reap_shard(shard, limit).await
    }

    /// Forgets `ended`, which this store has claimed and which have been told.
    pub(crate) async fn confirm(&self, call: &Call<RedisClient>, ended: &[Ended]) -> Result<()> {
        for (shard, ids) in by_shard(ended.iter().map(|ended| &ended.id)) {
            let mut claims = redis::cmd("ZREM");
            claims.arg(self.keys.expiry_claims(shard));
            let mut known = redis::cmd("HDEL");
            known.arg(self.keys.expiry_known(shard));
            for id in ids {
                claims.arg(self.claim(id));
                known.arg(id.as_str());
            }
            let mut commands = Pipeline::with_capacity(2);
            commands.add_command(known).add_command(claims);
            send_all(call, &commands).await?;
        }
        Ok(())
    }

    fn claim(&self, id: &SessionId) -> String {
        format!("{}:{}", self.claimant, id.as_str())
    }
}

impl Sweep<'_> {
    /// `None` if nothing is due.
    async fn reap_shard(&self, shard: u8, limit: usize) -> Result<Option<Vec<Ended>>> {
        let (mut claimable, due) = self.read(shard, limit.min(BATCH)).await?;
        let lapsed = claimable.lapsed.len() + claimable.own.len();
        if lapsed == 0 && due.is_empty() {
            return Ok(None);
        }
        let (gone, live) = self.look_for(due).await?;
        self.put_off(shard, &live).await?;
        claimable.gone = gone;
        claimable.gone.truncate(limit - lapsed);
        self.claim(shard, claimable).await.map(Some)
    }

    /// Lapsed claims, at most `limit`, and the entries that are due.
    async fn read(&self, shard: u8, limit: usize) -> Result<(Claimable, Vec<SessionId>)> {
        let keys = &self.index.keys;
        let mut commands = Pipeline::with_capacity(2);
        commands.add_command(self.range(&keys.expiry_claims(shard), limit));
        commands.add_command(self.range(&keys.expiry_due(shard), BATCH));
        let mut answers = send_all(self.call, &commands).await?.answer;
        let due: Vec<Vec<u8>> = convert(answers.pop())?;
        let lapsed: Vec<Vec<u8>> = convert(answers.pop())?;
        let mut claimable = Claimable::default();
        for claim in lapsed
            .iter()
            .filter_map(|claim| std::str::from_utf8(claim).ok())
        {
            let Some((claimant, id)) = claim.split_once(':') else {
                continue;
            };
            let Ok(id) = SessionId::from_stored(id) else {
                continue;
            };
            match claimant == self.index.claimant {
                true => claimable.own.push(id),
                false => claimable.lapsed.push((claim.to_owned(), id)),
            }
        }
        Ok((claimable, ids(&due)))
    }

    /// The members of a sorted set whose time has passed.
    fn range(&self, key: &str, limit: usize) -> Cmd {
        let mut range = redis::cmd("ZRANGE");
        range.arg(key).arg("-inf").arg(self.now).arg("BYSCORE");
        range.arg("LIMIT").arg(0).arg(limit);
        range
    }

    /// Which of `ids` are gone, and which live, for so many milliseconds; -1 for ever.
    async fn look_for(
        &self,
        ids: Vec<SessionId>,
    ) -> Result<(Vec<SessionId>, Vec<(SessionId, i64)>)> {
        let left = self.left(&ids).await?;
        let (mut gone, mut live) = (Vec::new(), Vec::new());
        for (id, left) in ids.into_iter().zip(left) {
            match left {
                -2 => gone.push(id),
                left => live.push((id, left)),
            }
        }
        Ok((gone, live))
    }

    /// The remaining time of each session: -1 for ever, -2 if there is none.
    async fn left(&self, ids: &[SessionId]) -> Result<Vec<i64>> {
        let lookups = ids.iter().map(|id| {
            let mut lookup = redis::cmd("PTTL");
            lookup.arg(self.index.keys.session(id));
            lookup
        });
        if self.is_cluster {
            let lookups = lookups.map(|lookup| async move {
                convert::<i64>(Some(send(self.call, &lookup).await?.answer))
            });
            let lookups = stream::iter(lookups.collect::<Vec<_>>());
            return lookups.buffered(MAX_IN_FLIGHT).try_collect().await;
        }
        let mut commands = Pipeline::with_capacity(ids.len());
        // Only the primary executes it: a session that another server lacks is not gone.
        commands.add_command(self.index.keys.no_op_write());
        lookups.for_each(|lookup| {
            commands.add_command(lookup);
        });
        let answers = send_all(self.call, &commands).await?.answer;
        answers
            .into_iter()
            .skip(1)
            .map(|left| convert(Some(left)))
            .collect()
    }

    /// Writes new times for entries whose sessions live.
    async fn put_off(&self, shard: u8, live: &[(SessionId, i64)]) -> Result<()> {
        if live.is_empty() {
            return Ok(());
        }
        let mut put_off = redis::cmd("ZADD");
        put_off
            .arg(self.index.keys.expiry_due(shard))
            .arg("XX")
            .arg("GT");
        for (id, left) in live {
            match u64::try_from(*left) {
                Ok(left) => put_off.arg(self.now.saturating_add(left + 1)),
                Err(_) => put_off.arg("+inf"),
            };
            put_off.arg(id.as_str());
        }
        send(self.call, &put_off).await.map(drop)
    }

    /// Claims what it can.
    async fn claim(&self, shard: u8, claimable: Claimable) -> Result<Vec<Ended>> {
        let Claimable { gone, lapsed, own } = claimable;
        let wanted: Vec<SessionId> = {
            let lapsed = lapsed.iter().map(|(_, id)| id);
            own.iter().chain(lapsed).chain(&gone).cloned().collect()
        };
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        tokio::time::sleep(SETTLING).await;
        let keys = &self.index.keys;
        let (due, claims) = (keys.expiry_due(shard), keys.expiry_claims(shard));
        let (mut claim, mut known) = (redis::cmd("ZADD"), redis::cmd("HMGET"));
        claim.arg(&claims);
        known.arg(keys.expiry_known(shard));
        for id in &wanted {
            claim.arg(self.now + LEASE_MILLIS).arg(self.index.claim(id));
            known.arg(id.as_str());
        }
        // Before an entry goes the claim must be there: a server without free memory refuses the
        // first and would do the second.
        let is_repeated = send(self.call, &claim).await?.is_repeated;
        let mut commands = Pipeline::with_capacity(wanted.len() + 1);
        commands.add_command(known);
        for (claim, _) in &lapsed {
            commands.cmd("ZREM").arg(&claims).arg(claim);
        }
        for id in &gone {
            commands.cmd("ZREM").arg(&due).arg(id.as_str());
        }
        let sent = send_all(self.call, &commands).await?;
        let mut answers = sent.answer.into_iter();
        let known: Vec<Option<Vec<u8>>> = convert(answers.next())?;
        let removed: Vec<u8> = answers
            .map(|one| convert(Some(one)))
            .collect::<Result<_>>()?;
        let is_ours = own.iter().map(|_| true);
        let is_ours = is_ours.chain(removed.into_iter().map(|count| count > 0));
        let (mut ended, mut lost) = (Vec::new(), Vec::new());
        for ((id, known), is_ours) in wanted.into_iter().zip(known).zip(is_ours) {
            match is_ours {
                true => ended.push(self.ended(id, known)),
                false => lost.push(id),
            }
        }
        // After a lost answer they may be ours: those claims lapse, and are taken over.
        if !(is_repeated || sent.is_repeated) {
            self.withdraw(&claims, &lost).await;
        }
        Ok(ended)
    }

    fn ended(&self, id: SessionId, known: Option<Vec<u8>>) -> Ended {
        match known.and_then(|known| Known::decode(&known)) {
            Some(known) => known.ended(id, self.now),
            None => Ended::unknown(id),
        }
    }

    /// Removes claims of this store. If that fails, what it has claimed is told all the same.
    async fn withdraw(&self, claims: &str, ids: &[SessionId]) {
        if ids.is_empty() {
            return;
        }
        let mut withdraw = redis::cmd("ZREM");
        withdraw.arg(claims);
        for id in ids {
            withdraw.arg(self.index.claim(id));
        }
        if let Err(error) = send(self.call, &withdraw).await {
            tracing::debug!(%error, "cannot withdraw claims of the expiry index");
        }
    }
}

fn ids(members: &[Vec<u8>]) -> Vec<SessionId> {
    let id = |member: &Vec<u8>| SessionId::from_stored(std::str::from_utf8(member).ok()?).ok();
    members.iter().filter_map(id).collect()
}
