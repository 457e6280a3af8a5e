//! How a store is set up.

use std::path::PathBuf;
use std::time::Duration;

use session_core::backend::Policy;
use session_core::{Error, Result};

use crate::MemoryStore;
use crate::snapshot::Snapshot;

/// Sets up a [`MemoryStore`].
#[derive(Clone, Debug)]
#[must_use]
pub struct MemoryStoreBuilder {
    pub(crate) max_sessions: Option<usize>,
    pub(crate) max_data: usize,
    pub(crate) expiry_grace: Duration,
    pub(crate) snapshot: Option<PathBuf>,
}

impl Default for MemoryStoreBuilder {
    fn default() -> Self {
        Self {
            max_sessions: None,
            max_data: Policy::MAX_DATA,
            expiry_grace: Duration::from_secs(60),
            snapshot: None,
        }
    }
}

impl MemoryStoreBuilder {
    /// The most sessions that the store holds; default no limit.
    ///
    /// A full store refuses new sessions with [`ErrorKind::Full`]. It does not evict: that would let
    /// whoever makes sessions fast enough log everybody else out.
    pub fn max_sessions(mut self, sessions: usize) -> Self {
        self.max_sessions = Some(sessions);
        self
    }

    /// The most bytes of one session's data; default 1 MiB.
    pub fn max_data(mut self, bytes: usize) -> Self {
        self.max_data = bytes;
        self
    }

    /// How long after its deadline an expired session can be reported by `reap`; default 60 s.
    /// Only its id, owner and age are kept. Zero keeps nothing, and the store reports nothing.
    pub fn expiry_grace(mut self, grace: Duration) -> Self {
        self.expiry_grace = grace;
        self
    }

    /// The file that [`MemoryStore::save_snapshot`] writes. If it exists when the store is built,
    /// its sessions are restored, less the time that has passed since.
    ///
    /// It holds the sessions' data, and whoever writes it can make sessions. So it is written with
    /// mode 0600, and on Unix it is restored only if it is a regular file, no symbolic link, that
    /// belongs to the effective user of this process and has no rights for anybody else. Its folder
    /// must belong to that user or to root, and not be writable by everybody unless it is sticky:
    /// another user could put an older snapshot there, in which sessions live that have ended.
    ///
    /// A clock that was set back meanwhile extends no session beyond what it had left.
    pub fn snapshot(mut self, path: impl Into<PathBuf>) -> Self {
        self.snapshot = Some(path.into());
        self
    }

    /// The store. Reads the snapshot's file, if one was named, so it blocks for that long.
    ///
    /// # Errors
    /// [`ErrorKind::Misconfigured`] if a limit is zero, or the snapshot may be another user's work (the
    /// message names file, owner and mode); [`ErrorKind::Corrupt`] if the snapshot is cut off or
    /// changed; [`ErrorKind::Refused`] if it can't be read.
    pub fn build(self) -> Result<MemoryStore> {
        if self.max_sessions == Some(0) || self.max_data == 0 {
            return Err(Error::misconfigured(
                "max_sessions and max_data must be over zero",
            ));
        }
        let path = self.snapshot.clone();
        let snapshot = path.as_deref().map(Snapshot::read).transpose()?.flatten();
        let store = MemoryStore::empty(self);
        if let (Some(path), Some(snapshot)) = (path, snapshot) {
            store.restore(&path, snapshot)?;
        }
        Ok(store)
    }
}
