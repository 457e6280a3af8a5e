//! A session as it is stored: how it is written and read. The crate's documentation shows the
//! layout.

use std::io::Write;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use redis::{RedisWrite, ToRedisArgs, ToSingleRedisArg};
use session_core::{
    Credential, Description, Draft, Lifetime, Owner, Record, Result, Stamp, Timeout, Ttl, Version,
};

use crate::clock::MAX_LEAD;
use crate::command::corrupt;

const VERSION: u8 = 4;
const HEADER_BYTES: usize = 53;
/// The largest time or limit in milliseconds: Lua's numbers are exact up to it.
const MAX_MILLIS: u64 = 1 << 53;

/// A stored session, with the times that the server wrote.
#[derive(Debug)]
pub(crate) struct StoredSession {
    pub(crate) born: u64,
    pub(crate) lifetime: Lifetime,
    /// The deadline, unless the session has none.
    pub(crate) deadline: Option<u64>,
    pub(crate) stamp: Stamp,
    pub(crate) owner: Option<Owner>,
    pub(crate) credential: Option<Credential>,
    pub(crate) description: Option<Description>,
    pub(crate) data: Bytes,
    /// The bytes that it was read from.
    pub(crate) value: Bytes,
}

/// What a write needs of the value that it replaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) born: u64,
    /// 0 for never.
    pub(crate) deadline: u64,
    pub(crate) stamp: Stamp,
}

impl Head {
    /// `None` if the value is not a session.
    pub(crate) fn read(value: &[u8]) -> Option<Self> {
        let mut rest = value;
        if rest.len() < HEADER_BYTES || rest.get_u8() != VERSION {
            return None;
        }
        let (born, deadline) = (rest.get_u64(), rest.get_u64());
        let mut stamp = [0; 16];
        rest.copy_to_slice(&mut stamp);
        let stamp = Stamp::from_bytes(stamp);
        let head = Self {
            born,
            deadline,
            stamp,
        };
        (born > 0 && born.max(deadline) <= MAX_MILLIS).then_some(head)
    }

    /// Whether the session has ended, though its key is there.
    pub(crate) const fn has_ended(&self, now: u64) -> bool {
        self.deadline != 0 && self.deadline <= now
    }
}

/// The lifetime in the value; `None` if the value is not a session.
pub(crate) fn stored_lifetime(value: &[u8]) -> Option<Lifetime> {
    Head::read(value)?;
    let (idle, rest) = value[35..].split_first_chunk()?;
    let (absolute, _) = rest.split_first_chunk()?;
    let limit = |millis: &[u8; 8]| {
        let millis = u64::from_be_bytes(*millis);
        Timeout::from_millis((millis > 0).then_some(millis))
    };
    Some(Lifetime::new(limit(idle), limit(absolute)))
}

/// The same session with another deadline, 0 for never.
pub(crate) fn with_deadline(value: &[u8], deadline: u64) -> Bytes {
    let mut moved = BytesMut::from(value);
    moved[9..PADDING.len()].copy_from_slice(&deadline.to_be_bytes());
    moved.freeze()
}

impl StoredSession {
    /// The longest value without data.
    pub(crate) const MAX_FRONT: usize = HEADER_BYTES + Owner::MAX_BYTES + 2 * u8::MAX as usize;

    pub(crate) fn decode(value: Bytes) -> Result<Self> {
        let mut rest = &value[..];
        if rest.len() < HEADER_BYTES || rest.get_u8() != VERSION {
            return Err(corrupt());
        }
        let mut millis = || match rest.get_u64() {
            millis if millis > MAX_MILLIS => Err(corrupt()),
            millis => Ok((millis > 0).then_some(millis)),
        };
        let born = millis()?.ok_or_else(corrupt)?;
        let deadline = millis()?;
        let mut stamp = [0; 16];
        rest.copy_to_slice(&mut stamp);
        let owner = usize::from(rest.get_u16());
        let mut limit = || match rest.get_u64() {
            millis if millis > MAX_MILLIS => Err(corrupt()),
            millis => Ok(Timeout::from_millis((millis > 0).then_some(millis))),
        };
        let lifetime = Lifetime::new(limit()?, limit()?);
        let (credential, description) = (rest.get_u8().into(), rest.get_u8().into());
        let mut part = |size| -> Result<&[u8]> {
            let (part, after) = rest.split_at_checked(size).ok_or_else(corrupt)?;
            rest = after;
            Ok(part)
        };
        let (owner, credential) = (
            read_owner(part(owner)?)?,
            Credential::from_stored(part(credential)?)?,
        );
        let description = Description::from_stored(part(description)?)?;
        let data = value.slice(value.len() - rest.len()..);
        Ok(Self {
            born,
            lifetime,
            deadline,
            stamp: Stamp::from_bytes(stamp),
            owner,
            credential,
            description,
            data,
            value,
        })
    }

