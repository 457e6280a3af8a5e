//! The options of a store.

use std::path::PathBuf;
use std::time::Duration;

use session_core::backend::Policy;
use session_core::{Error, Result};

use crate::MemoryStore;
use crate::snapshot::Snapshot;

/// Builds a [`MemoryStore`].
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
    /// Sets the maximum number of sessions; default no limit.
    ///
    /// A full store refuses new sessions with [`ErrorKind::Full`](session_core::ErrorKind::Full).
    /// It does not evict, because a client that creates many sessions could then log all other
    /// users out.
    pub fn max_sessions(mut self, sessions: usize) -> Self {
        self.max_sessions = Some(sessions);
        self
    }

    /// Sets the maximum size of one session's data, in bytes; default 1 MiB.
    pub fn max_data(mut self, bytes: usize) -> Self {
        self.max_data = bytes;
        self
    }

    /// Sets how long after its deadline `reap` can report an expired session; default 60 s. The
    /// store keeps only its id, owner and age. With zero it keeps nothing and reports nothing.
    pub fn expiry_grace(mut self, grace: Duration) -> Self {
        self.expiry_grace = grace;
        self
    }

    /// Sets the file that [`MemoryStore::save_snapshot`] writes. If the file exists when the store
    /// is built, the store restores its sessions and deducts the time since the snapshot.
    ///
    /// The file holds session data, and a user who can write it can create sessions. The store
    /// writes it with mode 0600. On Unix it restores the file only if it is a regular file, not a
    /// symbolic link, that belongs to the effective user of this process and grants other users no
    /// rights. The folder must belong to that user or to root, and must not be world-writable
    /// unless it is sticky: otherwise another user could replace the file with an older snapshot
    /// and bring ended sessions back.
    ///
    /// If the system clock was set back since the snapshot, a session gets at most the time that it
    /// had left then.
    pub fn snapshot(mut self, path: impl Into<PathBuf>) -> Self {
        self.snapshot = Some(path.into());
        self
    }

    /// Builds the store. Blocks while it reads the snapshot file, if one is set.
    ///
    /// # Errors
    /// [`ErrorKind::Misconfigured`](session_core::ErrorKind::Misconfigured) if a limit is zero, or
    /// another user could have written the snapshot (the message names file, owner and mode);
    /// [`ErrorKind::Corrupt`](session_core::ErrorKind::Corrupt) if the snapshot is truncated or was
    /// changed; [`ErrorKind::Refused`](session_core::ErrorKind::Refused) if it can't be read.
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
