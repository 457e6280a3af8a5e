//! The scripts. Each runs on one node, atomically, with the time of that node.

use redis::Script;

/// What every script on a session begins with.
///
/// The answer of a script is a list: how it ended, and what else the caller needs.
const PRELUDE: &str = r"
local GONE, DONE, CONFLICT, EXISTS, CORRUPT = 0, 1, 2, 3, 4

local function time()
    local now = redis.call('TIME')
    return now[1] * 1000 + math.floor(now[2] / 1000)
end

-- The header of a session; nil if there is none, false if it can't be read.
local function read(key)
    local raw = redis.call('GETRANGE', key, 0, 50)
    if raw == '' then return nil end
    if #raw < 51 or raw:byte(1) ~= 1 then return false end
    local h = {}
    h.born, h.idle, h.absolute, h.deadline, h.stamp, h.owner =
        struct.unpack('>I8I8I8I8c16I2', raw, 2)
    return h
end

local function owner(key, h)
    if h.owner == 0 then return '' end
    return redis.call('GETRANGE', key, 51, 50 + h.owner)
end

-- The earlier of two instants, of which 0 is never.
local function earlier(a, b)
    if a == 0 then return b end
    if b == 0 then return a end
    return math.min(a, b)
end

-- A limit of 0 is none; one below 0 is over already.
local function after(start, limit)
    if limit == 0 then return 0 end
    return start + limit
end

-- When Redis shall remove it: a key is there through the whole millisecond of its PXAT.
local function last(deadline)
    return string.format('%.0f', deadline - 1)
end

local function write(key, now, born, idle, absolute, tail)
    local deadline = earlier(after(now, idle), after(born, absolute))
    if deadline ~= 0 and deadline <= now then
        redis.call('DEL', key)
        return
    end
    local value = struct.pack('>BI8I8I8I8', 1, born, idle, absolute, deadline) .. tail
    if deadline == 0 then
        redis.call('SET', key, value)
    else
        -- A number is written with all its digits.
        redis.call('SET', key, value, 'PXAT', deadline - 1)
    end
end
";

/// KEYS: session. ARGV: stamp, idle, absolute, tail.
const CREATE: &str = r"
local h = read(KEYS[1])
if h and h.stamp == ARGV[1] then return {DONE} end
if h ~= nil then return {EXISTS} end
local now = time()
write(KEYS[1], now, now, tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4])
return {DONE}
";

/// KEYS: sessions. ARGV for each: stamp, idle, absolute, tail, expected stamp, restart.
/// Answers for each with how it ended, and the owner before if there was one.
const SAVE: &str = r"
local now, answers = time(), {}
local call, decode = redis.call, struct.unpack
for n, key in ipairs(KEYS) do
    local a = 6 * n
    local head, answer = call('GETRANGE', key, 0, 50), nil
    if head == '' then
        answer = {GONE}
    elseif #head < 51 or head:byte(1) ~= 1 then
        answer = {CORRUPT}
    else
        local born, _, _, _, stamp, owned = decode('>I8I8I8I8c16I2', head, 2)
        local before = nil
        if owned ~= 0 then before = call('GETRANGE', key, 51, 50 + owned) end
        if stamp == ARGV[a - 5] then
            answer = {DONE, before}
        elseif stamp ~= ARGV[a - 1] then
            answer = {CONFLICT}
        else
            if ARGV[a] == '1' then born = now end
            write(key, now, born, tonumber(ARGV[a - 4]), tonumber(ARGV[a - 3]), ARGV[a - 2])
            answer = {DONE, before}
        end
    end
    answers[n] = answer
end
return answers
";

/// KEYS: from, to. ARGV: stamp, idle, absolute, tail, expected stamp, restart.
/// Answers with the owner before.
const RENAME: &str = r"
local h, target = read(KEYS[1]), read(KEYS[2])
if target and target.stamp == ARGV[1] then return {DONE, ''} end
if h == nil then return {GONE} end
if h == false then return {CORRUPT} end
if h.stamp ~= ARGV[5] then return {CONFLICT} end
if target ~= nil and KEYS[1] ~= KEYS[2] then return {EXISTS} end
local now, before = time(), owner(KEYS[1], h)
local born = ARGV[6] == '1' and now or h.born
redis.call('DEL', KEYS[1])
write(KEYS[2], now, born, tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4])
return {DONE, before}
";

