//! The bytes around a session's data; see the crate's documentation for the layout.

use std::io::Write;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes};
use redis::{RedisWrite, ToRedisArgs, ToSingleRedisArg};
use session_core::{
    Credential, Draft, Lifetime, Owner, Record, Result, Stamp, Timeout, Ttl, Version,
};

use crate::clock::AHEAD;
use crate::command::corrupt;

const VERSION: u8 = 3;
const HEADER: usize = 52;
/// The largest time or limit in milliseconds: up to it Lua counts exactly.
const MOST: u64 = 1 << 53;

/// What a stored value says, with the times as the server wrote them.
#[derive(Debug)]
pub(crate) struct Envelope {
    pub(crate) born: u64,
    pub(crate) lifetime: Lifetime,
    /// The deadline, unless the session has none.
    pub(crate) deadline: Option<u64>,
    pub(crate) stamp: Stamp,
    pub(crate) owner: Option<Owner>,
    pub(crate) credential: Option<Credential>,
    pub(crate) data: Bytes,
}

impl Envelope {
    pub(crate) fn decode(mut value: Bytes) -> Result<Self> {
        let mut rest = &value[..];
        if rest.len() < HEADER || rest.get_u8() != VERSION {
            return Err(corrupt());
        }
        let mut millis = || match rest.get_u64() {
            millis if millis > MOST => Err(corrupt()),
            millis => Ok((millis > 0).then_some(millis)),
        };
        let born = millis()?.ok_or_else(corrupt)?;
        let deadline = millis()?;
        let mut stamp = [0; 16];
        rest.copy_to_slice(&mut stamp);
        let owner = usize::from(rest.get_u16());
        let mut limit = || match rest.get_u64() {
            millis if millis > MOST => Err(corrupt()),
            millis => Ok(Timeout::from_millis((millis > 0).then_some(millis))),
        };
        let lifetime = Lifetime::new(limit()?, limit()?);
        let credential = usize::from(rest.get_u8());
        let (owner, rest) = rest.split_at_checked(owner).ok_or_else(corrupt)?;
        let (credential, data) = rest.split_at_checked(credential).ok_or_else(corrupt)?;
        let (owner, credential) = (read_owner(owner)?, Credential::from_stored(credential)?);
        value.advance(value.len() - data.len());
        Ok(Self {
            born,
            lifetime,
            deadline,
            stamp: Stamp::from_bytes(stamp),
            owner,
            credential,
            data: value,
        })
    }

    /// The record at server time `now`.
    pub(crate) fn into_record(self, now: u64) -> Record {
        let (ttl, age) = (self.ttl(now), self.age(now));
        Record::new(self.data, Version::new(self.stamp), self.lifetime, ttl, age)
            .with_credential(self.credential)
            .with_owner(self.owner)
    }

    /// The record that a server had as a live one, by a clock that may be ahead.
    pub(crate) fn into_live_record(self, now: u64) -> Option<Record> {
        let Some(deadline) = self.deadline else {
            return Some(self.into_record(now));
        };
        // The server removes a key at its deadline by itself, unless its end was taken away.
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

/// An owner as it is stored; no bytes are none.
pub(crate) fn read_owner(stored: &[u8]) -> Result<Option<Owner>> {
    if stored.is_empty() {
        return Ok(None);
    }
    let owner = std::str::from_utf8(stored).map_err(|_| corrupt())?;
    Owner::new(owner).map(Some).map_err(|_| corrupt())
}

/// The part of the envelope that the client writes: stamp, limits, owner, credential, data. The
/// script puts the version and times in front.
pub(crate) struct Tail<'a> {
    pub(crate) draft: &'a Draft,
    /// Whether to leave room for what the script puts there.
    pub(crate) room: bool,
}

/// What the script puts in front: version, begin, deadline.
const ROOM: [u8; 17] = [0; 17];
/// What a tail has besides that, the owner, the credential and the data.
const TAIL_HEADER: usize = HEADER - ROOM.len();

impl Tail<'_> {
    fn owner(&self) -> &[u8] {
        self.draft
            .owner
            .as_ref()
            .map_or("", Owner::as_str)
            .as_bytes()
    }

    fn credential(&self) -> &[u8] {
        Credential::stored(self.draft.credential.as_ref())
    }

    fn room(&self) -> &'static [u8] {
        if self.room { &ROOM } else { &[] }
    }

    pub(crate) fn len(&self) -> usize {
        let parts = self.owner().len() + self.credential().len() + self.draft.data.len();
        self.room().len() + TAIL_HEADER + parts
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
        // A credential has at most 192.
        rest.put_u8(u8::try_from(self.credential().len()).unwrap_or(u8::MAX));
        header
    }
}

