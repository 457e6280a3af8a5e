//! Sessions in PostgreSQL (13 to 18).
//!
//! The tests run on PostgreSQL 15 and 18.
//!
//! ```no_run
//! # async fn example() -> session_postgres::Result<()> {
//! use session_postgres::{PostgresStore, Sessions};
//!
//! let store = PostgresStore::connect("postgres://app@127.0.0.1/app").await?;
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
//! One row for each session, in one table, by default `session_store`:
//!
//! | column | content |
//! |---|---|
//! | `id` | the session's id, as bytes; primary key, and never updated |
//! | `version` | the layout of the row: 2. Loading a row of another version fails with [`ErrorKind::Corrupt`] |
//! | `stamp` | 16 bytes, which name the write that made the row |
//! | `credential` | up to 192 bytes; empty for none |
//! | `description` | up to 255 bytes, or null |
//! | `data` | bytes, up to [`max_data`](PostgresStoreBuilder::max_data) |
//! | `owner` | bytes, or null; index |
//! | `born`, `deadline` | to the microsecond, by the server's clock; `deadline` is null for never |
//! | `due` | the deadline in units of ten minutes; index. A save that leaves it as it is leaves the index alone |
//! | `idle`, `absolute` | milliseconds, or null for no limit |
//! | `claimed` | until when a reaper reports the expired session, or null |
//!
//! [`schema()`] and [`PostgresStoreBuilder::create_table`] return the statements that create the table,
//! for programs with their own migrations. [`PostgresStoreBuilder::unlogged`] says what an `UNLOGGED`
//! table is.
//!
//! [`connect`](PostgresStoreBuilder::connect), [`migrate`](PostgresStore::migrate) and
//! [`clear`](SessionDirectory::clear) refuse a table that is not a store's (a view, another program's
//! table, one whose rows row-level security hides): [`ErrorKind::Misconfigured`] names the difference.
//! Additional columns that may be null or have a default are accepted, and so are additional indexes
//! that are not unique, and a table that is partitioned by `id`. Any number of programs may migrate at
//! the same time.
//!
//! # Round trips
//!
//! | operation | round trips |
//! |---|---|
//! | load | 1 |
//! | create | 1; 2 if the id is taken by a live session |
//! | save | 1; 2 if nothing was written, to find out why; 3 if there is no such session |
//! | touch | 1 |
//! | destroy | 1 |
//! | `owned_by`, `list` | 1 a page |
//! | `reap` | 1 to find sessions, and 1 for each 128 of them; 2 if there are none |
//! | `confirm_reaped` | 1 for each 128 sessions |
//! | `destroy_owned_by` | 2 for each 128 sessions, and 2 to find that there are no more |
//!
//! Operations of one kind that queue while others are in flight are sent as one batch: a statement
//! for up to 128 sessions, whose binds are arrays. No operation waits for others to join its batch.
//! The server computes every time (`clock_timestamp()`, the time of the moment and not of the
//! transaction), whatever its time zone.
//!
//! # Repeats
//!
//! The store repeats a statement after a deadlock (`40P01`), a serialization failure (`40001`), a lock
//! time-out (`55P03`), a lost connection, and an answer of a server that is shutting down or
//! read-only, with growing random pauses. Within the [`timeout`](PostgresStoreBuilder::timeout) it
//! repeats up to four times after temporary errors and four times on new connections.
//!
//! After a lost connection the first attempt may have been executed. A repeated save or create then
//! answers [`Saved::Unknown`] instead of [`Saved::Conflict`], and a repeated destroy or reap that
//! finds no row answers [`Ended::unknown`].
//!
//! [`Saved::Unknown`]: session_core::Saved::Unknown
//! [`Saved::Conflict`]: session_core::Saved::Conflict
//!
//! # Expiry
//!
//! Expired rows stay until [`reap`](SessionDirectory::reap) removes them, so run a [`Reaper`]. A
//! reap reads the ids of some expired rows without a lock; one statement then locks those rows,
//! skipping rows that are locked, checks their deadlines again and deletes them. Requests and any
//! number of reapers never wait for each other.
//!
//! The table asks autovacuum to remove old versions of rows after changes of 2 % of the rows. A save
//! or touch that leaves `due` as it is changes no column with an index, so it can be a HOT update,
//! whose old version any later access to the page removes.
//!
//! # Notices
//!
//! A store announces the sessions that it destroys and signs in anew, by `NOTIFY` in the same
//! statement, on the channel `session_store_` and the number of the table: streams in
//! [other processes](session_core::Session::ended) close then. It listens only while a stream is open,
//! on a connection of its own.
//!
//! The server commits transactions that announce something one after the other, so they do not share a
//! write to the disk: single destroys by 16 connections come to 450 a second on a disk that takes
//! 2.5 ms for one, without announcements to 4,400. Destroys and sign-ins that queue meanwhile go out as
//! one batch, which is one transaction; other operations do not wait. All databases of a server take
//! part in that order. A batch of saves of which one signs in is such a transaction.
//! [`PostgresStoreBuilder::notices`] switches both off.
//!
//! Any role of the database can send and hear messages on the channel. A message only makes the store
//! ask for the session that it names. If the server's queue of messages is nine tenths full, because
//! some connection that listens stays in a transaction, the store announces nothing.
//!
//! # Connections
//!
//! The store has its own pool of up to [`connections`](PostgresStoreBuilder::connections) connections.
//! It uses a connection for at most 30 minutes, and closes one that was idle for 30 s at the next
//! operation.
//!
//! * If the server, the database or the user's role allows fewer connections (`53300`), operations
//!   wait in order for the existing ones. If it allows none, operations fail with
//!   [`ErrorKind::Unavailable`] after 0.8 of the [`timeout`](PostgresStoreBuilder::timeout).
//! * If an answer says that the server is read-only, shutting down, or not the one that prepared the
//!   statement (`25006`, `57P01`, `57P03`, `26000` and others), the store closes all connections. A
//!   demoted server still answers loads until a write finds out, for at most 30 minutes. Other
//!   operations that find no row send a `DELETE` that matches nothing on the same connection, which a
//!   demoted server refuses.
//! * After a call that times out, the store closes its connection and those that were not used since
//!   the call began. It does the same if callers give up earlier, the last of them half of the
//!   time limit after the first began, and no answer came in between.
//! * Behind PgBouncer in transaction mode, see
//!   [`named_statements`](PostgresStoreBuilder::named_statements). No statement depends on an earlier
//!   one of its connection, and none changes a setting.
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod builder;
mod check;
mod dialect;
mod error;
#[cfg(feature = "express")]
pub mod express;
mod inspection;
mod notices;
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

pub use builder::PostgresStoreBuilder;
pub use dialect::Postgres;
pub use schema::schema;
pub use table::PostgresTable;

/// The backend of a store in PostgreSQL.
pub type PostgresBackend = session_sql::SqlBackend<PostgresTable>;
/// A store in PostgreSQL.
pub type PostgresStore = session_core::backend::Store<PostgresBackend>;

/// Compiles the example of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
