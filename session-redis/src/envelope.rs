//! The bytes around a session's data; see the crate's documentation for the layout.

use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use session_core::{Draft, Error, Lifetime, Owner, Record, Result, Stamp, Timeout, Ttl};

const VERSION: u8 = 1;
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
        let idle = Timeout::from_millis(millis());
        let absolute = Timeout::from_millis(millis());
        let deadline = millis();
        let mut stamp = [0; 16];
        value.copy_to_slice(&mut stamp);
        let owner = usize::from(value.get_u16());
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
        }
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

/// The part of the envelope that the client writes: stamp, owner, data. The script puts the times
/// in front.
pub(crate) fn tail(draft: &Draft) -> Vec<u8> {
    let owner = draft.owner.as_ref().map_or("", Owner::as_str).as_bytes();
    let mut tail = BytesMut::with_capacity(18 + owner.len() + draft.data.len());
    tail.put_slice(draft.stamp.as_bytes());
    // An owner has at most 1,024 bytes.
    tail.put_u16(u16::try_from(owner.len()).unwrap_or(u16::MAX));
    tail.put_slice(owner);
    tail.put_slice(&draft.data);
    tail.into()
}
