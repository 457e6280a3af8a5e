//! The bytes around a session's data; see the crate's documentation for the layout.

use std::io::Write;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes};
use redis::{RedisWrite, ToRedisArgs, ToSingleRedisArg};
use session_core::{Draft, Error, Lifetime, Owner, Record, Result, Stamp, Timeout, Ttl};

use crate::clock::AHEAD;

const VERSION: u8 = 2;
const HEADER: usize = 51;

/// What a stored value says, with the times as the server wrote them.
#[derive(Debug)]
pub(crate) struct Envelope {
    pub(crate) born: u64,
    pub(crate) lifetime: Lifetime,
    /// The deadline, unless the session has none.
    pub(crate) deadline: Option<u64>,
    pub(crate) stamp: Stamp,
    pub(crate) owner: Option<Owner>,
    pub(crate) data: Bytes,
}

impl Envelope {
    pub(crate) fn decode(mut value: Bytes) -> Result<Self> {
        let corrupt = || Error::corrupt("the Redis value is not a session's");
        if value.len() < HEADER || value[0] != VERSION {
            return Err(corrupt());
        }
        value.advance(1);
        let mut millis = || Some(value.get_u64()).filter(|millis| *millis > 0);
        let born = millis().ok_or_else(corrupt)?;
        let deadline = millis();
        let mut stamp = [0; 16];
        value.copy_to_slice(&mut stamp);
        let owner = usize::from(value.get_u16());
        let mut limit = || Timeout::from_millis(Some(value.get_u64()).filter(|millis| *millis > 0));
        let (idle, absolute) = (limit(), limit());
        if owner > value.len() {
            return Err(corrupt());
        }
        let owner = match value.split_to(owner) {
            owner if owner.is_empty() => None,
            owner => {
                let owner = std::str::from_utf8(&owner).map_err(|_| corrupt())?;
                Some(Owner::new(owner).map_err(|_| corrupt())?)
            }
        };
        Ok(Self {
            born,
            lifetime: Lifetime::new(idle, absolute),
            deadline,
            stamp: Stamp::from_bytes(stamp),
            owner,
            data: value,
        })
    }

    /// The record at server time `now`.
    pub(crate) fn into_record(self, now: u64) -> Record {
        Record {
            ttl: self.ttl(now),
            age: self.age(now),
            data: self.data,
            stamp: self.stamp,
            owner: self.owner,
            lifetime: self.lifetime,
            raw: Bytes::new(),
        }
    }

    /// The record that a server had which thinks it live, by a clock that may be ahead.
    pub(crate) fn into_live_record(self, now: u64) -> Option<Record> {
        let Some(deadline) = self.deadline else {
            return Some(self.into_record(now));
        };
        // The server removes a key at its deadline by itself, unless somebody has taken its end away.
        let ended = now.saturating_sub(AHEAD.as_millis() as u64) >= deadline;
        (!ended).then(|| self.into_record(now.min(deadline.saturating_sub(1))))
    }

    pub(crate) fn ttl(&self, now: u64) -> Ttl {
        self.deadline.map_or(Ttl::Never, |deadline| {
            Ttl::Left(Duration::from_millis(deadline.saturating_sub(now)))
        })
    }

    pub(crate) fn age(&self, now: u64) -> Duration {
        Duration::from_millis(now.saturating_sub(self.born))
    }
}

/// The part of the envelope that the client writes: stamp, limits, owner, data. The script puts the
/// version and times in front.
pub(crate) struct Tail<'a> {
    pub(crate) draft: &'a Draft,
    /// Whether to leave room for what the script puts there.
    pub(crate) room: bool,
}

/// What the script puts in front: version, begin, deadline.
const ROOM: [u8; 17] = [0; 17];
/// What a tail has besides that, the owner and the data.
const TAIL_HEADER: usize = HEADER - ROOM.len();

impl Tail<'_> {
    fn owner(&self) -> &[u8] {
        self.draft
            .owner
            .as_ref()
            .map_or("", Owner::as_str)
            .as_bytes()
    }

    fn room(&self) -> &'static [u8] {
        if self.room { &ROOM } else { &[] }
    }

    pub(crate) fn len(&self) -> usize {
        self.room().len() + TAIL_HEADER + self.owner().len() + self.draft.data.len()
    }

    fn header(&self) -> [u8; TAIL_HEADER] {
        let mut header = [0; TAIL_HEADER];
        let mut rest = header.as_mut_slice();
        rest.put_slice(self.draft.stamp.as_bytes());
        // An owner has at most 1,024 bytes.
        rest.put_u16(u16::try_from(self.owner().len()).unwrap_or(u16::MAX));
        for limit in [self.draft.lifetime.idle, self.draft.lifetime.absolute] {
            // What is over already is never stored.
            rest.put_u64(u64::try_from(millis(limit)).unwrap_or(0));
        }
        header
    }
}

/// Written straight into the command: the data is copied there and nowhere else.
impl ToRedisArgs for Tail<'_> {
    fn write_redis_args<W: ?Sized + RedisWrite>(&self, out: &mut W) {
        let mut writer = out.writer_for_next_arg();
        for part in [self.room(), &self.header(), self.owner(), &self.draft.data] {
            // Memory does not fail.
            let _ = writer.write_all(part);
        }
    }
}

impl ToSingleRedisArg for Tail<'_> {}

/// Whole milliseconds; 0 is never, and less is over already.
pub(crate) fn millis(timeout: Timeout) -> i64 {
    match timeout.millis() {
        None => 0,
        Some(0) => -1,
        // Lua counts exactly up to 2^53; 2^52 ms are 140,000 years.
        Some(millis) => millis.min(1 << 52) as i64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_server_still_has_is_live_unless_its_end_was_taken_away() {
        let ttl = |deadline, now| {
            let envelope = Envelope {
                born: 10,
                lifetime: Lifetime::default(),
                deadline,
                stamp: Stamp::generate(),
                owner: None,
                data: Bytes::new(),
            };
            envelope.into_live_record(now).map(|record| record.ttl)
        };
        let left = |millis| Some(Ttl::Left(Duration::from_millis(millis)));
        assert_eq!(ttl(Some(100), 40), left(60));
        assert_eq!(ttl(Some(100), 99), left(1));
        assert_eq!(ttl(Some(100), 100), left(1), "the clock is ahead");
        assert_eq!(ttl(Some(100), 101), None, "the key has no end of its own");
        assert_eq!(ttl(None, 101), Some(Ttl::Never));
    }
}
