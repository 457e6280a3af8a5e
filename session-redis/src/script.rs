//! The Lua scripts. Each runs on one node, atomically, with the time of that node.

use redis::Script;

/// The functions that scripts begin with. The busiest scripts do without, because the functions are
/// compiled at each run.
///
/// A script returns a list: a [`Code`], then what else the caller needs.
///
/// `pcall` instead of `call`, because a value of another type is a corrupt session. `call` then
/// raises any other error (a missing right).
const PRELUDE: &str = r"
local GONE, DONE, CONFLICT, OTHER_OWNER, CORRUPT = 0, 1, 2, 3, 4

local function time()
    local now = redis.call('TIME')
    return now[1] * 1000 + math.floor(now[2] / 1000)
end

-- The header of a session; nil if there is no session, false if it is corrupt.
local function read(key)
    local raw = redis.pcall('GETRANGE', key, '0', '52')
    if raw == '' then return nil end
    if type(raw) == 'table' and not raw.err:find('WRONGTYPE', 1, true) then
        redis.call('GETRANGE', key, '0', '52')
    end
    if #raw < 53 or raw:byte(1) ~= 4 then return false end
    local h = {}
    h.born, h.deadline, h.stamp, h.owner, h.idle, h.absolute, h.credential, h.description =
        struct.unpack('>I8I8c16I2I8I8BB', raw, 2)
    -- Beyond 2^53 Lua is not exact, and Redis refuses such a time.
    if h.born == 0 or math.max(h.born, h.deadline, h.idle, h.absolute) > 2^53 then return false end
    return h
end

-- Whether a session has ended, though its key is there: something has taken the key's expiry away.
local function has_ended(h, now)
    return h and h.deadline ~= 0 and h.deadline <= now
end

local function owner(key, h)
    if h.owner == 0 then return '' end
    return redis.call('GETRANGE', key, 53, 52 + h.owner)
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

-- The PXAT of a key: Redis keeps a key through the whole millisecond of its PXAT.
local function last(deadline)
    return string.format('%.0f', deadline - 1)
end

-- Sets the expiry that the key has already, which removes a session that has ended. A script that writes nothing ends with this write,
-- because a replica refuses it: the answer of a replica is never taken for the primary's.
local function no_op_write(key, h)
    if h and h.deadline ~= 0 then
        redis.call('PEXPIREAT', key, last(h.deadline))
    elseif h ~= false then
        redis.call('PERSIST', key)
    end
end

local function write(key, now, born, idle, absolute, tail)
    local deadline = earlier(after(now, idle), after(born, absolute))
    if deadline ~= 0 and deadline <= now then
        redis.call('DEL', key)
        return
    end
    local value = struct.pack('>BI8I8', 4, born, deadline) .. tail
    if deadline == 0 then
        redis.call('SET', key, value)
    else
        redis.call('SET', key, value, 'PXAT', last(deadline))
    end
end
";

/// KEYS: session. ARGV: what is left, absolute, tail, age.
const CREATE: &str = r"
local h, now = read(KEYS[1]), time()
if h ~= nil and not has_ended(h, now) then
    no_op_write(KEYS[1], h)
    return {h and h.stamp == ARGV[3]:sub(1, 16) and DONE or CONFLICT}
end
local born = math.max(1, now - tonumber(ARGV[4]))
write(KEYS[1], now, born, tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3])
return {DONE}
";

/// KEYS: sessions. ARGV: idle, absolute, restart, padded; then for each: expected stamp, tail. If
/// padded, each tail begins with padding as long as what the script prepends.
/// Returns a code for each session, or one `DONE` for all.
///
/// The busiest script. It computes once what the sessions share. Redis hashes every byte of every
/// string that Lua receives, so the script reads the old value only to the end of the stamp, and
/// overwrites padding (`SETRANGE`) instead of concatenating a new value. Lua formats numbers
/// slowly, so calls get text.
///
/// The script concatenates in two cases nevertheless. A `PXAT` of the present millisecond removes
/// the key at once on Valkey, and `SETRANGE` would create another key without expiry. And the user
/// may lack the right to `SETRANGE`: what a script has written stays when it fails.
///
/// If it has written nothing, it ends with a write that changes nothing, like `no_op_write`; the key
/// of a session that has ended goes.
const SAVE: &str = r"
local GONE, DONE, CONFLICT, CORRUPT = 0, 1, 2, 4
local call, pcall, unpack, byte, sub = redis.call, redis.pcall, struct.unpack, string.byte, string.sub
local args = ARGV
local idle, absolute, restart = tonumber(args[1]), tonumber(args[2]), args[3] == '1'
local padding = args[4] == '1' and 17 or 0
local clock = call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)

