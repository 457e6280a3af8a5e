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
//! The store is meant for applications of one process, for tests, and for development. It spreads
//! sessions over shards. Each shard has a lock, which is held for a few memory operations and never
//! across an `await`. The store measures time with the monotonic clock of Tokio, which tests can
//! pause, to the microsecond. With the Cargo feature `testing`, `MemoryStore::advance` moves the clock
//! of one store.
//!
//! Expired sessions are invisible at once and freed a few at a time: each operation frees up to
//! four of its shard, and a background task frees the rest every second where a Tokio runtime is
//! running. No operation waits for a sweep of all sessions. A shard rehashes its index when the
//! index is full: with a million sessions on two cores, one `create` per shard takes 1.5 to 2.6 ms.
//!
//! # Memory
//! A session takes 130 to 150 bytes (55 more with an owner that has no other session), plus its
//! credential (57 bytes when new, at most 136 after renewals), its description and its data. Data of
//! up to 512 bytes shares one allocation with them. Larger data is shared with the writer instead of
//! copied and takes 64 bytes more; a slice of a larger buffer keeps the whole buffer in memory.
//!
//! An id of over 22 bytes takes an allocation of its own; native ids have 16 bytes.
//!
//! The store keeps the id, owner and age of an expired session for
//! [`expiry_grace`](MemoryStoreBuilder::expiry_grace), so that `reap` can report it.
//!
//! A restart loses all sessions, unless [`MemoryStore::save_snapshot`] writes them to a file and
//! [`MemoryStoreBuilder::snapshot`] reads it back.
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod builder;
mod content;
mod cursor;
mod deadlines;
mod directory;
mod entry;
mod index;
mod key;
mod notices;
mod owners;
mod private_file;
mod shard;
mod slab;
mod snapshot;
mod store;
#[cfg(feature = "testing")]
mod testing;
mod unreported;

pub use builder::MemoryStoreBuilder;
pub use session_core::{
    self, Cursor, Description, EndId, EndKind, EndReason, Ended, Error, ErrorKind, Event, Flash,
    Lifetime, Limits, Observer, OnReuse, Owner, Page, Reaper, Result, Session, SessionDirectory,
    SessionEnd, SessionId, SessionInfo, SessionStore, SessionToken, Sessions, SessionsBuilder,
    Timeout, Ttl,
};
pub use store::MemoryStore;

/// Compiles the example of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
