//! The Lua scripts, each atomic.
//!
//! A script that finds no record ends with a write that changes nothing: a replica refuses it, so
//! its answer is never taken for the primary's. After a script that leaves a record unchanged, the
//! store reads the record, with such a write.

use redis::Script;

/// KEYS: the record. ARGV: the value it must have, the new one, seconds to live (0 for ever).
const SWAP: &str = r"
local found = redis.call('GET', KEYS[1])
if not found then redis.call('DEL', KEYS[1]) end
if found ~= ARGV[1] then return 0 end
if ARGV[3] == '0' then
    redis.call('SET', KEYS[1], ARGV[2])
else
    redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3])
end
return 1
";

/// KEYS: the record. ARGV: seconds to live (0 for ever). Never shortens.
const EXTEND: &str = r"
local left = redis.call('PTTL', KEYS[1])
if left == -2 then
    redis.call('PERSIST', KEYS[1])
    return 0
end
if left >= 0 and ARGV[1] == '0' then
    redis.call('PERSIST', KEYS[1])
elseif left >= 0 and left < ARGV[1] * 1000 then
    redis.call('EXPIRE', KEYS[1], ARGV[1])
end
return 1
";

/// KEYS: from, to. ARGV: the value it must have, the new one, seconds to live (0 for ever). Returns
/// -1 if the new name is taken.
///
/// What a script has written stays when it fails. So a command that the user may not run must fail
/// before the record is removed: the first `DEL` is there to fail.
const RENAME: &str = r"
local found = redis.call('GET', KEYS[1])
if not found then redis.call('DEL', KEYS[1]) end
if found ~= ARGV[1] then return 0 end
if redis.call('EXISTS', KEYS[2]) == 1 then return -1 end
redis.call('DEL', KEYS[2])
if ARGV[3] == '0' then
    redis.call('SET', KEYS[2], ARGV[2])
else
    redis.call('SET', KEYS[2], ARGV[2], 'EX', ARGV[3])
end
redis.call('DEL', KEYS[1])
return 1
";

/// KEYS: the record. ARGV: the value it must have.
const TAKE: &str = r"
local found = redis.call('GET', KEYS[1])
if not found then redis.call('DEL', KEYS[1]) end
if found ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])
";

/// The scripts. The server identifies each by the hash of its text.
#[derive(Debug)]
pub(super) struct Scripts {
    pub(super) swap: Script,
    pub(super) extend: Script,
    pub(super) rename: Script,
    pub(super) take: Script,
}

impl Scripts {
    pub(super) fn new() -> Self {
        Self {
            swap: Script::new(SWAP),
            extend: Script::new(EXTEND),
            rename: Script::new(RENAME),
            take: Script::new(TAKE),
        }
    }

    pub(super) fn all(&self) -> [&Script; 4] {
        [&self.swap, &self.extend, &self.rename, &self.take]
    }
}
