//! The writes that depend on what is stored. The server's own commands compare where it has them
//! (`SET … IFEQ`, `DELIFEQ`), scripts elsewhere: both on the same records at once are safe.

use std::sync::Arc;

use bytes::Bytes;
use redis::{Cmd, FromRedisValue, Pipeline, RedisError, Script, Value};
use session_core::backend::{Call, Sent};
use session_core::{Error, Result, Ttl};
use session_express::Renamed;

use super::ConnectRedis;
use crate::RedisClient;
use crate::command::{convert, eval, send_by};
use crate::lane::Lane;
use crate::route::Route;
use crate::server::Server;

/// A server that needs no scripts.
pub(super) const DELETES: Lane = Lane::Compare { deletes: true };

/// One write in the words of either lane.
struct Write<'a> {
    key: &'a str,
    /// The server's own commands. The last one answers with nothing or 0 if nothing was written.
    own: Pipeline,
    /// Whether those also need `DELIFEQ`.
    deletes: bool,
    /// Its answer is 0 or less if nothing was written.
    script: Cmd,
}

impl<'a> Write<'a> {
    fn new(own: Pipeline, script: &Script, key: &'a str, arguments: &[&[u8]]) -> Self {
        let mut script = eval(script, &[key]);
        script.arg(arguments);
        Self {
            key,
            own,
            deletes: false,
            script,
        }
    }
}

impl ConnectRedis {
    /// Replaces the value `old` of `key`. Returns whether it did.
    pub(super) async fn swap_value(
        &self,
        call: &Call<RedisClient>,
        key: &str,
        (old, new): (&Bytes, &Bytes),
        ttl: Ttl,
    ) -> Result<bool> {
        let seconds = self.seconds(ttl);
        let mut own = Pipeline::with_capacity(1);
        let set = own.cmd("SET").arg(key).arg(&new[..]);
        set.arg("IFEQ").arg(&old[..]);
        if seconds > 0 {
            set.arg("EX").arg(seconds);
        }
        let seconds = seconds.to_string();
        let arguments = [old, new, seconds.as_bytes()];
        let write = Write::new(own, &self.scripts.swap, key, &arguments);
        Ok(self.write(call, &write).await? > 0)
    }

    /// Extends the time to live of `key` if it is shorter. Returns whether there is a value.
    pub(super) async fn extend_life(
        &self,
        call: &Call<RedisClient>,
        key: &str,
        ttl: Ttl,
    ) -> Result<bool> {
        let seconds = self.seconds(ttl);
        let mut own = Pipeline::with_capacity(2);
        match seconds {
            0 => own.cmd("PERSIST").arg(key),
            seconds => own.cmd("EXPIRE").arg(key).arg(seconds).arg("GT"),
        };
        own.cmd("EXISTS").arg(key);
        let seconds = seconds.to_string();
        let write = Write::new(own, &self.scripts.extend, key, &[seconds.as_bytes()]);
        Ok(self.write(call, &write).await? > 0)
    }

    /// Renames by a script, atomically; `None` where the server compares by itself, or the names
    /// are on different nodes.
    pub(super) async fn rename_by_script(
        &self,
        call: &Call<RedisClient>,
        [from, to]: [&str; 2],
        (old, new): (&Bytes, &Bytes),
        ttl: Ttl,
    ) -> Result<Option<Renamed>> {
        let seconds = self.seconds(ttl).to_string();
        let mut script = eval(&self.scripts.rename, &[from, to]);
        script.arg(&[old, new, seconds.as_bytes()]);
        let script = &script;
        let ask = |server: Arc<Server>| async move {
            if self.is_cluster || server.lane(&self.scratch).await? == DELETES {
                return Ok(None);
            }
            match script.query_async::<i64>(&mut &*server).await {
                Err(error) if may_need_no_scripts(&server, &error) => Ok(None),
                code => code.map(Some),
            }
        };
        let sent: Sent<Option<i64>> = send_by(Route::to_key(call, from), 1, ask).await?;
        let Some(code) = sent.answer else {
            return Ok(None);
        };
        check_written(call, sent.is_repeated, code > 0)?;
        Ok(Some(match code {
            0 => Renamed::Changed,
            1.. => Renamed::Done,
            _ => Renamed::Taken,
        }))
    }

