//! Server-side sessions with a backend chosen by Cargo feature, and at run time by URL.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> session_store::Result<()> {
//! use session_store::Sessions;
//!
//! // or sqlite:sessions.db, postgres://…, mysql://…, mongodb://…, redis://…
//! let sessions = Sessions::new(session_store::connect("memory:").await?);
//!
//! let session = sessions.start();
//! session.insert("name", "Napoleon")?;
//! session.save().await?;
//!
//! let again = sessions.open(session.token().as_ref()).await?;
//! assert_eq!(again.get::<String>("name")?.as_deref(), Some("Napoleon"));
//!
//! again.sign_in("user-1769").await?;             // an owner and a new token, in one write
//! assert_ne!(again.token(), session.token());    // the old one opens nothing any more
//! assert_eq!(again.id(), session.id());          // the id stays: it may be listed and logged
//! # Ok(()) }
//! ```
//!
//! | feature | URLs | store |
//! |---|---|---|
//! | `memory` (default) | `memory:` | [`session-memory`](https://docs.rs/session-memory) |
//! | `redis` | `redis://` `rediss://` `valkey://` `valkeys://` `redis+sentinel://` `unix:` | `session-redis` |
//! | `mongo` | `mongodb://` `mongodb+srv://` | `session-mongo` |
//! | `mysql` | `mysql://` `mariadb://` | `session-mysql` |
//! | `postgres` | `postgres://` `postgresql://` | `session-postgres` |
//! | `sqlite` | `sqlite:` | `session-sqlite` |
//!
//! The feature `tls` (default) encrypts connections to Redis, MySQL and PostgreSQL, with Mozilla's
//! root certificates, and `tls-native-roots` in its place with the system's. MongoDB's driver always has
//! TLS. `cached` adds a module of that name: local copies of sessions, in front of any store.
//!
//! `sessionctl` builds the program of that name, which looks into a store and moves it.
//!
//! See [`connect`] for the options a URL takes, [`Schemes`] for URLs of stores of your own, and
//! [`session_core`] for the words used here.
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod backends;
mod connect;
mod location;
mod schemes;

pub use connect::connect;
pub use location::Location;
pub use schemes::Schemes;
pub use session_core::{
    self, Cursor, Description, EndId, EndKind, EndReason, Ended, Error, ErrorKind, Event, Finding,
    Flash, Inspect, Inspection, Lifetime, Limits, LogObserver, Observer, OnReuse, Owner, Page,
    PresentedToken, Reaper, Refusal, Result, RetryStatus, Session, SessionDirectory, SessionEnd,
    SessionId, SessionInfo, SessionStore, SessionStream, SessionToken, Sessions, SessionsBuilder,
    Severity, Timeout, Ttl, Unreadable,
};

#[cfg(feature = "cached")]
pub use session_cached as cached;
#[cfg(feature = "memory")]
pub use session_memory as memory;
#[cfg(feature = "mongo")]
pub use session_mongo as mongo;
#[cfg(feature = "mysql")]
pub use session_mysql as mysql;
#[cfg(feature = "postgres")]
pub use session_postgres as postgres;
#[cfg(feature = "redis")]
pub use session_redis as redis;
#[cfg(feature = "sqlite")]
pub use session_sqlite as sqlite;

/// Compiles the example of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
