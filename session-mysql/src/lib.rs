//! Sessions in MySQL (8.0 or later) or MariaDB (10.6 or later).
//!
//! ```no_run
//! # async fn example() -> session_mysql::Result<()> {
//! use std::sync::Arc;
//! use session_mysql::{MysqlStore, Sessions};
//!
//! let store = MysqlStore::connect("mysql://app@127.0.0.1/app").await?;
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
//! One row a session, in one InnoDB table of the database that the connection uses:
//!
//! | column | what |
//! |---|---|
//! | `id` | the session's id, compared byte for byte; primary key |
//! | `stamp`, `data` | bytes, up to [`max_data`](MysqlStoreBuilder::max_data) |
//! | `owner` | bytes, or null; index |
//! | `born`, `deadline` | UTC to the microsecond, by the server's clock; `deadline` is null for never |
//! | `due` | the minute of the deadline; index. A save within the same minute leaves the index alone |
//! | `idle`, `absolute` | milliseconds, or null for never |
//!
//! [`schema`] gives the statement that creates it, for those who run their own migrations.
//!
//! # Round trips
//!
//! One for load, create, save, rename and destroy, two for touch; one more where a save, rename or
//! create finds that it can't be done, to say why. Once callers are many, those of a kind that
//! wait go out together, in one statement of up to 128 sessions; nobody waits for company
//! ([`batch`]). Every time is computed by the server
//! (`UTC_TIMESTAMP(6)`), whatever time zone its sessions have.
//!
//! A deadlock, a lock that takes too long and a connection that has broken are tried again, a few
//! times, with growing random pauses: all our writes may be repeated.
//!
//! # Who removes expired rows
//!
//! [`reap`](SessionDirectory::reap), so run a [`Reaper`]. It reads the ids of some expired rows
//! without a lock, then locks those rows by primary key, passing over what others hold, checks
//! the deadlines again and deletes. Traffic and any number of reapers don't wait for each other.
//!
//! # Connections
//!
//! The store keeps some of the pool's connections at hand while there is traffic, for a pool of
//! sqlx pings each one that comes back to it. Those that lie idle for 30 s go back.
//!
//! # Logging in
//!
//! MySQL's `caching_sha2_password` sends a password only over TLS (the default where the server
//! has it) or encrypted by RSA. The latter is left out, for the crate it takes has a known timing
//! leak (RUSTSEC-2023-0071): use TLS, or an account without a password on a loopback socket.
#![forbid(unsafe_code)]

mod bind;
mod builder;
mod carrier;
mod command;
mod connection;
mod directory;
mod error;
#[cfg(feature = "express")]
pub mod express;
mod row;
mod schema;
mod store;

pub use builder::MysqlStoreBuilder;
pub use schema::schema;
pub use session_core;
pub use session_core::*;
pub use sqlx;
pub use store::MysqlStore;