/// Written straight into the command: the data is copied there and nowhere else.
impl ToRedisArgs for Tail<'_> {
    fn write_redis_args<W: ?Sized + RedisWrite>(&self, out: &mut W) {
        let mut writer = out.writer_for_next_arg();
        let header = self.header();
        let parts = [self.room(), &header, self.owner(), self.credential()];
        for part in parts.into_iter().chain([&self.draft.data[..]]) {
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

    fn owner(name: &str) -> Owner {
        Owner::new(name).expect("valid")
    }

    fn credential(bytes: &[u8]) -> Option<Credential> {
        Credential::from_stored(bytes).expect("it fits")
    }

    /// A session as it is stored: version, times, stamp, the owner's length, limits, the
    /// credential's length, owner, credential, data.
    const GOLDEN: &str = "\
        03 0000018f00000001 0000018f001b7741 000102030405060708090a0b0c0d0e0f 0002 \
        00000000001b7740 0000000002932e00 03 c3bc aabbcc 7b7d";

    fn golden() -> Vec<u8> {
        let digits: String = GOLDEN.split_whitespace().collect();
        let byte = |at| u8::from_str_radix(&digits[at..at + 2], 16).expect("two digits");
        (0..digits.len()).step_by(2).map(byte).collect()
    }

    fn golden_draft() -> Draft {
        let minutes = |minutes: u64| Duration::from_secs(minutes * 60);
        let mut draft = Draft::new("{}", Lifetime::new(minutes(30), minutes(720)))
            .with_owner(owner("ü"))
            .with_credential(credential(&[0xaa, 0xbb, 0xcc]));
        draft.stamp = Stamp::from_bytes(std::array::from_fn(|n| n as u8));
        draft
    }

    /// Bytes that are stored by one version and read by another: they change with [`VERSION`] only.
    #[test]
    fn the_layout_is_what_it_was() {
        let draft = golden_draft();
        for room in [false, true] {
            let tail = Tail {
                draft: &draft,
                room,
            };
            let written = tail.to_redis_args().remove(0);
            assert_eq!(written.len(), tail.len());
            let front = if room { &ROOM[..] } else { &[] };
            assert_eq!(written, [front, &golden()[17..]].concat());
        }
        let envelope = Envelope::decode(golden().into()).expect("whole");
        assert_eq!(envelope.born, 0x18f_0000_0001);
        assert_eq!(envelope.deadline, Some(0x18f_001b_7741));
        let record = envelope.into_record(0x18f_0000_0005);
        assert_eq!(record.data, draft.data);
        assert_eq!(record.version, Version::new(draft.stamp));
        assert_eq!(record.credential, draft.credential);
        assert_eq!(record.owner, draft.owner);
        assert_eq!(record.lifetime, draft.lifetime);
        assert_eq!(record.age, Duration::from_millis(4));
        assert_eq!(record.ttl, Ttl::Left(Duration::from_millis(0x1b_773c)));
    }

    #[test]
    fn every_owner_and_credential_is_read_back() {
        let long = "o".repeat(Owner::MAX_BYTES);
        for whose in [None, Some("u"), Some(&*long)] {
            for size in [0, 1, 57, 192] {
                let draft = Draft::new("data", Lifetime::default())
                    .with_owner(whose.map(owner))
                    .with_credential(credential(&vec![7; size]));
                let tail = Tail {
                    draft: &draft,
                    room: true,
                };
                let mut value = tail.to_redis_args().remove(0);
                value[0] = VERSION;
                value[8] = 1;
                let envelope = Envelope::decode(value.into()).expect("whole");
                let record = envelope.into_record(1);
                assert_eq!(
                    (&record.owner, &record.credential, &record.data),
                    (&draft.owner, &draft.credential, &draft.data)
                );
            }
        }
    }

    #[test]
    fn what_is_cut_short_or_of_another_version_is_corrupt() {
        let whole = golden();
        // Header, owner and credential; the data may have any length.
        for length in 0..HEADER + 5 {
            Envelope::decode(whole[..length].to_vec().into()).expect_err("cut short");
        }
        let with = |at: usize, byte| {
            let mut value = whole.clone();
            value[at] = byte;
            Envelope::decode(value.into())
        };
        for version in [0, 2, 4, b'{'] {
            with(0, version).expect_err("another version");
        }
        with(52, 0xff).expect_err("the owner is no text");
        let mut value = whole.clone();
        value[51] = 193;
        value.extend([0; 200]);
        Envelope::decode(value.into()).expect_err("the credential is too long");
    }

    #[test]
    fn what_the_server_still_has_is_live_unless_its_end_was_taken_away() {
        let ttl = |deadline, now| {
            let envelope = Envelope {
                born: 10,
                lifetime: Lifetime::default(),
                deadline,
                stamp: Stamp::generate(),
                owner: None,
                credential: None,
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