    /// The record at server time `now`.
    pub(crate) fn into_record(self, now: u64) -> Record {
        let (ttl, age) = (self.ttl(now), self.age(now));
        let version = Version::new(self.stamp).with_stored(self.value);
        Record::new(self.data, version, self.lifetime, ttl, age)
            .with_credential(self.credential)
            .with_description(self.description)
            .with_owner(self.owner)
    }

    /// The record, if the session is live at `now`, which may be [ahead](MAX_LEAD) of the server
    /// that returned it.
    pub(crate) fn into_live_record(self, now: u64) -> Option<Record> {
        let Some(end) = self.end() else {
            return Some(self.into_record(now));
        };
        // The server removes a key at its deadline or a few milliseconds later, unless the key's
        // expiry was removed.
        let lead = MAX_LEAD.as_micros().div_ceil(1_000) as u64;
        let ended = now.saturating_sub(lead) >= end;
        (!ended).then(|| self.into_record(now.min(end.saturating_sub(1))))
    }

    /// The earlier of the deadline and the absolute limit.
    fn end(&self) -> Option<u64> {
        let limit = self.lifetime.absolute.millis();
        let limit = limit.map(|limit| self.born.saturating_add(limit));
        self.deadline.into_iter().chain(limit).min()
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

/// Parses a stored owner; empty for none.
pub(crate) fn read_owner(stored: &[u8]) -> Result<Option<Owner>> {
    if stored.is_empty() {
        return Ok(None);
    }
    let owner = std::str::from_utf8(stored).map_err(|_| corrupt())?;
    Owner::new(owner).map(Some).map_err(|_| corrupt())
}

/// The part that does not depend on the server's clock: stamp, limits, owner, credential,
/// description, data. The version and the times come before it: a script prepends them, or
/// [`value`](Self::value).
pub(crate) struct Tail<'a> {
    pub(crate) draft: &'a Draft,
    /// Whether [`PADDING`] comes first, which the script overwrites.
    pub(crate) is_padded: bool,
}

/// As long as what the script writes: version, begin, deadline.
const PADDING: [u8; 17] = [0; 17];
/// The size of stamp, limits and the three lengths.
const TAIL_HEADER_BYTES: usize = HEADER_BYTES - PADDING.len();

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

    fn description(&self) -> &[u8] {
        Description::stored(self.draft.description.as_ref())
    }

    fn padding(&self) -> &'static [u8] {
        if self.is_padded { &PADDING } else { &[] }
    }

    pub(crate) fn len(&self) -> usize {
        let parts = self.owner().len() + self.credential().len() + self.description().len();
        self.padding().len() + TAIL_HEADER_BYTES + parts + self.draft.data.len()
    }

    /// The whole value of a session that began at `born` and ends at `deadline`, 0 for never.
    pub(crate) fn value(draft: &Draft, born: u64, deadline: u64) -> Bytes {
        let tail = Tail {
            draft,
            is_padded: false,
        };
        let mut value = BytesMut::with_capacity(PADDING.len() + tail.len());
        value.put_u8(VERSION);
        value.put_u64(born);
        value.put_u64(deadline);
        tail.write(|part| value.put_slice(part));
        value.freeze()
    }

    fn write(&self, put: impl FnMut(&[u8])) {
        let header = self.header();
        let front = [self.padding(), &header, self.owner(), self.credential()];
        let back = [self.description(), &self.draft.data];
        front.into_iter().chain(back).for_each(put);
    }

    fn header(&self) -> [u8; TAIL_HEADER_BYTES] {
        let mut header = [0; TAIL_HEADER_BYTES];
        let mut rest = header.as_mut_slice();
        rest.put_slice(self.draft.stamp.as_bytes());
        // An owner has at most 1,024 bytes.
        rest.put_u16(u16::try_from(self.owner().len()).unwrap_or(u16::MAX));
        for limit in [self.draft.lifetime.idle, self.draft.lifetime.absolute] {
            // A limit that is over (negative) is never stored.
            rest.put_u64(u64::try_from(millis(limit)).unwrap_or(0));
        }
        // A credential has at most 192, a description 255.
        for part in [self.credential(), self.description()] {
            rest.put_u8(u8::try_from(part.len()).unwrap_or(u8::MAX));
        }
        header
    }
}

