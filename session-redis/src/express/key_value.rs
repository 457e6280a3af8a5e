//! Values as connect-redis keeps them.

use std::collections::HashSet;
use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use redis::{Cmd, FromRedisValue, Pipeline, Script};
use session_core::backend::{Call, Operation, Sent};
use session_core::{Cursor, Error, Result, Ttl, async_trait, to_the_end};
use session_express::{Configured, Found, KeyValue, Listed, Renamed};

use super::ExpressStoreBuilder;
use super::script::Scripts;
use crate::command::{eval, send_by};
use crate::keys::Keys;
use crate::{RedisClient, RedisStore, scan};

/// How many commands are under way at once when many keys are looked at.
const AT_ONCE: usize = 64;

/// Values as connect-redis keeps them.
#[derive(Clone)]
pub struct ConnectRedis {
    /// For its connection.
    pub(super) store: RedisStore,
    pub(super) place: Arc<str>,
    pub(super) is_cluster: bool,
    pub(super) scripts: Arc<Scripts>,
    pub(super) prefix: String,
    pub(super) max_data: usize,
    pub(super) disable_ttl: bool,
}

impl Configured for ConnectRedis {
    type Builder = ExpressStoreBuilder;
}

impl ConnectRedis {
    fn key(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// Whole seconds, rounded up as connect-redis does; 0 is for ever.
    fn seconds(&self, ttl: Ttl) -> u64 {
        match ttl.left() {
            Some(left) if !self.disable_ttl => u64::try_from(left.as_millis().div_ceil(1_000))
                .unwrap_or(u64::MAX)
                .clamp(1, 1 << 40),
            _ => 0,
        }
    }

    /// Sends a command, again if that can help.
    async fn send<T: FromRedisValue>(
        &self,
        operation: &'static str,
        command: &Cmd,
    ) -> Result<Sent<T>> {
        let work = |call: Call<RedisClient>| async move {
            let ask = |mut client| async move { command.query_async(&mut client).await };
            send_by(&call, 1, ask).await
        };
        self.store.by_command(named(operation), work).await
    }

    /// Runs a script, which answers with a number: 0 or less if nothing was written.
    async fn run(
        &self,
        operation: &'static str,
        script: &Script,
        keys: &[String],
        arguments: &[&[u8]],
    ) -> Result<i64> {
        let mut command = eval(script, keys);
        command.arg(arguments);
        let sent: Sent<i64> = self.send(operation, &command).await?;
        self.told(operation, sent.is_repeated, sent.answer > 0)?;
        Ok(sent.answer)
    }

    /// Fails if nothing was `written` by a command that was sent before, over a connection that was
    /// lost: that sending may have done it.
    fn told(&self, operation: &'static str, before: bool, written: bool) -> Result<()> {
        if !before || written {
            return Ok(());
        }
        let why = "the connection was lost, and with it what became of the change";
        Err(Error::unavailable(
            operation,
            format!("{}: {why}", self.place),
        ))
    }

    /// The name that this key has here.
    fn name(&self, key: Vec<u8>) -> Option<String> {
        let key = String::from_utf8(key).ok()?;
        key.strip_prefix(&self.prefix).map(str::to_owned)
    }

    fn pattern(&self) -> String {
        Keys::new(&self.prefix).pattern()
    }

    /// All names, each once.
    async fn names(&self, operation: &'static str) -> Result<HashSet<String>> {
        let work = |call: Call<RedisClient>| async move {
            let pattern = self.pattern();
            let mut names = HashSet::new();
            let mut keys = pin!(scan::walk(&call, &pattern));
            while let Some(keys) = keys.try_next().await? {
                names.extend(keys.into_iter().filter_map(|key| self.name(key)));
            }
            Ok(names)
        };
        self.store.by_command(named(operation), work).await
    }

    async fn set_if_free(
        &self,
        operation: &'static str,
        name: &str,
        value: &Bytes,
        ttl: Ttl,
    ) -> Result<bool> {
        let mut command = redis::cmd("SET");
        command.arg(self.key(name)).arg(&value[..]).arg("NX");
        match self.seconds(ttl) {
            0 => {}
            seconds => {
                command.arg("EX").arg(seconds);
            }
        }
        let sent: Sent<Option<String>> = self.send(operation, &command).await?;
        self.told(operation, sent.is_repeated, sent.answer.is_some())?;
        Ok(sent.answer.is_some())
    }

    /// A rename in two steps.
    async fn move_value(
        &self,
        (from, to): (String, String),
        (old, new): (Bytes, Bytes),
        ttl: Ttl,
    ) -> Result<Renamed> {
        let (take, from) = (&self.scripts.take, [self.key(&from)]);
        if self.run("rename", take, &from, &[&old]).await? == 0 {
            return Ok(Renamed::Changed);
        }
        match self.set_if_free("rename", &to, &new, ttl).await? {
            true => Ok(Renamed::Done),
            false => Ok(Renamed::Taken),
        }
    }
}

#[async_trait]
impl KeyValue for ConnectRedis {
    const TTL: Duration = Duration::from_secs(86_400);

    fn max_data(&self) -> usize {
        self.max_data
    }

