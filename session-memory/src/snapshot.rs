//! All sessions in a file, so that a restart logs no users out.
//!
//! The file holds a line with the format and its version, the wall-clock time of the snapshot, the
//! number of sessions, the sessions, and the SHA-256 of all that. A session is its fields in order;
//! a field of varying length follows its length. Numbers are 64 bits, little-endian.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use session_core::{
    Credential, Description, Draft, Error, Lifetime, Owner, Result, SessionId, Stamp, Timeout, Ttl,
};
use sha2::{Digest, Sha256};

use crate::MemoryStore;
use crate::content::Copied;
use crate::deadlines::Micros;
use crate::entry::Entry;
use crate::private_file;
use crate::store::STEPS_PER_LOCK;

const MAGIC: &[u8] = b"session-memory snapshot 3\n";
const NEVER: u64 = u64::MAX;

/// A verified snapshot file, whose sessions are not yet decoded.
pub(crate) struct Snapshot {
    taken: SystemTime,
    count: u64,
    sessions: Bytes,
}

/// One session of a snapshot.
#[derive(Debug)]
struct StoredSession {
    id: SessionId,
    draft: Draft,
    age: Duration,
    left: Ttl,
}

impl MemoryStore {
    /// Writes all live sessions to the file set by
    /// [`snapshot`](crate::MemoryStoreBuilder::snapshot) and returns their number. The file is
    /// replaced atomically: a failure or a crash leaves the old one.
    ///
    /// A blocking task of Tokio copies the sessions, a few at a time, and writes the file.
    ///
    /// # Errors
    /// [`ErrorKind::Misconfigured`](session_core::ErrorKind::Misconfigured) if no file is set,
    /// [`ErrorKind::Refused`](session_core::ErrorKind::Refused) if it can't be written.
    pub async fn save_snapshot(&self) -> Result<usize> {
        let Some(path) = self.0.options.snapshot.clone() else {
            return Err(Error::misconfigured(
                "no snapshot file is set: use MemoryStore::builder().snapshot(path)",
            ));
        };
        let store = self.clone();
        let write = move || {
            let (count, bytes) = take_snapshot(&store);
            private_file::write(&path, &bytes)?;
            Ok(count)
        };
        tokio::task::spawn_blocking(write)
            .await
            .map_err(|error| Error::refused("snapshot", error))?
    }

    pub(crate) fn restore(&self, path: &Path, mut snapshot: Snapshot) -> Result<()> {
        let elapsed = SystemTime::now().duration_since(snapshot.taken);
        // If the clock was set back, sessions must not get more time than they had.
        let elapsed = elapsed.unwrap_or_default();
        for _ in 0..snapshot.count {
            let stored = StoredSession::decode(&mut snapshot.sessions);
            let stored = stored.ok_or_else(|| corrupt(path))?;
            let left = match stored.left {
                Ttl::Left(left) => Ttl::Left(left.saturating_sub(elapsed)),
                Ttl::Never => Ttl::Never,
            };
            if left > Ttl::Left(Duration::ZERO) {
                let age = stored.age.saturating_add(elapsed);
                self.0.restore(&stored.id, &stored.draft, age, left);
            }
        }
        Ok(())
    }
}

/// The number of live sessions, and a snapshot of them.
fn take_snapshot(store: &MemoryStore) -> (usize, Bytes) {
    let mut file = SnapshotWriter::new(SystemTime::now());
    for index in 0..store.0.shards() {
        let mut next = Some(0);
        while let Some(from) = next {
            let locked = store.0.lock(index);
            let now = locked.now;
            let (page, rest) = locked.shard.page(from, STEPS_PER_LOCK as u32, now);
            let page: Vec<StoredSession> = page
                .map(|(entry, owner)| StoredSession::of(entry, owner, now))
                .collect();
            drop(locked);
            page.iter().for_each(|stored| file.add(stored));
            next = rest;
        }
    }
    (file.count, file.finish())
}

struct SnapshotWriter {
    bytes: BytesMut,
    count: usize,
}

impl SnapshotWriter {
    fn new(taken: SystemTime) -> Self {
        let mut bytes = BytesMut::from(MAGIC);
        bytes.put_u64_le(millis(taken.duration_since(UNIX_EPOCH).unwrap_or_default()));
        bytes.put_u64_le(0);
        Self { bytes, count: 0 }
    }

    fn add(&mut self, stored: &StoredSession) {
        stored.encode(&mut self.bytes);
        self.count += 1;
    }