/// Written directly into the command, so the data is copied once.
impl ToRedisArgs for Tail<'_> {
    fn write_redis_args<W: ?Sized + RedisWrite>(&self, out: &mut W) {
        let mut writer = out.writer_for_next_arg();
        // Writing to memory can't fail.
        self.write(|part| drop(writer.write_all(part)));
    }
}

impl ToSingleRedisArg for Tail<'_> {}

/// Whole milliseconds; 0 for never, negative for a limit that is over.
pub(crate) fn millis(timeout: Timeout) -> i64 {
    match timeout.millis() {
        None => 0,
        Some(0) => -1,
        // Lua's numbers are exact up to 2^53; 2^52 ms are 140,000 years.
        Some(millis) => millis.min(1 << 52) as i64,
    }
}

/// When the session that `draft` creates at server time `now` has begun. Never 0, which no session
/// has.
pub(crate) fn began(draft: &Draft, now: u64) -> u64 {
    now.saturating_sub(age_at_create(draft)).max(1)
}

/// The age of the session that `draft` creates, in milliseconds.
pub(crate) fn age_at_create(draft: &Draft) -> u64 {
    u64::try_from(draft.age_at_create().as_millis()).unwrap_or(u64::MAX)
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

    fn description(bytes: &[u8]) -> Option<Description> {
        Description::from_stored(bytes).expect("it fits")
    }

    /// Version, times, stamp, length of the owner, limits, lengths of the credential and the
    /// description, owner, credential, description, data.
    const GOLDEN: &str = "\
        04 0000018f00000001 0000018f001b7741 000102030405060708090a0b0c0d0e0f 0002 \
        00000000001b7740 0000000002932e00 03 02 c3bc aabbcc ddee 7b7d";

    fn golden() -> Vec<u8> {
        let digits: String = GOLDEN.split_whitespace().collect();
        let byte = |at| u8::from_str_radix(&digits[at..at + 2], 16).expect("two digits");
        (0..digits.len()).step_by(2).map(byte).collect()
    }

    fn golden_draft() -> Draft {
        let minutes = |minutes: u64| Duration::from_secs(minutes * 60);
        let mut draft = Draft::new("{}", Lifetime::new(minutes(30), minutes(720)))
            .with_owner(owner("ü"))
            .with_credential(credential(&[0xaa, 0xbb, 0xcc]))
            .with_description(description(&[0xdd, 0xee]));
        draft.stamp = Stamp::from_bytes(std::array::from_fn(|n| n as u8));
        draft
    }

    /// Another version of the program reads these bytes: they change only with [`VERSION`].
    #[test]
    fn the_layout_is_unchanged() {
        let draft = golden_draft();
        for is_padded in [false, true] {
            let tail = Tail {
                draft: &draft,
                is_padded,
            };
            let written = tail.to_redis_args().remove(0);
            assert_eq!(written.len(), tail.len());
            let front = if is_padded { &PADDING[..] } else { &[] };
            assert_eq!(written, [front, &golden()[17..]].concat());
        }
        let (born, deadline) = (0x18f_0000_0001, 0x18f_001b_7741);
        assert_eq!(Tail::value(&draft, born, deadline), golden());
        let head = Head::read(&golden()).expect("whole");
        assert_eq!((head.born, head.deadline), (born, deadline));
        assert_eq!(head.stamp, draft.stamp);
        let session = StoredSession::decode(golden().into()).expect("whole");
        assert_eq!(session.value, golden());
        assert_eq!(session.born, 0x18f_0000_0001);
        assert_eq!(session.deadline, Some(0x18f_001b_7741));
        let record = session.into_record(0x18f_0000_0005);
        assert_eq!(record.data, draft.data);
        assert_eq!(record.version, Version::new(draft.stamp));
        assert_eq!(record.credential, draft.credential);
        assert_eq!(record.description, draft.description);
        assert_eq!(record.owner, draft.owner);
        assert_eq!(record.lifetime, draft.lifetime);
        assert_eq!(record.age, Duration::from_millis(4));
        assert_eq!(record.ttl, Ttl::Left(Duration::from_millis(0x1b_773c)));
    }

    #[test]
    fn a_touch_moves_the_deadline_and_nothing_else() {
        let draft = golden_draft();
        for deadline in [0, 1, MAX_MILLIS] {
            let moved = with_deadline(&golden(), deadline);
            assert_eq!(moved, Tail::value(&draft, 0x18f_0000_0001, deadline));
        }
    }

    #[test]
    fn a_session_has_ended_at_its_deadline() {
        let head = |deadline| Head::read(&with_deadline(&golden(), deadline)).expect("whole");
        assert!(head(100).has_ended(100) && !head(100).has_ended(99));
        assert!(!head(0).has_ended(u64::MAX), "it has none");
        for (at, byte) in [(0, 3), (1, 0xff), (9, 0xff)] {
            let mut value = golden();
            value[at] = byte;
            assert_eq!(Head::read(&value), None, "{at}");
        }
        assert_eq!(Head::read(&golden()[..HEADER_BYTES - 1]), None);
    }

    #[test]
    fn a_record_has_the_bytes_that_a_save_compares() {
        let session = StoredSession::decode(golden().into()).expect("whole");
        let record = session.into_live_record(0x18f_0000_0005).expect("live");
        assert_eq!(*record.version.stored(), golden());
    }

    #[test]
    fn a_session_ends_at_its_absolute_limit_whatever_its_deadline() {
        let value = with_deadline(&golden(), 0);
        let live = |now| {
            let session = StoredSession::decode(value.clone()).expect("whole");
            session.into_live_record(now).is_some()
        };
        let limit = 0x18f_0000_0001 + 0x293_2e00;
        assert!(live(limit - 1) && !live(limit + 1));
    }

    #[test]
    fn every_owner_credential_and_description_is_read_back() {
        let long = "o".repeat(Owner::MAX_BYTES);
        for name in [None, Some("u"), Some(&*long)] {
            for (size, other) in [(0, 0), (1, 0), (0, 1), (57, 60), (192, 255)] {
                let draft = Draft::new("data", Lifetime::default())
                    .with_owner(name.map(owner))
                    .with_credential(credential(&vec![7; size]))
                    .with_description(description(&vec![8; other]));
                let tail = Tail {
                    draft: &draft,
                    is_padded: true,
                };
                let mut value = tail.to_redis_args().remove(0);
                value[0] = VERSION;
                value[8] = 1;
                let session = StoredSession::decode(value.into()).expect("whole");
                let record = session.into_record(1);
                assert_eq!(
                    (&record.owner, &record.credential, &record.data),
                    (&draft.owner, &draft.credential, &draft.data)
                );
                assert_eq!(record.description, draft.description);
            }
        }
    }

    #[test]
    fn a_truncated_value_or_another_version_is_corrupt() {
        let whole = golden();
        // Header, owner, credential and description; the data may have any length.
        for length in 0..HEADER_BYTES + 7 {
            StoredSession::decode(whole[..length].to_vec().into()).expect_err("truncated");
        }
        let with = |at: usize, byte| {
            let mut value = whole.clone();
            value[at] = byte;
            StoredSession::decode(value.into())
        };
        for version in [0, 3, 5, b'{'] {
            with(0, version).expect_err("another version");
        }
        with(53, 0xff).expect_err("the owner is not UTF-8");
        let mut value = whole.clone();
        value[51] = 193;
        value.extend([0; 200]);
        StoredSession::decode(value.into()).expect_err("the credential is too long");
    }

    #[test]
    fn a_session_that_the_server_returns_is_live_unless_its_expiry_was_removed() {
        let ttl = |deadline, now| {
            let session = StoredSession {
                born: 10,
                lifetime: Lifetime::default(),
                deadline,
                stamp: Stamp::generate(),
                owner: None,
                credential: None,
                description: None,
                data: Bytes::new(),
                value: Bytes::new(),
            };
            session.into_live_record(now).map(|record| record.ttl)
        };
        let left = |millis| Some(Ttl::Left(Duration::from_millis(millis)));
        assert_eq!(ttl(Some(100), 40), left(60));
        assert_eq!(ttl(Some(100), 99), left(1));
        assert_eq!(ttl(Some(100), 100), left(1), "the clock is ahead");
        assert_eq!(ttl(Some(100), 101), None, "the key does not expire");
        assert_eq!(ttl(None, 101), Some(Ttl::Never));
    }
}
