//! The expiry index: which sessions are to be looked for when their time has passed, so that each
//! end is told.
//!
//! It has 16 shards of three keys each, by a hash of the id:
//!
//! | key | value |
//! |---|---|
//! | `prefixexpiry:{NN}.due` | a sorted set of ids, by the time at which to look for the session |
//! | `prefixexpiry:{NN}.known` | a hash: of each id, when the session began and whose it is |
//! | `prefixexpiry:{NN}.claims` | a sorted set of claimants and ids that are being told, by when the claim lapses |
//!
//! An entry is written before its session, and names a time that is never later than the deadline:
//! a use of a session moves the deadline and leaves the entry alone, which would else cost a save a
//! third more of the server's time. A reaper that finds the session alive writes the new time. After
//! a save with a shorter limit, the entry gets the time that the key has left. After a sign-in it is
//! written anew, but not if it is gone: another process has ended the session meanwhile, and an entry
//! would have it told as expired too.
//!
//! All of it are plain commands, so it needs no scripts.

mod known;
mod sweep;

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::time::Instant;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use redis::{Cmd, Pipeline};
use session_core::backend::{Call, Create, Save};
use session_core::{Anchor, Draft, ErrorKind, Result, Saved, SessionId, Stamp};
use tokio::sync::Mutex;

use crate::RedisClient;
use crate::clock::Reading;
use crate::command::{convert, send, send_all, send_by, unawaited};
use crate::keys::Keys;
use crate::record::{began, stored_lifetime};
use crate::scan::SCAN_COUNT;
use crate::server::Server;
use known::Known;

/// In a cluster, each may be on another node.
pub(crate) const SHARDS: u8 = 16;

/// The commands that the index needs.
pub(crate) const COMMANDS: &[&str] = &[
    "ZADD $ XX LT 1 x",
    "ZRANGE $ -inf 0 BYSCORE LIMIT 0 1",
    "ZREM $ x",
    "HMGET $ x",
    "HDEL $ x",
    "PTTL $",
    // On a key of another type, so that nothing remains.
    "SET $ x PX 10000",
    "HSET $ x y",
    "UNLINK $",
];

/// The expiry index of one store.
pub(crate) struct ExpiryIndex {
    keys: Keys,
    /// Names the claims of this store.
    claimant: String,
    /// The shard that the next sweep begins with: reapers should not meet.
    next: AtomicU8,
    /// A claim of this store that has lapsed is taken over by one sweep only.
    sweeping: Mutex<()>,
}

impl ExpiryIndex {
    pub(crate) fn new(keys: Keys) -> Self {
        let random = *Stamp::generate().as_bytes();
        Self {
            keys,
            claimant: URL_SAFE_NO_PAD.encode(&random[..9]),
            next: AtomicU8::new(random[9]),
            sweeping: Mutex::new(()),
        }
    }

    /// The commands that enter the session `id`, which is created, or begins anew, at server time `now`.
    pub(crate) fn entry(&self, id: &SessionId, draft: &Draft, now: u64) -> [Cmd; 2] {
        let shard = shard(id);
        let mut due = redis::cmd("ZADD");
        // An earlier time is as good: the session is looked for, and found alive.
        due.arg(self.keys.expiry_due(shard)).arg("LT");
        due.arg(when_due(draft, now)).arg(id.as_str());
        let mut known = redis::cmd("HSET");
        known.arg(self.keys.expiry_known(shard)).arg(id.as_str());
        known.arg(Known::encode(began(draft, now), draft.owner.as_ref()));
        [due, known]
    }

    /// After `creates`: removes the entries of those that are known to have failed. The caller does
    /// not wait for it.
    pub(crate) fn created(
        &self,
        call: &Call<RedisClient>,
        creates: &[Create],
        outcomes: &Result<Vec<Result<Saved>>>,
    ) {
        let error = |index: usize| match outcomes {
            Ok(outcomes) => outcomes.get(index)?.as_ref().err(),
            Err(error) => Some(error),
        };
        let failed = creates.iter().enumerate().filter_map(|(index, create)| {
            let has_failed = error(index).is_some_and(|error| !error.is_doubtful());
            has_failed.then_some(&create.id)
        });
        self.remove(call, failed);
    }

