//! Sessions in Redis, Redis Cluster or Valkey.
//!
//! | product | what the conformance suite runs on |
//! |---|---|
//! | Redis | 7.0; 6.2 is the oldest that has what the scripts need, and not tested |
//! | Redis Cluster | 7.0, three nodes |
//! | Valkey | 9.1 |
//!
//! ```no_run
//! # async fn example() -> session_redis::Result<()> {
//! use session_redis::{RedisStore, Sessions};
//!
//! let store = RedisStore::connect("redis://127.0.0.1/").await?;
//! let sessions = Sessions::new(store);
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
//! | `prefix{id}` | one session: a header, the owner, the credential, the data |
//! | `prefixowner:hash` | a sorted set of the ids that may be sessions of one owner, by deadline; `hash` is the SHA-256 of the owner |
//!
//! The braces around the id are in the key; they make the id the hash tag of Redis Cluster. Characters
//! of an id that are not URL-safe are percent-encoded.
//!
//! The header is 52 bytes, numbers are big-endian, times are in milliseconds:
//!
//! | bytes | what |
//! |---|---|
//! | 0 | version, 3 |
//! | 1–8 | when the session began, Unix time of the server |
//! | 9–16 | deadline, Unix time of the server, 0 for never; the key goes in its last millisecond |
//! | 17–32 | stamp |
//! | 33–34 | length of the owner |
//! | 35–42 | idle limit, 0 for never |
//! | 43–50 | absolute limit, 0 for never |
//! | 51 | length of the credential |
//!
//! The client writes what is from the stamp on; the scripts put in front of it what only the server
//! knows.
//!
//! # Round trips
//!
//! | operation | one server | cluster |
//! |---|---|---|
//! | load | 1 | 1; 2 if the session never expires |
//! | create, save | 1 | 1; 2 if the session has an owner |
//! | touch | 1; 2 if the session has an owner and its deadline moves | 1; 3 |
//! | destroy | 1 | 1 |
//! | `owned_by`, a page | 1, and 1 for each id, 64 at a time | the same |
//! | `destroy_owned_by` | 1 for each 1,000 ids of the index, 1 for each 128 | 1 for each id, 64 at a time |
//!
//! A load asks for the server's time only if none has for a second, for that is a second command. A
//! destroy of a session with an owner also sends the removal from the owner's index, and does not
//! wait for it.
//!
//! Each write is one script, so it is atomic, and takes the time from the server. Saves that are
//! sent together and have the same limits share a call of it. The servers' own compare-and-set
//! (`SET … IFEQ` of Valkey 8.1 and Redis 8.4) is no help: it compares the whole old value, which a
//! save that names a stamp does not have, and could not write the server's time.
//!
//! # Lost connections
//!
//! A connection that breaks comes back by itself, and what was sent over it is sent again, within
//! the time that the operation has. So is what a server refuses that is no primary (any more), or that
//! is not ready, and over a new connection, for its address may lead to another server by now. A
//! connection over which nothing has come for half the [time limit](RedisStoreBuilder::timeout) when
//! a call is given up is replaced too: the next call goes over another.
//! What the first sending did is told by the stamp; where it can't
//! be told any more, a save or create answers [`Saved::Unknown`](session_core::Saved::Unknown), and a destroy that finds nothing
//! [`Ended::unknown`]. A create that is repeated brings a session back if another process has ended
//! it in between, which only one that ends all of an owner or all of a store could.
//!
//! In a cluster the driver itself repeats what was lost, and does not say so: a save whose first
//! sending was done and has been replaced since then answers [`Saved::Conflict`](session_core::Saved::Conflict), and a destroy whose
//! first sending was done `None`.
//!
//! # Owners without events
//!
//! An owner's index may name too much, and never too little. An id is added before its session is
//! written and before a touch prolongs it, and stays until the session is destroyed or its time has
//! passed by an hour. A session that gets another owner stays in the old index too: whoever reads an
//! index checks the owner of each session. Entries whose time has passed go at the next write to
//! the index, and the index itself expires an hour after its last session. Redis' `expired` events,
//! which come late or never, are not needed.
//!
//! On one server both commands are sent in one go. If the server refuses the first only (it may not
//! run `ZADD`, say, or is out of memory for a moment), the session is written without its entry and
//! the caller gets the error; the next save or touch makes up for it.
//!
//! An index is read by `ZSCAN`, which gives each id that is there throughout at least once. By rank
//! it would not, for where one goes the ranks of others change. Like `SCAN`, it counts on the server
//! that began it: after a failover a listing may miss sessions, so begin it anew.
//!
//! An index whose key holds something else is left as it is, since another in its place would lack
//! the sessions that are there already. Nobody is locked out: sessions are written without it, and
//! whoever would read it reads all sessions.
//!
//! Redis removes expired sessions by itself and reports none:
//! [`Capabilities::expiry_reports`](session_core::Capabilities::expiry_reports) is false.
#![forbid(unsafe_code)]

mod backend;
mod builder;
mod clock;
mod command;
mod connection;
mod connector;
mod directory;
mod envelope;
mod error;
#[cfg(feature = "express")]
pub mod express;
mod keys;
mod owner_index;
mod probe;
mod scan;
mod script;
mod socket;
mod url;

pub use redis;
pub use session_core::{
    self, Cursor, EndReason, Ended, Error, ErrorKind, Event, Flash, Lifetime, Limits, Observer,
    OnReuse, Owner, Page, Reaper, Result, Session, SessionDirectory, SessionId, SessionInfo,
    SessionStore, SessionToken, Sessions, SessionsBuilder, Timeout, Ttl,
};

pub use backend::{RedisBackend, RedisStore};
pub use builder::RedisStoreBuilder;
pub use connection::Connection;
pub use connector::RedisClient;
