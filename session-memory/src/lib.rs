//! Sessions in the memory of one process.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> session_memory::Result<()> {
//! use session_memory::{MemoryStore, Sessions};
//!
//! let sessions = Sessions::new(MemoryStore::new());
//!
//! let session = sessions.start();
//! session.insert("name", "Napoleon")?;
//! session.save().await?;
//!
//! let again = sessions.open(session.token().as_ref()).await?;
//! assert_eq!(again.get::<String>("name")?.as_deref(), Some("Napoleon"));
//! # Ok(()) }
//! ```
//!
//! For one process, for tests, and for development. Sessions are spread over shards, each under a
//! lock that is held for a few memory operations and never across an `await`. Time is the
//! process' monotonic clock (Tokio's, so that tests can pause it), to the microsecond.
//!
//! Expired sessions are invisible at once and freed a few at a time: each operation frees up to
//! four of its shard, and a task does the rest every second where a Tokio runtime is running. No
//! operation waits for a sort or a sweep of all sessions. The index of a shard is hashed again when
//! it is full: with a million sessions on two cores, one `create` for each shard takes 1.5 to 2.6 ms.
//!
//! # Memory
//! A session takes 130 to 150 bytes (55 more with an owner of its own), its credential (57 bytes
//! when new, at most 136 after renewals) and its data. Credential and data share one allocation if
//! the data has up to 512 bytes. More data is shared with the writer instead of copied, so a slice
//! of something larger keeps all of that in memory; such a session takes 48 bytes more.
//!
//! An id of over 22 bytes takes an allocation of its own; native ids have 16.
//!
//! The id, owner and age of an expired session are kept for
//! [`expiry_grace`](MemoryStoreBuilder::expiry_grace), for the reaper to report.
//!
//! A restart loses all sessions, unless [`MemoryStore::save_snapshot`] writes them to a file and
//! [`MemoryStoreBuilder::snapshot`] reads it back.
#![forbid(unsafe_code)]

mod builder;
mod content;
mod cursor;
mod deadlines;
mod directory;
mod entry;
mod index;
mod key;
mod owners;
mod private_file;
mod shard;
mod slab;
mod snapshot;
mod store;
mod unreported;

pub use builder::MemoryStoreBuilder;
pub use session_core::{
    self, Cursor, EndReason, Ended, Error, ErrorKind, Event, Flash, Lifetime, Limits, Observer,
    OnReuse, Owner, Page, Reaper, Result, Session, SessionDirectory, SessionId, SessionInfo,
    SessionStore, SessionToken, Sessions, SessionsBuilder, Timeout, Ttl,
};
pub use store::MemoryStore;