    /// After a save: if the deadline may be earlier than it was, or the session begins anew, perhaps
    /// with another owner, the entry is written again. The caller does not wait for it.
    pub(crate) fn saved(self: &Arc<Self>, call: &Call<RedisClient>, save: &Save) {
        if save.draft.anchor != Anchor::Restart && !may_be_earlier(save) {
            return;
        }
        let (index, call, save) = (Arc::clone(self), call.detached(), save.clone());
        unawaited(async move {
            if let Err(error) = index.enter_again(&call, &save).await {
                tracing::debug!(%error, "cannot write the expiry index");
            }
        });
    }

    async fn enter_again(&self, call: &Call<RedisClient>, save: &Save) -> Result<()> {
        let Save { id, draft, .. } = save;
        let now = now(call).await?;
        if draft.anchor == Anchor::Restart {
            return self.begin_again(call, id, draft, now).await;
        }
        // Asked after `now`, so the sum is not later than the deadline.
        let mut ask = redis::cmd("PTTL");
        ask.arg(self.keys.session(id));
        let left: i64 = convert(Some(send(call, &ask).await?.answer))?;
        if left == -1 {
            return Ok(());
        }
        let left = u64::try_from(left).unwrap_or(0);
        let hasten = self.hasten(id, now.saturating_add(left).to_string());
        send(call, &hasten).await.map(drop)
    }

    /// The command that has the entry of `id` name the time `due`, if that is earlier. A session
    /// that was destroyed meanwhile has no entry, and gets none.
    fn hasten(&self, id: &SessionId, due: String) -> Cmd {
        let mut hasten = redis::cmd("ZADD");
        hasten.arg(self.keys.expiry_due(shard(id)));
        hasten.arg("XX").arg("LT").arg(due).arg(id.as_str());
        hasten
    }

    /// After a sign-in. One round trip; up to two more for a session without an entry, which has
    /// ended, or was created while expiries were not reported.
    async fn begin_again(
        &self,
        call: &Call<RedisClient>,
        id: &SessionId,
        draft: &Draft,
        now: u64,
    ) -> Result<()> {
        let [due, known] = self.entry(id, draft, now);
        let mut commands = Pipeline::with_capacity(3);
        commands.add_command(known);
        commands.add_command(self.hasten(id, when_due(draft, now)));
        // It adds nothing: the answer tells whether there is an entry.
        let ask = commands.cmd("ZADD").arg(self.keys.expiry_due(shard(id)));
        ask.arg("XX").arg("INCR").arg(0).arg(id.as_str());
        let mut answers = send_all(call, &commands).await?.answer;
        if convert::<Option<f64>>(answers.pop())?.is_some() {
            return Ok(());
        }
        let mut ask = redis::cmd("PTTL");
        ask.arg(self.keys.session(id));
        let has_ended = convert::<i64>(Some(send(call, &ask).await?.answer))? == -2;
        let mut forget = redis::cmd("HDEL");
        forget.arg(self.keys.expiry_known(shard(id)));
        forget.arg(id.as_str());
        let next = if has_ended { forget } else { due };
        send(call, &next).await.map(drop)
    }

    /// Removes `ids`, whose sessions have ended otherwise. The caller does not wait for it.
    pub(crate) fn remove<'a>(
        &self,
        call: &Call<RedisClient>,
        ids: impl Iterator<Item = &'a SessionId>,
    ) {
        for (shard, ids) in by_shard(ids) {
            let commands = removal(&self.keys, shard, &ids);
            let call = call.detached();
            unawaited(async move {
                if let Err(error) = send_all(&call, &commands).await {
                    tracing::debug!(%error, "cannot remove ended sessions from the expiry index");
                }
            });
        }
    }

    /// All shards, at each call from another one on.
    fn shards(&self) -> impl Iterator<Item = u8> + use<> {
        let first = self.next.fetch_add(1, Relaxed) % SHARDS;
        (first..SHARDS).chain(0..first)
    }
}

/// Removes the sessions `cleared` from the index of the store with `keys`.
pub(crate) async fn remove_cleared(
    call: &Call<RedisClient>,
    keys: &Keys,
    cleared: &HashSet<SessionId>,
) -> Result<()> {
    for (shard, ids) in by_shard(cleared.iter()) {
        let held = [keys.expiry_due(shard), keys.expiry_known(shard)];
        for ids in ids.chunks(SCAN_COUNT) {
            for (key, command) in held.iter().zip(removal(keys, shard, ids).cmd_iter()) {
                match send(call, command).await {
                    Err(error) if error.kind() == ErrorKind::Corrupt => {
                        // A value of another type, which would stop all sweeps.
                        let mut unlink = redis::cmd("UNLINK");
                        unlink.arg(key);
                        send(call, &unlink).await?;
                    }
                    sent => drop(sent?),
                }
            }
        }
    }
    Ok(())
}

