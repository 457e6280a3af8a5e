//! Sessions in a SQLite file: durable without a server, for the processes of one machine.
//!
//! ```no_run
//! # async fn example() -> session_sqlite::Result<()> {
//! use session_sqlite::{Sessions, SqliteStore};
//!
//! let store = SqliteStore::connect("sqlite:sessions.db").await?;
//! let sessions = Sessions::new(store);
//!
//! let session = sessions.start();
//! session.insert("name", "Napoleon")?;
//! session.save().await?;
//! # Ok(()) }
//! ```
//!
//! `sqlite::memory:` is a database in the memory of the process, for tests of a program that uses a
//! file in production; it ends with its store.
//!
//! # What is stored
//!
//! One row for each session, in one `STRICT` table, by default `session_store`:
//!
//! | column | content |
//! |---|---|
//! | `id` | the session's id, compared byte for byte; primary key, and never updated |
//! | `version` | the layout of the row: 2. Loading a row of another version fails with [`ErrorKind::Corrupt`] |
//! | `stamp` | 16 bytes, which name the write that made the row |
//! | `credential` | up to 192 bytes; empty for none |
//! | `description` | up to 255 bytes, or null |
//! | `data` | bytes, up to [`max_data`](SqliteStoreBuilder::max_data) |
//! | `owner` | bytes, or null; index |
//! | `born`, `deadline` | milliseconds since 1970 (UTC), by the machine's clock; `deadline` is null for never |
//! | `due` | the minute of the deadline, computed; index |
//! | `idle`, `absolute` | milliseconds, or null for no limit |
//! | `claimed` | milliseconds since 1970, until when a reaper reports the expired session, or null |
//!
//! [`schema`] returns the statements that create the table, for programs with their own migrations.
//!
//! [`connect`](SqliteStoreBuilder::connect), [`migrate`](SqliteStore::migrate) and
//! [`clear`](SessionDirectory::clear) refuse a table that is not a store's (a view, or another
//! program's table): [`ErrorKind::Misconfigured`] names the difference. The file may hold other
//! tables. Additional columns that may be null or have a default are accepted, and so are additional
//! indexes that are not unique.
//!
//! # Statements
//!
//! Each operation is one statement, which is a transaction by itself; a save or create that changed
//! nothing is followed by a second one, which finds out why. `reap` and `destroy_owned_by` are one
//! to find sessions and one for each 128 of them, `confirm_reaped` is one for each 128.
//!
//! Operations of one kind that queue while others are in flight are sent as one batch: a statement
//! for up to 128 sessions, and one commit, which waits for the disk once. No operation waits for
//! others to join its batch. SQLite computes every time, by one clock: the machine's
//! (`unixepoch('subsec')`, to the millisecond). If that clock is set forward, sessions expire
//! earlier; if it is set back, later.
//!
//! # Connections
//!
//! One connection writes, and up to [`readers`](SqliteStoreBuilder::readers) others read at the same
//! time, each on a thread of its own (the driver's). The store uses a connection for at most 30
//! minutes.
//!
//! # Durability
//!
//! The file is in write-ahead-log mode. By default a write is on the disk when the store reports it;
//! [`Durability::Normal`] trades the last writes before a power failure for speed. A program that
//! is killed loses nothing that was reported, and leaves a consistent file.
//!
//! # Several processes
//!
//! Processes of one machine may use one file at the same time, and none loses another's update. While
//! one writes, the others wait: each statement for up to 0.8 of the
//! [`timeout`](SqliteStoreBuilder::timeout). Then the operation fails with [`ErrorKind::Timeout`]; if
//! the message names `SQLITE_BUSY`, it was not executed. After any other time-out it may have been.
//! SQLite keeps no order among processes that wait. A network file system can't hold the file: its
//! locks and shared memory do not work as SQLite needs.
//!
//! SQLite before 3.51.3 can, very rarely, destroy a file in this mode if several processes write it
//! ([the report](https://www.sqlite.org/wal.html#walresetbug)); one process with one store can't
//! meet that, because only one of its connections writes. `cargo update` chooses a version with the
//! fix (`libsqlite3-sys` 0.37), which the store is tested with, unless another dependency holds an
//! older one: a program has one SQLite. `cargo tree -i libsqlite3-sys` shows which.
//!
//! # What happens to the file
//!
//! * **Deleted, moved or replaced** while it is open (not on Windows, which forbids that). Stop the
//!   programs first, and delete or replace the file together with those that end with `-wal` and
//!   `-shm`: SQLite reads a log that it finds as a part of the file. In a program that runs, the next
//!   operation notices: it compares the three files at the path with those that it opened, closes all
//!   connections and opens the path anew. A write that has begun before may be lost. If there is no
//!   file, the store creates it with an empty table, unless
//!   [`migrate`](SqliteStoreBuilder::migrate) is off: then operations fail until it is there again.
//!   The store does not create a file beside a `-wal` or `-shm` that is left, and does not open one
//!   whose `-wal` or `-shm` alone was deleted while a program has it open:
//!   [`ErrorKind::Unavailable`], until that program closes it.
//! * **Read-only**, or in a directory that is: writes fail with [`ErrorKind::Unavailable`], until it
//!   is writable. Loads go on by the connections that are open; a new connection may fail too.
//! * **The disk fails**: operations fail with [`ErrorKind::Unavailable`]. A write may have been
//!   executed.
//! * **No space left**: writes fail with [`ErrorKind::Unavailable`], and nothing is written.
//! * **Not a database, or damaged**: operations fail with [`ErrorKind::Misconfigured`].
//!
//! Each message names the file and the result code.
//!
//! # Space
//!
//! Expired rows stay until [`reap`](SessionDirectory::reap) removes them, so run a [`Reaper`].
//! Removed rows leave free pages, which later sessions use, so the file stays as large as it was at
//! its peak. The store does not set `auto_vacuum`, which would move pages at each removal to return
//! space that the next sessions need again. To shrink the file after a peak, run
//! `sqlite3 sessions.db VACUUM`, which holds up writes while it copies.
//!
//! Back up a file that is in use by `sqlite3 sessions.db ".backup copy.db"`: a plain copy may miss
//! what is in the write-ahead log.
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod backend;
mod builder;
mod check;
mod dialect;
mod durability;
mod error;
mod file;
mod inspection;
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

pub use backend::{SqliteBackend, SqliteClient, SqliteStore};
pub use builder::SqliteStoreBuilder;
pub use dialect::Sqlite;
pub use durability::Durability;
pub use schema::schema;
pub use table::SqliteTable;

/// Compiles the example of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
