//! Sessions in the memory of one process.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> session_memory::Result<()> {
//! use std::sync::Arc;
//! use session_memory::{MemoryStore, Sessions};
//!
//! let sessions = Sessions::new(Arc::new(MemoryStore::new()));
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
//! four of its shard, and a task does the rest every second where a Tokio runtime is running.
//! However many sessions there are, no operation waits for a rehash, a sort or a sweep of them.
//!
//! A session takes 168 bytes (with an id of up to 47 bytes) and its data. Up to 512 bytes of data
//! are copied; more is shared with whoever saved it, so a slice of something larger keeps all of
//! that.
//!
//! What a reaper is to report, an id, an owner and an age, is kept for
//! [`expiry_grace`](MemoryStoreBuilder::expiry_grace).
//!
//! A restart loses all sessions, unless [`MemoryStore::save_snapshot`] writes them to a file and
//! [`MemoryStoreBuilder::snapshot`] reads it back.
#![forbid(unsafe_code)]

mod builder;
mod directory;
mod entry;
mod key;
mod list;
mod owners;
mod shard;
mod slab;
mod snapshot;
mod store;
mod table;
mod wheel;

pub use builder::MemoryStoreBuilder;
pub use session_core;
pub use session_core::*;
pub use store::MemoryStore;