/// KEYS: session. ARGV: idle. Answers with what is left (-1 for no end) and the owner.
const TOUCH: &str = r"
local h = read(KEYS[1])
if h == nil then return {GONE} end
if h == false then return {CORRUPT} end
local now = time()
local moved = earlier(after(now, tonumber(ARGV[1])), after(h.born, h.absolute))
if h.deadline ~= 0 and (moved == 0 or moved > h.deadline) then
    redis.call('SETRANGE', KEYS[1], 25, struct.pack('>I8', moved))
    if moved == 0 then
        redis.call('PERSIST', KEYS[1])
    else
        redis.call('PEXPIREAT', KEYS[1], last(moved))
    end
    h.deadline = moved
end
local left = h.deadline == 0 and -1 or h.deadline - now
return {DONE, left, owner(KEYS[1], h)}
";

/// KEYS: session. ARGV: the owner it must have, or none for any.
/// Answers with the owner and the age.
const DESTROY: &str = r"
local h = read(KEYS[1])
if h == nil then return {GONE} end
if h == false then
    redis.call('UNLINK', KEYS[1])
    return {DONE, '', 0}
end
local whose = owner(KEYS[1], h)
if #ARGV > 0 and whose ~= ARGV[1] then return {GONE} end
redis.call('UNLINK', KEYS[1])
return {DONE, whose, time() - h.born}
";

/// KEYS: session. Answers with the header and owner, the size of the whole, and the time.
const INSPECT: &str = r"
local h = read(KEYS[1])
if h == nil then return {GONE} end
if h == false then return {CORRUPT} end
return {DONE, redis.call('GETRANGE', KEYS[1], 0, 50 + h.owner), redis.call('STRLEN', KEYS[1]), time()}
";

/// KEYS: the index of an owner. ARGV: id, the most that its session may still live (0 for ever).
///
/// Entries whose deadline has passed go. They stay an hour longer than that, for in a cluster the
/// index's node has another clock than the session's.
const INDEX: &str = r"
local SLACK = 3600000
local now = time()
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now - SLACK))
local limit = tonumber(ARGV[2])
redis.call('ZADD', KEYS[1], 'GT', limit == 0 and '+inf' or string.format('%.0f', now + limit), ARGV[1])
local last = redis.call('ZRANGE', KEYS[1], -1, -1, 'WITHSCORES')[2]
if last == 'inf' then
    redis.call('PERSIST', KEYS[1])
else
    redis.call('PEXPIREAT', KEYS[1], string.format('%.0f', tonumber(last) + SLACK))
end
return {DONE}
";

/// All scripts, each known to the server by the hash of its text.
#[derive(Debug)]
pub(crate) struct Scripts {
    pub(crate) create: Script,
    pub(crate) save: Script,
    pub(crate) rename: Script,
    pub(crate) touch: Script,
    pub(crate) destroy: Script,
    pub(crate) inspect: Script,
    pub(crate) index: Script,
}

impl Scripts {
    pub(crate) fn new() -> Self {
        let script = |body: &str| Script::new(&format!("{PRELUDE}{body}"));
        Self {
            create: script(CREATE),
            save: script(SAVE),
            rename: script(RENAME),
            touch: script(TOUCH),
            destroy: script(DESTROY),
            inspect: script(INSPECT),
            index: script(INDEX),
        }
    }
}

/// How a script ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    Gone,
    Done,
    Conflict,
    Exists,
    Corrupt,
}

impl Code {
    pub(crate) fn from_number(number: i64) -> Option<Self> {
        Some(match number {
            0 => Self::Gone,
            1 => Self::Done,
            2 => Self::Conflict,
            3 => Self::Exists,
            4 => Self::Corrupt,
            _ => return None,
        })
    }
}