    fn finish(mut self) -> Bytes {
        let (_, mut count) = self.bytes.split_at_mut(MAGIC.len() + 8);
        count.put_u64_le(self.count as u64);
        let checksum = Sha256::digest(&self.bytes);
        self.bytes.put_slice(&checksum);
        self.bytes.freeze()
    }
}

impl Snapshot {
    /// Reads the snapshot at `path`; `None` if there is no file.
    pub(crate) fn read(path: &Path) -> Result<Option<Self>> {
        match private_file::read(path)? {
            Some(bytes) => Self::decode(bytes.into())
                .map(Some)
                .ok_or_else(|| corrupt(path)),
            None => Ok(None),
        }
    }

    /// `None` if the file is truncated or was changed.
    fn decode(mut bytes: Bytes) -> Option<Self> {
        let body = bytes.len().checked_sub(32)?;
        let checksum = bytes.split_off(body);
        if Sha256::digest(&bytes)[..] != checksum[..] || !bytes.starts_with(MAGIC) {
            return None;
        }
        bytes.advance(MAGIC.len());
        let taken = bytes.try_get_u64_le().ok()?;
        let count = bytes.try_get_u64_le().ok()?;
        Some(Self {
            taken: UNIX_EPOCH + Duration::from_millis(taken),
            count,
            sessions: bytes,
        })
    }
}

fn corrupt(path: &Path) -> Error {
    Error::corrupt(format!(
        "the snapshot file {} is truncated or was changed: remove it, or restore it from a backup",
        path.display()
    ))
}

impl StoredSession {
    fn of(entry: &Entry, owner: Option<&Owner>, now: Micros) -> Self {
        let Copied {
            data,
            credential,
            description,
        } = entry.content.copy();
        let mut draft = Draft::new(data, entry.lifetime())
            .with_credential(credential)
            .with_description(description)
            .with_owner(owner.cloned());
        draft.stamp = entry.stamp;
        Self {
            id: entry.key.id(),
            draft,
            age: entry.age(now),
            left: entry.ttl(now),
        }
    }

    fn encode(&self, out: &mut BytesMut) {
        let draft = &self.draft;
        out.put_u8(u8::from(self.id.is_secret()));
        put_field(out, self.id.as_str().as_bytes());
        let owner = draft.owner.as_ref().map_or("", Owner::as_str);
        put_field(out, owner.as_bytes());
        out.put_slice(draft.stamp.as_bytes());
        out.put_u64_le(draft.lifetime.idle.millis().unwrap_or(NEVER));
        out.put_u64_le(draft.lifetime.absolute.millis().unwrap_or(NEVER));
        out.put_u64_le(self.left.left().map_or(NEVER, millis));
        out.put_u64_le(millis(self.age));
        put_field(out, Credential::stored(draft.credential.as_ref()));
        put_field(out, Description::stored(draft.description.as_ref()));
        put_field(out, &draft.data);
    }

    fn decode(bytes: &mut Bytes) -> Option<Self> {
        let secret = bytes.try_get_u8().ok()? != 0;
        let id = take_field(bytes)?;
        let id = std::str::from_utf8(&id).ok()?;
        let id = if secret {
            SessionId::plain(id)
        } else {
            SessionId::from_stored(id)
        };
        let owner = match take_field(bytes)? {
            owner if owner.is_empty() => None,
            owner => Some(Owner::new(std::str::from_utf8(&owner).ok()?).ok()?),
        };
        let mut stamp = [0; 16];
        bytes.try_copy_to_slice(&mut stamp).ok()?;
        let limit = |millis| Timeout::from_millis((millis != NEVER).then_some(millis));
        let idle = limit(bytes.try_get_u64_le().ok()?);
        let absolute = limit(bytes.try_get_u64_le().ok()?);
        let left = limit(bytes.try_get_u64_le().ok()?).into();
        let age = Duration::from_millis(bytes.try_get_u64_le().ok()?);
        let credential = Credential::from_stored(&take_field(bytes)?).ok()?;
        let description = Description::from_stored(&take_field(bytes)?).ok()?;
        // A copy, because a slice would keep the whole file in memory.
        let data = Bytes::copy_from_slice(&take_field(bytes)?);
        let mut draft = Draft::new(data, Lifetime::new(idle, absolute))
            .with_credential(credential)
            .with_description(description)
            .with_owner(owner);
        draft.stamp = Stamp::from_bytes(stamp);
        Some(Self {
            id: id.ok()?,
            draft,
            age,
            left,
        })
    }
}

fn put_field(out: &mut BytesMut, field: &[u8]) {
    out.put_u64_le(field.len() as u64);
    out.put_slice(field);
}

