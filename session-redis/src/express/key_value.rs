//! The records of connect-redis.

use std::collections::HashSet;
use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use redis::Pipeline;
use session_core::backend::{Call, Operation, Policy, Sent, run_to_completion};
use session_core::{Cursor, Error, ErrorKind, Result, Ttl};
use session_express::{Configured, Found, KeyValue, Listed, Renamed};

use super::ExpressStoreBuilder;
use super::script::Scripts;
use super::write::send;
use crate::command::send_by;
use crate::keys::Keys;
use crate::route::Route;
use crate::server::Server;
use crate::{RedisClient, scan};

/// How many commands on single keys may be in flight.
const MAX_IN_FLIGHT: usize = 64;

/// The records of connect-redis: reads and writes them for an
/// [`ExpressStore`](super::ExpressStore).
#[derive(Clone)]
pub struct ConnectRedis {
    pub(super) scripts: Arc<Scripts>,
    pub(super) prefix: String,
    /// A key that holds nothing.
    pub(super) scratch: String,
    pub(super) is_cluster: bool,
    pub(super) policy: Policy,
    pub(super) disable_ttl: bool,
}

impl Configured for ConnectRedis {
    type Builder = ExpressStoreBuilder;
}

impl ConnectRedis {
    fn key(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// Whole seconds, rounded up as connect-redis does; 0 for ever.
    pub(super) fn seconds(&self, ttl: Ttl) -> u64 {
        match ttl.left() {
            Some(left) if !self.disable_ttl => u64::try_from(left.as_millis().div_ceil(1_000))
                .unwrap_or(u64::MAX)
                .clamp(1, 1 << 40),
            _ => 0,
        }
    }

    /// The name of the record that `key` holds.
    fn name(&self, key: Vec<u8>) -> Option<String> {
        let key = String::from_utf8(key).ok()?;
        key.strip_prefix(&self.prefix).map(str::to_owned)
    }

    fn keys(&self) -> Keys {
        Keys::new(&self.prefix)
    }

    /// The names of all records, each once.
    async fn names(&self, call: &Call<RedisClient>) -> Result<HashSet<String>> {
        let all = self.keys();
        let mut names = HashSet::new();
        let mut keys = pin!(scan::scan_all(call, &all));
        while let Some(keys) = keys.try_next().await? {
            names.extend(keys.into_iter().filter_map(|key| self.name(key)));
        }
        Ok(names)
    }
}

impl KeyValue for ConnectRedis {
    type Client = RedisClient;

    const NAME: &'static str = "redis";
    const TTL: Duration = Duration::from_secs(86_400);

    fn policy(&self) -> Policy {
        self.policy
    }

    async fn get(&self, call: &Call<RedisClient>, name: &str) -> Result<Option<Found>> {
        let key = self.key(name);
        let mut commands = Pipeline::with_capacity(3);
        // A change must know what the primary has.
        if !matches!(call.operation(), Operation::Load | Operation::List) && !self.is_cluster {
            let write = self.keys().no_op_write();
            commands.add_command(write).ignore();
        }
        commands.get(&key).pttl(&key);
        let (commands, count) = (&commands, commands.len());
        let ask = |server: Arc<Server>| async move { commands.query_async(&mut &*server).await };
        let (value, left): (Option<Vec<u8>>, i64) =
            send_by(Route::to_key(call, &key), count, ask).await?.answer;
        let left = match u64::try_from(left) {
            Ok(left) => Ttl::Left(Duration::from_millis(left)),
            // The key expired between the two commands.
            Err(_) if left == -2 => return Ok(None),
            Err(_) => Ttl::Never,
        };
        Ok(value.map(|value| Found {
            value: value.into(),
            left,
            modified: None,
        }))
    }

    async fn add(
        &self,
        call: &Call<RedisClient>,
        name: &str,
        value: &Bytes,
        ttl: Ttl,
    ) -> Result<bool> {
        self.set_if_free(call, &self.key(name), value, ttl).await
    }

    async fn swap(
        &self,
        call: &Call<RedisClient>,
        name: &str,
        old: &Bytes,
        new: &Bytes,
        ttl: Ttl,
    ) -> Result<bool> {
        self.swap_value(call, &self.key(name), (old, new), ttl)
            .await
    }

    async fn extend(&self, call: &Call<RedisClient>, name: &str, ttl: Ttl) -> Result<bool> {
        self.extend_life(call, &self.key(name), ttl).await
    }

    /// Renames atomically by a script; in steps where the server compares by itself, so that a user
    /// who may run no scripts needs none, and in a cluster, where the two keys are on different
    /// nodes.
    async fn rename(
        &self,
        call: &Call<RedisClient>,
        from: &str,
        to: &str,
        old: &Bytes,
        new: &Bytes,
        ttl: Ttl,
    ) -> Result<Renamed> {
        let (from, to) = (self.key(from), self.key(to));
        let by_script = self.rename_by_script(call, [&from, &to], (old, new), ttl);
        if let Some(renamed) = by_script.await? {
            return Ok(renamed);
        }
        let (kv, own) = (self.clone(), call.detached());
        let (old, new) = (old.clone(), new.clone());
        let work = async move {
            kv.rename_in_steps(&own, [&from, &to], (&old, &new), ttl)
                .await
        };
        run_to_completion(call.name(), work).await
    }

    async fn remove(&self, call: &Call<RedisClient>, name: &str) -> Result<bool> {
        let mut command = redis::cmd("UNLINK");
        command.arg(self.key(name));
        let sent: Sent<u64> = send(call, &command).await?;
        // An earlier attempt may have removed it.
        Ok(sent.answer > 0 || sent.is_repeated)
    }

    /// Scans all keys of the database, so the time grows with their number.
    async fn count(&self, call: &Call<RedisClient>) -> Result<u64> {
        Ok(self.names(call).await?.len() as u64)
    }

    async fn page(
        &self,
        call: &Call<RedisClient>,
        cursor: Option<&Cursor>,
        limit: usize,
    ) -> Result<Listed> {
        let (keys, next) = scan::page(call, &self.keys(), cursor, limit).await?;
        let names = keys.into_iter().filter_map(|key| self.name(key));
        let values = stream::iter(names)
            .map(|name| async move {
                match self.get(call, &name).await {
                    Ok(found) => Ok(found.map(|found| (name, found))),
                    // A key with a value of another type is left out.
                    Err(error) if error.kind() == ErrorKind::Corrupt => Ok(None),
                    Err(error) => Err(error),
                }
            })
            .buffered(MAX_IN_FLIGHT)
            .try_filter_map(|found| async move { Ok::<_, Error>(found) })
            .try_collect()
            .await?;
        Ok(Listed { values, next })
    }

    async fn clear(&self, call: &Call<RedisClient>) -> Result<u64> {
        if !self.is_cluster {
            // Only the primary executes it, so no other server is scanned.
            let write = self.keys().no_op_write();
            send::<u64>(call, &write).await?;
        }
        let names = self.names(call).await?;
        let removed: Vec<bool> = stream::iter(names)
            .map(|name| async move { self.remove(call, &name).await })
            .buffer_unordered(MAX_IN_FLIGHT)
            .try_collect()
            .await?;
        Ok(removed.into_iter().filter(|removed| *removed).count() as u64)
    }
}

impl fmt::Debug for ConnectRedis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectRedis")
            .field("prefix", &self.prefix)
            .field("is_cluster", &self.is_cluster)
            .finish_non_exhaustive()
    }
}
