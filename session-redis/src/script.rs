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
    local raw = redis.call('GETRANGE', key, '0', '50')
    if raw == '' then return nil end
    if #raw < 51 or raw:byte(1) ~= 2 then return false end
    local h = {}
    h.born, h.deadline, h.stamp, h.owner, h.idle, h.absolute =
        struct.unpack('>I8I8c16I2I8I8', raw, 2)
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
    local value = struct.pack('>BI8I8', 2, born, deadline) .. tail
    if deadline == 0 then
        redis.call('SET', key, value)
    else
        redis.call('SET', key, value, 'PXAT', last(deadline))
    end
end
";

/// KEYS: session. ARGV: idle, absolute, tail.
const CREATE: &str = r"
local h = read(KEYS[1])
if h and h.stamp == ARGV[3]:sub(1, 16) then return {DONE} end
if h ~= nil then return {EXISTS} end
local now = time()
write(KEYS[1], now, now, tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3])
return {DONE}
";

/// KEYS: sessions. ARGV: idle, absolute, restart, room; then for each: expected stamp, tail. With
/// room, tails begin with as many bytes as the script has to put there.
/// Answers for each with how it ended, or with the owner before if it is done and there was one;
/// with one `DONE` for all if there is nothing else to say.
///
/// The busiest script, so it has no [`PRELUDE`], whose functions would be made anew each time. What
/// the sessions have in common is worked out once. Redis hashes every byte of every string that Lua
/// gets: so the old data is not read, and where there is room the new is not put together, but
/// written over. It formats numbers slowly, so there are none in calls.
const SAVE: &str = r"
local GONE, DONE, CONFLICT, CORRUPT = 0, 1, 2, 4
local call, unpack, byte, sub = redis.call, struct.unpack, string.byte, string.sub
local args = ARGV
local idle, absolute, restart = tonumber(args[1]), tonumber(args[2]), args[3] == '1'
local room = args[4] == '1' and 17 or 0
local clock = call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)

-- Of the latest write: most have the same.
local deadline, packed, last = nil, nil, nil
local answers, plain = {}, true
for n, key in ipairs(KEYS) do
    local head, tail, answer = call('GETRANGE', key, '0', '50'), args[2 * n + 4], DONE
    if head == '' then
        answer = GONE
    elseif #head < 51 or byte(head) ~= 2 then
        answer = CORRUPT
    else
        local born, _, stamp, owned = unpack('>I8I8c16I2', head, 2)
        if stamp == args[2 * n + 3] then
            if owned ~= 0 then answer = call('GETRANGE', key, '51', tostring(50 + owned)) end
            local start = sub(head, 1, 9)
            if restart then born, start = now, struct.pack('>BI8', 2, now) end
            local ends = 0
            if idle ~= 0 then ends = now + idle end
            if absolute ~= 0 and (ends == 0 or born + absolute < ends) then
                ends = born + absolute
            end
            if ends ~= deadline then
                deadline, packed = ends, struct.pack('>I8', ends)
                -- A key is there through the whole millisecond of its PXAT.
                last = string.format('%.0f', ends - 1)
            end
            local front, value = start .. packed, tail
            if room == 0 then value = front .. tail end
            if ends == 0 then
                call('SET', key, value)
            elseif ends > now then
                call('SET', key, value, 'PXAT', last)
            else
                call('DEL', key)
                front = nil
            end
            if room ~= 0 and front then call('SETRANGE', key, '0', front) end
        elseif stamp ~= sub(tail, room + 1, room + 16) then
            answer = CONFLICT
        end
    end
    if answer ~= DONE then plain = false end
    answers[n] = answer
end
if plain then return DONE end
return answers
";

/// KEYS: from, to. ARGV: idle, absolute, tail, expected stamp, restart.
/// Answers with the owner before.
const RENAME: &str = r"
local h, target = read(KEYS[1]), read(KEYS[2])
if target and target.stamp == ARGV[3]:sub(1, 16) then return {DONE, ''} end
if h == nil then return {GONE} end
if h == false then return {CORRUPT} end
if h.stamp ~= ARGV[4] then return {CONFLICT} end
if target ~= nil and KEYS[1] ~= KEYS[2] then return {EXISTS} end
local now, before = time(), owner(KEYS[1], h)
local born = ARGV[5] == '1' and now or h.born
redis.call('DEL', KEYS[1])
write(KEYS[2], now, born, tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3])
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
    redis.call('SETRANGE', KEYS[1], 9, struct.pack('>I8', moved))
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
            save: Script::new(SAVE),
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