    async fn get(&self, operation: &'static str, name: &str) -> Result<Option<Found>> {
        let key = self.key(name);
        let mut commands = Pipeline::with_capacity(3);
        // For a change the primary has to say what there is.
        if !matches!(operation, "load" | "list") && !self.is_cluster {
            let write = Keys::new(&self.prefix).harmless_write();
            commands.add_command(write).ignore();
        }
        commands.get(&key).pttl(&key);
        let (commands, count) = (&commands, commands.len());
        let work = |call: Call<RedisClient>| async move {
            let ask = |mut client| async move { commands.query_async(&mut client).await };
            send_by(&call, count, ask).await
        };
        let sent = self.store.by_command(named(operation), work);
        let (value, left): (Option<Vec<u8>>, i64) = sent.await?.answer;
        let left = match u64::try_from(left) {
            Ok(left) => Ttl::Left(Duration::from_millis(left)),
            // It went between the two commands.
            Err(_) if left == -2 => return Ok(None),
            Err(_) => Ttl::Never,
        };
        Ok(value.map(|value| Found {
            value: value.into(),
            left,
            modified: None,
        }))
    }

    async fn add(&self, name: &str, value: &Bytes, ttl: Ttl) -> Result<bool> {
        self.set_if_free("create", name, value, ttl).await
    }

    async fn swap(&self, name: &str, old: &Bytes, new: &Bytes, ttl: Ttl) -> Result<bool> {
        let seconds = self.seconds(ttl).to_string();
        let (script, keys) = (&self.scripts.swap, [self.key(name)]);
        let arguments = [old, new, seconds.as_bytes()];
        Ok(self.run("save", script, &keys, &arguments).await? > 0)
    }

    async fn extend(&self, name: &str, ttl: Ttl) -> Result<bool> {
        let seconds = self.seconds(ttl).to_string();
        let (script, keys) = (&self.scripts.extend, [self.key(name)]);
        let arguments = [seconds.as_bytes()];
        Ok(self.run("touch", script, &keys, &arguments).await? > 0)
    }

    /// One step, except in a cluster, where the two keys are on different nodes.
    async fn rename(
        &self,
        from: &str,
        to: &str,
        old: &Bytes,
        new: &Bytes,
        ttl: Ttl,
    ) -> Result<Renamed> {
        if self.is_cluster {
            let (kv, names) = (self.clone(), (from.to_owned(), to.to_owned()));
            let values = (old.clone(), new.clone());
            let work = async move { kv.move_value(names, values, ttl).await };
            return to_the_end("rename", work).await;
        }
        let seconds = self.seconds(ttl).to_string();
        let keys = [self.key(from), self.key(to)];
        let arguments = [old, new, seconds.as_bytes()];
        let code = self.run("rename", &self.scripts.rename, &keys, &arguments);
        Ok(match code.await? {
            0 => Renamed::Changed,
            1.. => Renamed::Done,
            _ => Renamed::Taken,
        })
    }

    async fn remove(&self, name: &str) -> Result<bool> {
        let mut command = redis::cmd("UNLINK");
        command.arg(self.key(name));
        let sent: Sent<u64> = self.send("destroy", &command).await?;
        // By the sending before, perhaps.
        Ok(sent.answer > 0 || sent.is_repeated)
    }

    /// Scans all keys of the database: its time grows with them.
    async fn count(&self) -> Result<u64> {
        Ok(self.names("count").await?.len() as u64)
    }

    async fn page(&self, cursor: Option<&Cursor>, limit: usize) -> Result<Listed> {
        let pattern = self.pattern();
        let work = |call: Call<RedisClient>| async move {
            scan::page(&call, &pattern, cursor, limit).await
        };
        let (keys, next) = self.store.by_command(Operation::List, work).await?;
        let names = keys.into_iter().filter_map(|key| self.name(key));
        let values = stream::iter(names)
            .map(|name| async move {
                match self.get("list", &name).await {
                    Ok(found) => Ok(found.map(|found| (name, found))),
                    // A key that holds something else costs only itself.
                    Err(Error::Corrupt { .. }) => Ok(None),
                    Err(error) => Err(error),
                }
            })
            .buffered(AT_ONCE)
            .try_filter_map(|found| async move { Ok::<_, Error>(found) })
            .try_collect()
            .await?;
        Ok(Listed { values, next })
    }

    async fn clear(&self) -> Result<u64> {
        if !self.is_cluster {
            // What the primary lacks, and not another server, is cleared.
            let write = Keys::new(&self.prefix).harmless_write();
            self.send::<u64>("clear", &write).await?;
        }
        let names = self.names("clear").await?;
        let removed: Vec<bool> = stream::iter(names)
            .map(|name| async move { self.remove(&name).await })
            .buffer_unordered(AT_ONCE)
            .try_collect()
            .await?;
        Ok(removed.into_iter().filter(|removed| *removed).count() as u64)
    }
}

impl fmt::Debug for ConnectRedis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectRedis")
            .field("place", &self.place)
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}

fn named(operation: &str) -> Operation {
    match operation {
        "load" => Operation::Load,
        "create" => Operation::Create,
        "touch" => Operation::Touch,
        "destroy" => Operation::Destroy,
        "count" => Operation::Count,
        "list" => Operation::List,
        "clear" => Operation::Clear,
        _ => Operation::Save,
    }
}
