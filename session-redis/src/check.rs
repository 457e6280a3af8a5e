//! Checks when a store is made: the server's version and the user's rights.

use std::sync::Arc;

use redis::{Script, Value};
use session_core::backend::Call;
use session_core::{Error, Result};

use crate::command::{convert, eval, known_lane, lane, send, send_by};
use crate::error::is_forbidden;
use crate::lane::Lane;
use crate::route::Route;
use crate::server::Server;
use crate::{RedisClient, rights, scan};

/// The commands of a store without scripts. None makes a key.
const COMPARE_COMMANDS: &[&str] = &[
    "TIME",
    "SCAN 0 COUNT 1",
    "ZADD $ XX GT 1 x",
    "PEXPIREAT $ 1 GT",
    "PTTL $",
    "ZRANGE $ 7 9 WITHSCORES",
    "ZREMRANGEBYSCORE $ -inf 0",
    "ZSCAN $ 0",
    "ZREM $ x",
    "SET $ x IFEQ y PX 1",
    "GET $",
    "MGET $",
    "GETRANGE $ 0 0",
    "STRLEN $",
    "GETDEL $",
    "UNLINK $",
];

/// The commands of a store with scripts, ordered so that each finds a key of its type. `$` is the
/// key, `@` a time ten seconds from now.
const NATIVE_COMMANDS: &[&str] = &[
    "TIME",
    "SCAN 0 COUNT 1",
    "ZADD $ GT 1 x",
    "ZCOUNT $ -inf 0",
    "ZRANGE $ -1 -1 WITHSCORES",
    "ZREMRANGEBYRANK $ 7 9",
    "ZSCAN $ 0",
    "PERSIST $",
    "PEXPIREAT $ @",
    "ZREM $ x",
    "SET $ x PXAT @",
    "GET $",
    "MGET $",
    "GETRANGE $ 0 0",
    "SETRANGE $ 0 y",
    "STRLEN $",
    "PTTL $",
    "UNLINK $",
    "DEL $",
];

/// The commands of the layout of connect-redis.
#[cfg(feature = "express")]
pub(crate) const EXPRESS_COMMANDS: &[&str] = &[
    "SCAN 0 COUNT 1",
    "SET $ x NX EX 10",
    "GET $",
    "PTTL $",
    "EXISTS $",
    "PERSIST $",
    "EXPIRE $ 10",
    "UNLINK $",
    "DEL $",
];

/// KEYS: an unused key. ARGV: commands to try. Returns the commands that fail, each followed by its
/// error.
///
/// One script, so that no key remains if the connection breaks.
const PROBE: &str = r"
local clock = redis.pcall('TIME')
local soon = clock.err and '4102444800000' or string.format('%.0f', clock[1] * 1000 + 10000)
local failed = {}
for _, line in ipairs(ARGV) do
    local words = {}
    for word in string.gmatch(line, '%S+') do
        words[#words + 1] = word == '$' and KEYS[1] or word == '@' and soon or word
    end
    local answer = redis.pcall(unpack(words))
    if type(answer) == 'table' and answer.err then
        failed[#failed + 1] = words[1]
        failed[#failed + 1] = answer.err
    end
end
return failed
";

/// Tries the commands of the server's lane on the unused key `scratch`.
pub(crate) async fn native_rights(call: &Call<RedisClient>, scratch: &str) -> Result<()> {
    if lane(call, scratch).await? != Lane::Scripts {
        rights::check(call, scratch, COMPARE_COMMANDS).await?;
        return scan::check(call).await;
    }
    rights(call, scratch, NATIVE_COMMANDS)
        .await
        .map_err(|error| match is_forbidden(&error.to_string()) {
            true => Error::misconfigured(format!(
                "{error}; without scripts, sessions need SET with IFEQ: Valkey 8.1 or Redis 8.4"
            )),
            false => error,
        })
}

/// Tries `commands` in a script, on the unused key `scratch`.
pub(crate) async fn rights(
    call: &Call<RedisClient>,
    scratch: &str,
    commands: &[&str],
) -> Result<()> {
    match try_in_script(call, scratch, commands).await {
        Err(error) if is_forbidden(&error.to_string()) => {
            Err(without_scripts(call, scratch, error).await)
        }
        tried => tried,
    }
}

/// The error of a user who may not run scripts: `refused`, or what keeps the server from telling
/// that it needs none.
async fn without_scripts(call: &Call<RedisClient>, scratch: &str, refused: Error) -> Error {
    match known_lane(call, scratch).await {
        Ok(Some(_)) => refused,
        Ok(None) => {
            let mut nothing = redis::cmd("SET");
            nothing.arg(scratch).arg("").arg("XX");
            send(call, &nothing).await.err().unwrap_or(refused)
        }
        Err(error) => error,
    }
}

async fn try_in_script(call: &Call<RedisClient>, scratch: &str, commands: &[&str]) -> Result<()> {
    let script = &Script::new(PROBE);
    let mut command = eval(script, &[scratch]);
    command.arg(commands);
    let command = &command;
    let probe = |server: Arc<Server>| async move {
        // `EVALSHA` alone would not show whether this user may load scripts.
        script.load_async(&mut &*server).await?;
        command.query_async::<Value>(&mut &*server).await
    };
    let sent = send_by(Route::to_key(call, scratch), 1, probe).await?;
    let failed: Vec<(String, String)> = convert(Some(sent.answer))?;
    let mut refused = Vec::new();
    for (name, why) in failed {
        if is_forbidden(&why) {
            refused.push(name);
        } else if why.contains("syntax error") || why.contains("Unknown Redis command") {
            return Err(Error::misconfigured(format!(
                "{} is older than 6.2: it does not know all of {name}",
                call.place()
            )));
        }
        // Any other error (no memory, no replica) may pass, or the operations report it.
    }
    if refused.is_empty() {
        // Listings need other commands in a cluster.
        return scan::check(call).await;
    }
    refused.dedup();
    Err(rights::refused(call, &refused))
}