/// When to look for a session that begins at `now`, as a score.
fn when_due(draft: &Draft, now: u64) -> String {
    let left = draft.left_at_create().millis();
    left.map_or_else(
        || "+inf".to_owned(),
        |left| now.saturating_add(left).to_string(),
    )
}

/// The commands that remove `ids`, all of one shard.
fn removal(keys: &Keys, shard: u8, ids: &[&SessionId]) -> Pipeline {
    let mut due = redis::cmd("ZREM");
    due.arg(keys.expiry_due(shard));
    let mut known = redis::cmd("HDEL");
    known.arg(keys.expiry_known(shard));
    for id in ids {
        due.arg(id.as_str());
        known.arg(id.as_str());
    }
    let mut commands = Pipeline::with_capacity(2);
    commands.add_command(due).add_command(known);
    commands
}

/// The earliest that the server's time may be, in milliseconds. A round trip, unless it was asked
/// for a moment ago.
pub(crate) async fn now(call: &Call<RedisClient>) -> Result<u64> {
    let ask = |server: Arc<Server>| async move {
        if let Some(reading) = server.clock.reading() {
            return Ok(reading.earliest());
        }
        let requested = Instant::now();
        let time = redis::cmd("TIME").query_async(&mut &*server).await?;
        let reading = Reading::new(time, requested);
        server.clock.set(reading);
        Ok(reading.reported())
    };
    Ok(send_by(call, 1, ask).await?.answer)
}

/// Whether a save may bring the deadline forward. The lifetime that it replaces is not known of a
/// version of which only the stamp is known.
fn may_be_earlier(save: &Save) -> bool {
    let lifetime = save.draft.lifetime;
    stored_lifetime(save.expected.stored())
        .is_none_or(|old| lifetime.idle < old.idle || lifetime.absolute < old.absolute)
}

/// FNV-1a.
fn shard(id: &SessionId) -> u8 {
    let hash = id.as_str().bytes().fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    });
    (hash % u32::from(SHARDS)) as u8
}

fn by_shard<'a>(ids: impl Iterator<Item = &'a SessionId>) -> BTreeMap<u8, Vec<&'a SessionId>> {
    let mut shards: BTreeMap<u8, Vec<&SessionId>> = BTreeMap::new();
    for id in ids {
        shards.entry(shard(id)).or_default().push(id);
    }
    shards
}

#[cfg(test)]
mod tests {
    use session_core::{Lifetime, SessionToken, Timeout, Version};

    use super::*;
    use crate::record::Tail;

    #[test]
    fn sessions_spread_over_the_shards() {
        let mut counts = [0_u32; SHARDS as usize];
        for _ in 0..16_000 {
            counts[usize::from(shard(&SessionToken::generate().id()))] += 1;
        }
        assert!(
            counts.iter().all(|count| (800..1_200).contains(count)),
            "{counts:?}"
        );
    }

    #[test]
    fn a_save_may_bring_a_deadline_forward_if_it_has_a_shorter_limit_than_what_it_replaces() {
        let hours = |hours: u64| Timeout::from_millis((hours > 0).then_some(hours * 3_600_000));
        let draft = |[idle, absolute]: [u64; 2]| {
            Draft::new("{}", Lifetime::new(hours(idle), hours(absolute)))
        };
        let may_be_earlier = |old: Option<[u64; 2]>, new| {
            let version = Version::new(Stamp::generate());
            let version = match old {
                Some(old) => version.with_stored(Tail::value(&draft(old), 1, 0)),
                None => version,
            };
            may_be_earlier(&Save::new(
                SessionToken::generate().id(),
                draft(new),
                version,
            ))
        };
        // 0 is never.
        for (old, new, expected) in [
            (Some([1, 9]), [1, 9], false),
            (Some([1, 9]), [2, 0], false),
            (Some([0, 0]), [0, 0], false),
            (Some([0, 0]), [1, 0], true),
            (Some([0, 0]), [0, 9], true),
            (Some([2, 9]), [1, 9], true),
            (Some([1, 9]), [1, 8], true),
            (None, [1, 9], true),
        ] {
            assert_eq!(may_be_earlier(old, new), expected, "{old:?} {new:?}");
        }
    }

    #[test]
    fn an_id_stays_in_its_shard() {
        let id = |text| SessionId::from_stored(text).expect("valid");
        assert_eq!([shard(&id("a")), shard(&id("foobar"))], [12, 8]);
    }
}