fn take_field(bytes: &mut Bytes) -> Option<Bytes> {
    let length = usize::try_from(bytes.try_get_u64_le().ok()?).ok()?;
    (length <= bytes.len()).then(|| bytes.split_to(length))
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(NEVER - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A signed-in session with a credential, and a guest of a layout with plain ids.
    fn two() -> [StoredSession; 2] {
        let lifetime = Lifetime::new(Duration::from_secs(1), Timeout::Never);
        let mut draft = Draft::new("{}", lifetime)
            .with_credential(Credential::from_stored(&[0xC1, 0xC2, 0xC3]).expect("it fits"))
            .with_description(Description::from_stored(&[0xD1, 0xD2]).expect("it fits"))
            .with_owner(Owner::new("ann").expect("valid"));
        draft.stamp = Stamp::from_bytes(*b"0123456789abcdef");
        let mut bare = Draft::new("", Lifetime::new(Timeout::Never, Timeout::Never));
        bare.stamp = Stamp::from_bytes([0xFF; 16]);
        [
            StoredSession {
                id: SessionId::from_stored("id").expect("valid"),
                draft,
                age: Duration::from_millis(0x0403_0201),
                left: Ttl::Left(Duration::from_millis(500)),
            },
            StoredSession {
                id: SessionId::plain("s").expect("valid"),
                draft: bare,
                age: Duration::ZERO,
                left: Ttl::Never,
            },
        ]
    }

    const NUMBER_NEVER: &[u8] = &[0xFF; 8];

    /// The sessions of `two`, encoded by hand.
    fn golden() -> Vec<u8> {
        let fields: [&[u8]; 28] = [
            b"\0",
            b"\x02\0\0\0\0\0\0\0",
            b"id",
            b"\x03\0\0\0\0\0\0\0",
            b"ann",
            b"0123456789abcdef",
            b"\xE8\x03\0\0\0\0\0\0",
            NUMBER_NEVER,
            b"\xF4\x01\0\0\0\0\0\0",
            b"\x01\x02\x03\x04\0\0\0\0",
            b"\x03\0\0\0\0\0\0\0",
            b"\xC1\xC2\xC3",
            b"\x02\0\0\0\0\0\0\0",
            b"\xD1\xD2",
            b"\x02\0\0\0\0\0\0\0",
            b"{}",
            // The second session.
            b"\x01",
            b"\x01\0\0\0\0\0\0\0",
            b"s",
            b"\0\0\0\0\0\0\0\0",
            &[0xFF; 16],
            NUMBER_NEVER,
            NUMBER_NEVER,
            NUMBER_NEVER,
            b"\0\0\0\0\0\0\0\0",
            b"\0\0\0\0\0\0\0\0",
            b"\0\0\0\0\0\0\0\0",
            b"\0\0\0\0\0\0\0\0",
        ];
        fields.concat()
    }

    #[test]
    fn sessions_are_stored_as_these_bytes() {
        let mut file = SnapshotWriter::new(UNIX_EPOCH + Duration::from_millis(0x0807_0605));
        two().iter().for_each(|stored| file.add(stored));
        let file = file.finish();
        let (body, checksum) = file.split_at(file.len() - 32);
        let head = b"session-memory snapshot 3\n\x05\x06\x07\x08\0\0\0\0\x02\0\0\0\0\0\0\0";
        assert_eq!(body, [head.as_slice(), &golden()].concat());
        assert_eq!(checksum, Sha256::digest(body).as_slice());
    }

    #[test]
    fn these_bytes_are_read_as_those_sessions() {
        let mut bytes = Bytes::from(golden());
        for expected in two() {
            let read = StoredSession::decode(&mut bytes).expect("whole");
            // A decoded draft has no random parts.
            assert_eq!(format!("{read:?}"), format!("{expected:?}"));
            assert_eq!(read.id.is_secret(), expected.id.is_secret());
            assert_eq!(read.draft.credential, expected.draft.credential);
            assert_eq!(read.draft.description, expected.draft.description);
        }
        assert!(bytes.is_empty());
    }

    #[test]
    fn a_truncated_session_or_one_with_too_long_a_credential_is_not_decoded() {
        let golden = Bytes::from(golden());
        let mut whole = golden.clone();
        StoredSession::decode(&mut whole).expect("whole");
        for length in 0..golden.len() - whole.len() {
            assert!(StoredSession::decode(&mut golden.slice(..length)).is_none());
        }
        // The credential is after 1 + 10 + 11 + 16 + 32 bytes.
        let mut bytes = golden[..70].to_vec();
        bytes.extend_from_slice(&193_u64.to_le_bytes());
        bytes.extend_from_slice(&[7; 1_000]);
        assert!(StoredSession::decode(&mut bytes.into()).is_none());
    }
}