-- From the last write: most writes have the same deadline.
local deadline, packed, last = nil, nil, nil
local answers, plain, wrote = {}, true, false
-- A key that was not written, and its deadline (0 for none).
local kept, kept_until = nil, 0
for n, key in ipairs(KEYS) do
    local head, tail, answer = pcall('GETRANGE', key, '0', '32'), args[2 * n + 4], DONE
    if type(head) == 'table' and not head.err:find('WRONGTYPE', 1, true) then
        call('GETRANGE', key, '0', '32')
    end
    if head == '' then
        answer, kept, kept_until = GONE, key, 0
    elseif #head < 33 or byte(head) ~= 4 then
        answer = CORRUPT
    else
        local born, old, stamp = unpack('>I8I8c16', head, 2)
        if born == 0 or born > 2^53 or old > 2^53 then
            answer = CORRUPT
        elseif old ~= 0 and old <= now then
            answer, kept, kept_until = GONE, key, old
        elseif stamp == args[2 * n + 3] then
            local start = sub(head, 1, 9)
            if restart then born, start = now, struct.pack('>BI8', 4, now) end
            local ends = 0
            if idle ~= 0 then ends = now + idle end
            if absolute ~= 0 and (ends == 0 or born + absolute < ends) then
                ends = born + absolute
            end
            if ends ~= deadline then
                deadline, packed = ends, struct.pack('>I8', ends)
                -- Redis keeps a key through the whole millisecond of its PXAT.
                last = string.format('%.0f', ends - 1)
            end
            local front, value, fill = start .. packed, tail, padding ~= 0
            if not fill then
                value = front .. tail
            elseif ends == now + 1 then
                value, fill = front .. sub(tail, padding + 1), false
            end
            if ends == 0 then
                call('SET', key, value)
            elseif ends > now then
                call('SET', key, value, 'PXAT', last)
            else
                call('DEL', key)
                fill = false
            end
            wrote = true
            if fill and type(pcall('SETRANGE', key, '0', front)) == 'table' then
                value = front .. sub(tail, padding + 1)
                if ends == 0 then
                    call('SET', key, value)
                else
                    call('SET', key, value, 'PXAT', last)
                end
            end
        else
            kept, kept_until = key, old
            if stamp ~= sub(tail, padding + 1, padding + 16) then answer = CONFLICT end
        end
    end
    if answer ~= DONE then plain = false end
    answers[n] = answer
end
if not wrote and kept_until ~= 0 then
    call('PEXPIREAT', kept, string.format('%.0f', kept_until - 1))
elseif not wrote and kept then
    call('PERSIST', kept)
end
if plain then return DONE end
return answers
";

/// KEYS: session. ARGV: idle, and the owner whose index names the session for that long. Returns
/// the remaining milliseconds (-1 for never). If the session has another owner and would live
/// longer, returns `OTHER_OWNER`, the milliseconds that would remain, and the owner: its index must
/// be written first.
const TOUCH: &str = r"
local function left(deadline, now)
    return deadline == 0 and -1 or deadline - now
end

local h = read(KEYS[1])
if h == false then return {CORRUPT} end
if h == nil then
    no_op_write(KEYS[1], h)
    return {GONE}
end
local now = time()
if has_ended(h, now) then
    no_op_write(KEYS[1], h)
    return {GONE}
end
local moved = earlier(after(now, tonumber(ARGV[1])), after(h.born, h.absolute))
if h.deadline == 0 or (moved ~= 0 and moved <= h.deadline) then
    no_op_write(KEYS[1], h)
    return {DONE, left(h.deadline, now)}
end
local whose = owner(KEYS[1], h)
if whose ~= ARGV[2] then
    no_op_write(KEYS[1], h)
    return {OTHER_OWNER, left(moved, now), whose}
end
-- The key's expiry first: a key that expires before its session's deadline would lose the session.
if moved == 0 then
    redis.call('PERSIST', KEYS[1])
else
    redis.call('PEXPIREAT', KEYS[1], last(moved))
end
local refused = redis.pcall('SETRANGE', KEYS[1], 9, struct.pack('>I8', moved))
if type(refused) == 'table' then
    no_op_write(KEYS[1], h)
    return refused
end
return {DONE, left(moved, now)}
";

