//! Server-side sessions with a backend chosen by Cargo feature, and at run time by URL.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> session_store::Result<()> {
//! use session_store::Sessions;
//!
//! // or redis://…, mongodb://…, mysql://…
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
//! | `redis` | `redis://` `rediss://` `valkey://` `valkeys://` `unix:` | `session-redis` |
//! | `mongo` | `mongodb://` `mongodb+srv://` | `session-mongo` |
//! | `mysql` | `mysql://` `mariadb://` | `session-mysql` |
//!
//! The feature `tls` (default) encrypts connections to Redis and MySQL, with Mozilla's root
//! certificates, and `tls-native-roots` in its place with the system's. MongoDB's driver always has
//! TLS. `redis-cluster` adds stores on a driver's client of a Redis Cluster.
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
    self, Cursor, Description, EndReason, Ended, Error, ErrorKind, Event, Flash, Lifetime, Limits,
    LogObserver, Observer, OnReuse, Owner, Page, PresentedToken, Reaper, Refusal, Result,
    RetryStatus, Session, SessionDirectory, SessionEnd, SessionId, SessionInfo, SessionStore,
    SessionStream, SessionToken, Sessions, SessionsBuilder, Timeout, Ttl, Unreadable,
};

#[cfg(feature = "memory")]
pub use session_memory as memory;
#[cfg(feature = "mongo")]
pub use session_mongo as mongo;
#[cfg(feature = "mysql")]
pub use session_mysql as mysql;
#[cfg(feature = "redis")]
pub use session_redis as redis;

/// Compiles the example of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