    /// Renames in steps, of which the first writes nothing: a server that would refuse the last one
    /// refuses it, and the record stays.
    pub(super) async fn rename_in_steps(
        &self,
        call: &Call<RedisClient>,
        [from, to]: [&str; 2],
        (old, new): (&Bytes, &Bytes),
        ttl: Ttl,
    ) -> Result<Renamed> {
        let mut nothing = redis::cmd("SET");
        nothing.arg(&self.scratch).arg("").arg("XX");
        send::<Value>(call, &nothing).await?;
        let mut own = Pipeline::with_capacity(1);
        own.cmd("DELIFEQ").arg(from).arg(&old[..]);
        let mut take = Write::new(own, &self.scripts.take, from, &[old]);
        take.deletes = true;
        if self.write(call, &take).await? <= 0 {
            return Ok(Renamed::Changed);
        }
        match self.set_if_free(call, to, new, ttl).await? {
            true => Ok(Renamed::Done),
            false => Ok(Renamed::Taken),
        }
    }

    pub(super) async fn set_if_free(
        &self,
        call: &Call<RedisClient>,
        key: &str,
        value: &Bytes,
        ttl: Ttl,
    ) -> Result<bool> {
        let mut command = redis::cmd("SET");
        command.arg(key).arg(&value[..]).arg("NX");
        match self.seconds(ttl) {
            0 => {}
            seconds => {
                command.arg("EX").arg(seconds);
            }
        }
        let sent: Sent<Option<String>> = send(call, &command).await?;
        check_written(call, sent.is_repeated, sent.answer.is_some())?;
        Ok(sent.answer.is_some())
    }

    /// Returns a number: 0 or less if nothing was written.
    async fn write(&self, call: &Call<RedisClient>, write: &Write<'_>) -> Result<i64> {
        let ask = |server: Arc<Server>| async move {
            let is_own = match server.lane(&self.scratch).await? {
                Lane::Compare { deletes } => deletes || !write.deletes,
                Lane::Scripts => false,
            };
            if !is_own {
                match write.script.query_async(&mut &*server).await {
                    Err(error) if may_need_no_scripts(&server, &error) => {}
                    answer => return answer.map(|answer| vec![answer]),
                }
            }
            write.own.query_async::<Vec<Value>>(&mut &*server).await
        };
        // All but the last command only write, so a server that refuses to has done nothing.
        let mut sent = send_by(Route::to_key(call, write.key), 1, ask).await?;
        let written = match sent.answer.pop() {
            Some(Value::Nil) => 0,
            Some(Value::Okay) => 1,
            answer => convert(answer)?,
        };
        check_written(call, sent.is_repeated, written > 0)?;
        Ok(written)
    }
}

/// Whether the user may not run a script, on a server that could not tell whether it takes any: it
/// has too few replicas, for example, and says so to its own commands.
fn may_need_no_scripts(server: &Server, error: &RedisError) -> bool {
    server.known_lane().is_none() && error.code() == Some("NOPERM")
}

/// Sends `command`, again after a failure that passes.
pub(super) async fn send<T: FromRedisValue>(
    call: &Call<RedisClient>,
    command: &Cmd,
) -> Result<Sent<T>> {
    let ask = |server: Arc<Server>| async move { command.query_async(&mut &*server).await };
    send_by(Route::from(call).for_command(command), 1, ask).await
}

/// Fails if a repeated command has written nothing: the first attempt may have written.
fn check_written(call: &Call<RedisClient>, is_repeated: bool, written: bool) -> Result<()> {
    if !is_repeated || written {
        return Ok(());
    }
    let place = call.place();
    let why = format!("{place}: the connection was lost, and the write may have been executed");
    Err(Error::unavailable(call.name(), why))
}
