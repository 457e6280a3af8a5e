//! Sessions in MySQL (8.0 or later) or MariaDB (10.11 or later).
//!
//! The tests run on MySQL 9.7 and MariaDB 10.11.
//!
//! ```no_run
//! # async fn example() -> session_mysql::Result<()> {
//! use session_mysql::{MysqlStore, Sessions};
//!
//! let store = MysqlStore::connect("mysql://app@127.0.0.1/app").await?;
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
//! One row for each session, in one InnoDB table of the connection's database, by default
//! `session_store`:
//!
//! | column | content |
//! |---|---|
//! | `id` | the session's id, compared byte for byte; primary key, and never updated |
//! | `version` | the layout of the row: 3. Loading a row of another version fails with [`ErrorKind::Corrupt`] |
//! | `stamp` | 16 bytes, which name the write that made the row |
//! | `credential` | up to 192 bytes; empty for none |
//! | `description` | up to 255 bytes, or null |
//! | `data` | bytes, up to [`max_data`](MysqlStoreBuilder::max_data) |
//! | `owner` | bytes, or null; index |
//! | `born`, `deadline` | UTC to the microsecond, by the server's clock; `deadline` is null for never |
//! | `due` | the minute of the deadline; index. A save within the same minute leaves the index alone |
//! | `idle`, `absolute` | milliseconds, or null for no limit |
//! | `claimed` | UTC, until when a reaper reports the expired session, or null |
//!
//! [`schema`] returns the statement that creates the table, for programs with their own migrations.
//!
//! [`connect`](MysqlStoreBuilder::connect), [`migrate`](MysqlStore::migrate) and
//! [`clear`](SessionDirectory::clear) refuse a table that is not a store's (a view, or another
//! program's table): [`ErrorKind::Misconfigured`] names the difference. Additional columns that may
//! be null or have a default are accepted, and so are additional indexes that are not unique.
//!
//! # Round trips
//!
//! | operation | round trips |
//! |---|---|
//! | load | 1 |
//! | create | 1; 3 if the id is taken, by a live session or an expired one |
//! | save | 1; 2 if nothing was written, to find out why; 3 if there is no such session |
//! | touch | 2; 1 if there is no such session |
//! | destroy | 1 on MariaDB, by `DELETE … RETURNING`; 2 on MySQL, which has no `RETURNING`, or if there is no such session |
//! | `owned_by`, `list` | 1 a page |
//! | `reap` | 1 to find sessions, and a transaction of 5 for each 128 of them; 2 if there are none |
//! | `confirm_reaped` | 1 for each 128 sessions |
//! | `destroy_owned_by` | 6 for each 128 sessions, and 2 to find that there are no more |
//!
//! Operations of one kind that queue while others are in flight are sent as one batch: a statement
//! for up to 128 sessions, or for destroys a transaction of 5 round trips. No operation waits for
//! others to join its batch. The server computes every time (`UTC_TIMESTAMP(6)`), whatever its time
//! zone.
//!
//! On MySQL, a destroy reads owner and age just before it deletes the row: a save in between may
//! have changed them. The first destroy of a store on MySQL takes one more round trip, to find out
//! that the server has no `RETURNING`.
//!
//! # Repeats
//!
//! The store repeats a statement after a deadlock, a lock wait time-out, a lost connection, and an
//! answer of a server that is shutting down or read-only, with growing random pauses. Within the
//! [`timeout`](MysqlStoreBuilder::timeout) it repeats up to four times after temporary errors and
//! four times on new connections.
//!
//! After a lost connection the first attempt may have been executed. A repeated save or create then
//! answers [`Saved::Unknown`] instead of [`Saved::Conflict`], and a repeated destroy that finds no row
//! answers [`Ended::unknown`]. What a reap has claimed without an answer is reported a minute later.
//!
//! [`Saved::Unknown`]: session_core::Saved::Unknown
//! [`Saved::Conflict`]: session_core::Saved::Conflict
//!
//! # Expiry
//!
//! Expired rows stay until [`reap`](SessionDirectory::reap) removes them, so run a [`Reaper`]. A
//! reap reads the ids of some expired rows without a lock, locks those rows by primary key,
//! skipping rows that are locked, checks their deadlines again and claims them. They are deleted
//! when they were [reported](SessionDirectory::confirm_reaped). Requests and any number of reapers
//! never wait for each other.
//!
//! # Connections
//!
//! The store has its own pool of up to [`connections`](MysqlStoreBuilder::connections) connections.
//! It uses a connection for at most 30 minutes, and closes one that was idle for 30 s at the next
//! operation.
//!
//! * The store sets character set, time zone, `sql_mode` (strict), `autocommit` and more on each
//!   connection, so the server's settings and `init_connect` change nothing. A value that does not fit
//!   its column is an error, never truncated.
//! * If the server, or the user's account, allows fewer connections (errors 1040, 1203, 1226),
//!   operations wait in order for the existing ones. If it allows none, operations fail with
//!   [`ErrorKind::Unavailable`] after 0.8 of the [`timeout`](MysqlStoreBuilder::timeout).
//! * If an answer says that the server is read-only, shutting down, or not the one that prepared the
//!   statement (1290, 1792, 1836, 1053, 1047, 1243 and others), the store closes all connections. A
//!   demoted server still answers loads until a write finds out, for at most 30 minutes. Other
//!   operations that find no row send a `DELETE` that matches nothing on the same connection, which a
//!   demoted server refuses.
//! * After a call that times out, the store closes its connection and those that were not used since
//!   the call began. It does the same if callers give up earlier, the last of them half of the
//!   time limit after the first began, and no answer came in between.
//! * If `max_prepared_stmt_count` is reached (1461), the store prepares no statements for a minute,
//!   which costs one more round trip for each statement.
//!
//! # Logging in
//!
//! MySQL's `caching_sha2_password` sends a password over TLS (the default if the server has it) or
//! encrypted by RSA. This crate leaves RSA out, because the crate `rsa` has a known timing leak
//! (RUSTSEC-2023-0071). Use TLS, or an account without a password on a loopback socket.
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod builder;
mod check;
mod destroy;
mod dialect;
mod error;
#[cfg(feature = "express")]
pub mod express;
mod inspection;
mod record;
mod removal;
mod save_many;
mod schema;
mod statement;
mod table;
mod url;

pub use session_core::{
    self, Cursor, Description, EndId, EndKind, EndReason, Ended, Error, ErrorKind, Event, Flash,
    Lifetime, Limits, Observer, OnReuse, Owner, Page, Reaper, Result, Session, SessionDirectory,
    SessionEnd, SessionId, SessionInfo, SessionStore, SessionToken, Sessions, SessionsBuilder,
    Timeout, Ttl,
};
pub use sqlx;

pub use builder::MysqlStoreBuilder;
pub use dialect::Mysql;
pub use schema::schema;
pub use table::MysqlTable;

/// A store of sessions in one MySQL or MariaDB table. Clones share the connections.
///
/// [`connect`](session_core::backend::Store::connect) and
/// [`builder`](session_core::backend::Store::builder) set one up.
pub type MysqlStore = session_core::backend::Store<MysqlBackend>;

/// The backend of a [`MysqlStore`].
pub type MysqlBackend = session_sql::SqlBackend<MysqlTable>;

/// The client of a [`MysqlStore`]: a pool of connections. Clones share it.
pub type MysqlClient = session_sql::SqlClient<Mysql>;

/// Compiles the example of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
