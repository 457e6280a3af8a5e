//! Checks when a store is made: the server's version and the user's rights.

use redis::{Script, Value};
use session_core::backend::Call;
use session_core::{Error, Result};

use crate::command::{convert, eval, send_by};
use crate::error::is_forbidden;
use crate::{RedisClient, scan};

/// The commands of a store, ordered so that each finds a key of its type. `$` is the key, `@` a
/// time ten seconds from now.
pub(crate) const NATIVE_COMMANDS: &[&str] = &[
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

/// Tries `commands` on the unused key `scratch`.
pub(crate) async fn rights(
    call: &Call<RedisClient>,
    scratch: &str,
    commands: &[&str],
) -> Result<()> {
    let script = &Script::new(PROBE);
    let mut command = eval(script, &[scratch]);
    command.arg(commands);
    let command = &command;
    let probe = |mut client: RedisClient| async move {
        // `EVALSHA` alone would not show whether this user may load scripts.
        script.load_async(&mut client).await?;
        command.query_async::<Value>(&mut client).await
    };
    let sent = send_by(call, 1, probe).await?;
    let mut failed: Vec<String> = convert(Some(sent.answer))?;
    let mut refused = Vec::new();
    while let Some(why) = failed.pop() {
        let Some(name) = failed.pop() else { break };
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
        // Listings also need the cluster's map.
        return scan::nodes(call).await.map(drop);
    }
    refused.reverse();
    Err(Error::misconfigured(format!(
        "{} does not let the user run {}, which sessions need (docs/operations.md lists the commands)",
        call.place(),
        refused.join(", ")
    )))
}
