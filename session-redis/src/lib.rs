//! Sessions in Redis, Redis Cluster or Valkey (6.2 or later).
//!
//! ```no_run
//! # async fn example() -> session_redis::Result<()> {
//! use std::sync::Arc;
//! use session_redis::{RedisStore, Sessions};
//!
//! let store = RedisStore::connect("redis://127.0.0.1/").await?;
//! let sessions = Sessions::new(Arc::new(store));
//!
//! let session = sessions.start();
//! session.insert("name", "Napoleon")?;
//! session.save().await?;
//! # Ok(()) }
//! ```
//!
//! # What is stored
//!
//! | key | value |
//! |---|---|
//! | `{prefix}{tag}rest` | one session: a header, the owner, the data; the braces around the tag are there literally and make it the hash tag of Redis Cluster |
//! | `{prefix}owner:hash` | a sorted set of the ids of one owner's sessions, by deadline; `hash` is the SHA-256 of the owner |
//!
//! The header is 51 bytes, numbers are big-endian, times are in milliseconds:
//!
//! | bytes | what |
//! |---|---|
//! | 0 | version, 2 |
//! | 1–8 | when the session began, Unix time of the server |
//! | 9–16 | deadline, Unix time of the server, 0 for never; the key goes in its last millisecond |
//! | 17–32 | stamp |
//! | 33–34 | length of the owner |
//! | 35–42 | idle limit, 0 for never |
//! | 43–50 | absolute limit, 0 for never |
//!
//! The owner follows, then the data. What the client knows is from the stamp on; the scripts put
//! in front of it what only the server does.
//!
//! # Round trips
//!
//! One for each of load, create, save, rename and destroy. A touch takes a second one if the
//! session has an owner, and so does destroying one. In a cluster, where the owner's index is on
//! another node, so do create, save and rename of a session with an owner. Loading a session that
//! never expires takes a second one for its age.
//!
//! A load asks for the server's time only if none has for a second, for that is a second command.
//!
//! Each write is one script, so it is atomic, and takes the time from the server. Saves that go
//! together and have the same limits share a call of it. The servers' own compare-and-set
//! (`SET … IFEQ` of Valkey 8.1 and Redis 8.4) is no help: it compares the whole old value, which a
//! save that names a stamp does not have, and could not write the server's time.
//!
//! # Owners without events
//!
//! The owner's index is a hint that heals itself. An id is added before its session is written
//! and moved along with every save and touch; whoever reads the index checks each session. Entries
//! of dead sessions are dropped at the next write to the index once their deadline has passed, and
//! the index itself has an expiry that covers its last session. Redis' `expired` events, which
//! come late or never, are not needed.
//!
//! Redis removes expired sessions by itself and reports none:
//! [`Capabilities::expiry_reports`] is false.
#![forbid(unsafe_code)]

mod builder;
mod carrier;
mod clock;
mod command;
mod connection;
mod directory;
mod envelope;
mod error;
#[cfg(feature = "express")]
pub mod express;
mod keys;
mod link;
mod script;
mod store;

pub use builder::RedisStoreBuilder;
pub use connection::Connection;
pub use redis;
pub use session_core;
pub use session_core::*;
pub use store::RedisStore;
