//! Sessions in Redis, Redis Cluster or Valkey.
//!
//! | product | the conformance suite runs on |
//! |---|---|
//! | Redis | 7.0; 6.2 is the oldest version that has the commands the scripts use, and is not tested |
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
//! | `prefix{id}` | one session: a header, the owner, the credential, the description, the data |
//! | `prefixowner:hash` | the index of one owner: a sorted set of session ids, by deadline; `hash` is the SHA-256 of the owner |
//!
//! The braces around the id are part of the key; they make the id the hash tag of Redis Cluster.
//! Characters of an id that are not URL-safe are percent-encoded.
//!
//! The header is 53 bytes. Numbers are big-endian, times and limits are in milliseconds:
//!
//! | bytes | content |
//! |---|---|
//! | 0 | version, 4 |
//! | 1–8 | when the session began, Unix time of the server |
//! | 9–16 | deadline, Unix time of the server, 0 for never; the key expires in the last millisecond before it |
//! | 17–32 | stamp |
//! | 33–34 | length of the owner |
//! | 35–42 | idle limit, 0 for none |
//! | 43–50 | absolute limit, 0 for none |
//! | 51 | length of the credential |
//! | 52 | length of the description |
//!
//! The client writes everything from the stamp on; the scripts prepend the version and the times.
//!
//! # Round trips
//!
//! | operation | one server | cluster |
//! |---|---|---|
//! | load | 1 | 1; 2 if the session never expires |
//! | create, save | 1 | 1; 2 if the session has an owner |
//! | touch | 1; 2 if the session has an owner and its deadline moves | 1; 3 |
//! | destroy | 1 | 1 |
//! | `owned_by`, a page | 1, and 1 for each id, up to 64 at a time | the same |
//! | `destroy_owned_by` | 1 for each 1,000 ids of the index, 1 for each 128 | 1 for each id, up to 64 at a time |
//!
//! A load also sends `TIME` if the last answer to it is older than 1 s. A destroy of a session with
//! an owner also removes the id from the owner index, without waiting for the answer.
//!
//! Each write is one script, so it is atomic, and takes the time from the server. Saves of one
//! batch that set the same limits share one call of the script. The compare-and-set of the server
//! itself (`SET … IFEQ` of Valkey 8.1 and Redis 8.4) can't replace the script: it compares the
//! whole old value, of which a save knows only the stamp, and can't write the server's time.
//!
//! # Repeats
//!
//! The driver opens a broken connection again, and the store repeats the commands that were sent on
//! it, up to three times for each cause within the [time limit](RedisStoreBuilder::timeout). It
//! also repeats a command that a server refuses because it is not the primary or not ready: on a
//! new connection, because the address may lead to another server by then.
//!
//! The stamp shows what the first attempt did. Where it no longer can, a save or create answers
//! [`Saved::Unknown`](session_core::Saved::Unknown), and a destroy that finds no session answers
//! [`Ended::unknown`]. A repeated create brings a session back if another process has ended it
//! between the two attempts; only an operation that ends all sessions of an owner or of the store
//! can do so.
//!
//! In a cluster the driver repeats commands itself and does not report it. A save whose first
//! attempt was executed, and replaced by another save since, answers
//! [`Saved::Conflict`](session_core::Saved::Conflict); a destroy whose first attempt was executed
//! answers `None`.
//!
//! # Expiry
//!
//! Redis removes expired sessions itself and reports none:
//! [`Capabilities::expiry_reports`](session_core::Capabilities::expiry_reports) is false.
//!
//! # Owner indexes
//!
//! An owner index may name too many sessions, never too few. An id is added before its session is
//! written and before a touch extends it, and stays until the session is destroyed or its deadline
//! has passed by an hour. A session that gets another owner stays in the old index too, so readers
//! of an index check the owner of each session. Each write to an index removes some of the entries
//! whose time has passed, and the index itself expires an hour after its last session. The store
//! does not use Redis' `expired` events, which may come late or never.
//!
//! On one server the index entry and the session are sent in one pipeline. If the server refuses
//! only the entry (the user may not run `ZADD`, or memory is short), the session is written without
//! it and the caller gets the error; the next save or touch adds the entry.
//!
//! Indexes are read by `ZSCAN`, which returns each id that is present throughout at least once;
//! ranks shift when entries are removed. A cursor of `ZSCAN` and `SCAN` belongs to the server that
//! began it: a listing that continues after a failover may miss sessions, so start it again.
//!
//! If the key of an index holds a value of another type, the store does not replace it, because a
//! new index would lack the existing sessions. Sessions of that owner are written without an index,
//! and `owned_by` and `destroy_owned_by` read all sessions of the store.
//!
//! # Notices
//!
//! A store publishes the sessions that it destroys and signs in anew, on the channel
//! `prefixended:database`: streams in [other processes](session_core::Session::ended) close then. It
//! listens only while a stream is open, on a connection of its own. The destroy script publishes by
//! itself, which costs no round trip; a sign-in sends one `PUBLISH` whose answer is not waited for.
//! [`RedisStoreBuilder::notices`] switches it off. A user who may not publish or listen to
//! that channel (`&session:*` in an ACL) is no error: streams close within the lease then, and a
//! warning says why. A `ClusterClient` needs RESP3 to listen. A store that is made of a
//! `ConnectionManager` or a `ClusterConnection` publishes and can't listen: its streams have the lease.
//!
//! # Connections
//!
//! A store uses one multiplexed connection, and another one for [notices](#notices) while a stream is
//! open. It replaces the connection if a call is given up and
//! nothing has arrived for half of the [time limit](RedisStoreBuilder::timeout), or if the server
//! is not the primary. The next call uses the new connection.
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod backend;
mod builder;
mod check;
mod client;
mod clock;
mod command;
mod connection;
mod connector;
mod directory;
mod error;
#[cfg(feature = "express")]
pub mod express;
mod keepalive;
mod keys;
mod notices;
mod owner_index;
mod record;
mod save_many;
mod scan;
mod script;
mod url;

pub use redis;
pub use session_core::{
    self, Cursor, Description, EndReason, Ended, Error, ErrorKind, Event, Flash, Lifetime, Limits,
    Observer, OnReuse, Owner, Page, Reaper, Result, Session, SessionDirectory, SessionEnd,
    SessionId, SessionInfo, SessionStore, SessionToken, Sessions, SessionsBuilder, Timeout, Ttl,
};

pub use backend::{RedisBackend, RedisStore};
pub use builder::RedisStoreBuilder;
pub use client::RedisClient;
pub use connection::Connection;

/// Compiles the example of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
