//! All sessions in a file, so that a restart need not log everybody out.
//!
//! The file is a magic line, the wall-clock time it was taken, the number of sessions, the
//! sessions as length-prefixed fields in little-endian, and the SHA-256 of all that.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use session_core::{Draft, Error, Lifetime, Owner, Result, SessionId, Stamp, Timeout, Ttl};
use sha2::{Digest, Sha256};

use crate::MemoryStore;
use crate::entry::{Entry, hand_over};
use crate::store::STEPS;
use crate::wheel::Micros;

const MAGIC: &[u8] = b"session-memory snapshot 1\n";
const NEVER: u64 = u64::MAX;

pub(crate) struct Snapshot {
    taken: SystemTime,
    sessions: Vec<Stored>,
}

struct Stored {
    id: SessionId,
    draft: Draft,
    age: Duration,
    left: Ttl,
}

impl MemoryStore {
    /// Writes all live sessions to the file named by
    /// [`snapshot`](crate::MemoryStoreBuilder::snapshot), atomically: the file is the old one or
    /// the new one, whatever happens. Gives their number.
    ///
    /// The sessions are copied a few at a time (data over 512 bytes is shared, not copied), and the file is
    /// written on a thread of its own.
    ///
    /// # Errors
    /// [`Error::Misconfigured`] if no file was named, [`Error::Store`] if it can't be written.
    pub async fn save_snapshot(&self) -> Result<usize> {
        let Some(path) = self.0.options.snapshot.clone() else {
            return Err(Error::misconfigured(
                "no snapshot file was named: MemoryStore::builder().snapshot(path)",
            ));
        };
        let store = self.clone();
        let write = move || {
            let snapshot = Snapshot::take(&store);
            write_atomically(&path, &snapshot.encode())?;
            Ok(snapshot.sessions.len())
        };
        tokio::task::spawn_blocking(write)
            .await
            .map_err(|error| Error::store("snapshot", error))?
            .map_err(|error: std::io::Error| Error::store("snapshot", error))
    }

    pub(crate) fn restore(&self, snapshot: Snapshot) {
        let down = SystemTime::now().duration_since(snapshot.taken);
        // A clock that was set back must not give sessions more time than they had.
        let down = down.unwrap_or_default();
        for stored in snapshot.sessions {
            let left = match stored.left {
                Ttl::Left(left) => Ttl::Left(left.saturating_sub(down)),
                Ttl::Never => Ttl::Never,
            };
            if left > Ttl::Left(Duration::ZERO) {
                let age = stored.age.saturating_add(down);
                self.0.restore(&stored.id, &stored.draft, age, left);
            }
        }
    }
}

impl Snapshot {
    fn take(store: &MemoryStore) -> Self {
        let taken = SystemTime::now();
        let mut sessions = Vec::new();
        for index in 0..store.0.shards() {
            let mut next = Some(0);
            while let Some(from) = next {
                let locked = store.0.lock(index);
                let now = locked.now;
                let (page, rest) = locked.shard.page(from, STEPS as u32, now);
                sessions.extend(page.map(|(entry, owner)| Stored::of(entry, owner, now)));
                next = rest;
            }
        }
        Self { taken, sessions }
    }

    /// The snapshot at `path`, if there is one.
    pub(crate) fn read(path: &Path) -> Result<Option<Self>> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::store("snapshot", error)),
        };
        check_private(&file)?;
        let bytes = std::fs::read(path).map_err(|error| Error::store("snapshot", error))?;
        Self::decode(bytes.into()).map(Some)
    }

    fn encode(&self) -> Bytes {
        let mut out = BytesMut::new();
        out.put_slice(MAGIC);
        let taken = self.taken.duration_since(UNIX_EPOCH).unwrap_or_default();
        out.put_u64_le(millis(taken));
        out.put_u64_le(self.sessions.len() as u64);
        for stored in &self.sessions {
            stored.encode(&mut out);
        }
        let checksum = Sha256::digest(&out);
        out.put_slice(&checksum);
        out.freeze()
    }

    fn decode(mut bytes: Bytes) -> Result<Self> {
        let corrupt = || Error::corrupt("the snapshot file is cut off or was changed");
        let body = bytes.len().checked_sub(32).ok_or_else(corrupt)?;
        let checksum = bytes.split_off(body);
        if Sha256::digest(&bytes)[..] != checksum[..] || !bytes.starts_with(MAGIC) {
            return Err(corrupt());
        }
        bytes.advance(MAGIC.len());
        let taken = bytes.try_get_u64_le().map_err(|_| corrupt())?;
        let count = bytes.try_get_u64_le().map_err(|_| corrupt())?;
        let sessions = (0..count).map(|_| Stored::decode(&mut bytes).ok_or_else(corrupt));
        Ok(Self {
            taken: UNIX_EPOCH + Duration::from_millis(taken),
            sessions: sessions.collect::<Result<_>>()?,
        })
    }
}

impl Stored {
    fn of(entry: &Entry, owner: Option<&Owner>, now: Micros) -> Self {
        let mut draft =
            Draft::new(hand_over(&entry.data), entry.lifetime()).with_owner(owner.cloned());
        draft.stamp = entry.stamp;
        Self {
            id: entry.key.id(),
            draft,
            age: entry.age(now),
            left: entry.ttl(now),
        }
    }

    fn encode(&self, out: &mut BytesMut) {
        out.put_u8(u8::from(self.id.is_secret()));
        put_field(out, self.id.as_str().as_bytes());
        put_field(
            out,
            self.draft
                .owner
                .as_ref()
                .map_or("", Owner::as_str)
                .as_bytes(),
        );
        out.put_slice(self.draft.stamp.as_bytes());
        out.put_u64_le(self.draft.lifetime.idle.millis().unwrap_or(NEVER));
        out.put_u64_le(self.draft.lifetime.absolute.millis().unwrap_or(NEVER));
        out.put_u64_le(self.left.left().map_or(NEVER, millis));
        out.put_u64_le(millis(self.age));
        put_field(out, &self.draft.data);
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
        let lifetime = Lifetime::new(idle, absolute);
        let mut draft = Draft::new(take_field(bytes)?, lifetime).with_owner(owner);
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

fn write_atomically(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let unfinished = unfinished_beside(path);
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let written = options.open(&unfinished).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&unfinished, path)
    });
    if written.is_err() {
        // Best effort: what is left behind is private and never read.
        let _ = std::fs::remove_file(&unfinished);
    }
    written
}

/// A new name in the same folder: a rename is atomic only within one file system.
fn unfinished_beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    let unique = u128::from_le_bytes(*Stamp::generate().as_bytes());
    name.push(format!(".{unique:032x}.tmp"));
    path.with_file_name(name)
}

#[cfg(unix)]
fn check_private(file: &File) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let metadata = file
        .metadata()
        .map_err(|error| Error::store("snapshot", error))?;
    if metadata.permissions().mode() & 0o077 != 0 {
        return Err(Error::misconfigured(
            "others may read or change the snapshot file: set its mode to 0600",
        ));
    }
    Ok(())
}

#[cfg(not(unix))]
fn check_private(_file: &File) -> Result<()> {
    Ok(())
}