/// KEYS: sessions. ARGV: the owner and the stamp that each must have ('' for any), the limit, the
/// channel on which to publish what was destroyed ('' for none; a user who may not publish destroys
/// all the same), and where the id begins in a key. Destroys sessions in order until the limit is
/// reached. Returns for each examined session a code or, if it was destroyed, its owner and age. A
/// corrupt session is destroyed too, unless a stamp is given; its owner is '' and its age -1.
///
/// Without the functions of the other scripts it takes the server a quarter fewer instructions; a
/// notice is 7 %, which is what any call of a script takes.
const DESTROY: &str = r"
local GONE, CONFLICT = 0, 2
local call, pcall = redis.call, redis.pcall
local owner, stamp, limit, channel = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]
local clock = call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local answers, ended = {}, {}
-- The deadline of the first session; nil if there is none, false if it is corrupt.
local first
for n, key in ipairs(KEYS) do
    -- The header, and an owner of up to 64 bytes: a call costs more than the bytes.
    local head = pcall('GETRANGE', key, '0', '116')
    if type(head) == 'table' and not head.err:find('WRONGTYPE', 1, true) then
        call('GETRANGE', key, '0', '52')
    end
    local answer = GONE
    if head ~= '' then
        local is_whole, whose, age, written = false, '', -1, nil
        if #head >= 53 and head:byte(1) == 4 then
            local born, deadline, length, idle, absolute
            born, deadline, written, length, idle, absolute =
                struct.unpack('>I8I8c16I2I8I8', head, 2)
            is_whole = born ~= 0 and math.max(born, deadline, idle, absolute) <= 2^53
            if is_whole then
                age = math.max(0, now - born)
                whose = head:sub(54, 53 + length)
                if length > 64 then whose = call('GETRANGE', key, 53, 52 + length) end
            end
            if n == 1 then first = is_whole and deadline end
        elseif n == 1 then
            first = false
        end
        local is_other = is_whole and owner ~= '' and owner ~= whose
        if is_other or stamp ~= '' and not (is_whole and stamp == written) then
            answer = CONFLICT
        else
            call('UNLINK', key)
            ended[#ended + 1] = key:sub(ARGV[5], -2)
            answer = {whose, age}
        end
    end
    answers[n] = answer
    if #ended == limit then break end
end
if #ended == 0 then
    -- A write that changes nothing, like `no_op_write`.
    if first and first ~= 0 then
        call('PEXPIREAT', KEYS[1], string.format('%.0f', first - 1))
    elseif first ~= false then
        call('PERSIST', KEYS[1])
    end
elseif channel ~= '' then
    pcall('PUBLISH', channel, '- ' .. table.concat(ended, ' '))
end
return answers
";

/// KEYS: session. Returns the value without the data, the size of the whole value, and the time.
const INSPECT: &str = r"
local h = read(KEYS[1])
if h == nil then return {GONE} end
if h == false then return {CORRUPT} end
local front = redis.call('GETRANGE', KEYS[1], 0, 52 + h.owner + h.credential + h.description)
return {DONE, front, redis.call('STRLEN', KEYS[1]), time()}
";

/// KEYS: an owner index. ARGV: id, the longest time that its session may still live (0 for ever).
///
/// Each write removes up to 1,000 entries whose time has passed by an hour: removing a million at
/// once would block the server for a second. The hour allows for the clock of the session's node,
/// which is another one in a cluster.
///
/// A value of another type is not replaced: a new index would lack the existing sessions. Readers
/// then read all sessions.
const INDEX: &str = r"
local DONE, SLACK, BATCH = 1, 3600000, 1000
local call, format, key = redis.call, string.format, KEYS[1]
local clock = call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local before = format('%.0f', now - SLACK)
local passed = redis.pcall('ZCOUNT', key, '-inf', before)
if type(passed) == 'table' then
    if passed.err:find('WRONGTYPE', 1, true) then return {DONE} end
    call('ZCOUNT', key, '-inf', before)
end
if passed > 0 then call('ZREMRANGEBYRANK', key, 0, math.min(passed, BATCH) - 1) end
local limit = tonumber(ARGV[2])
call('ZADD', key, 'GT', limit == 0 and '+inf' or format('%.0f', now + limit), ARGV[1])
local last = call('ZRANGE', key, '-1', '-1', 'WITHSCORES')[2]
-- Not `PERSIST`: an index without an expiry is a new one to writers without scripts.
if last == 'inf' then
    call('PEXPIREAT', key, '9007199254740992')
else
    call('PEXPIREAT', key, format('%.0f', tonumber(last) + SLACK))
end
return {DONE}
";

/// The scripts. The server identifies each by the hash of its text.
#[derive(Debug)]
pub(crate) struct Scripts {
    pub(crate) create: Script,
    pub(crate) save: Script,
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
            touch: script(TOUCH),
            destroy: Script::new(DESTROY),
            inspect: script(INSPECT),
            index: Script::new(INDEX),
        }
    }

    /// All scripts. `index` comes first: a server that has only some of them never has a script
    /// that writes sessions without having `index`.
    pub(crate) fn all(&self) -> [&Script; 6] {
        let Self {
            create,
            save,
            touch,
            destroy,
            inspect,
            index,
        } = self;
        [index, create, save, touch, destroy, inspect]
    }
}

/// The outcome of a script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    Gone,
    Done,
    Conflict,
    OtherOwner,
    Corrupt,
}

impl Code {
    pub(crate) fn from_number(number: i64) -> Option<Self> {
        Some(match number {
            0 => Self::Gone,
            1 => Self::Done,
            2 => Self::Conflict,
            3 => Self::OtherOwner,
            4 => Self::Corrupt,
            _ => return None,
        })
    }
}
