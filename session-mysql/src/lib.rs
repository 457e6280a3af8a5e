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
//! One row a session, in one InnoDB table of the database that the connection uses, by default
//! `session_store`:
//!
//! | column | what |
//! |---|---|
//! | `id` | the session's id, compared byte for byte; primary key, and never updated |
//! | `version` | the layout of the row: 1. A row of another version is [`ErrorKind::Corrupt`] to whoever loads it |
//! | `stamp` | 16 bytes, which name the write that made the row |
//! | `credential` | up to 192 bytes; empty for none |
//! | `data` | bytes, up to [`max_data`](MysqlStoreBuilder::max_data) |
//! | `owner` | bytes, or null; index |
//! | `born`, `deadline` | UTC to the microsecond, by the server's clock; `deadline` is null for never |
//! | `due` | the minute of the deadline; index. A save within the same minute leaves the index alone |
//! | `idle`, `absolute` | milliseconds, or null for never |
//!
//! [`schema`] gives the statement that creates it, for programs that run their own migrations.
//!
//! A table of this name that is not one of a store's (a view, or a table of another program) is
//! refused by [`connect`](MysqlStoreBuilder::connect), [`migrate`](MysqlStore::migrate) and
//! [`clear`](SessionDirectory::clear): [`ErrorKind::Misconfigured`] names what differs. Columns that may
//! be null or have a default, and more indexes that are not unique, do no harm and are accepted.
//!
//! # Round trips
//!
//! | operation | round trips |
//! |---|---|
//! | load | 1 |
//! | create | 1; 3 if the id is taken, by a live session or an expired one |
//! | save | 1; 2 if nothing was written, to say why; 3 if there is no such session |
//! | touch | 2; 1 if there is no such session |
//! | destroy | 1 on MariaDB, by `DELETE … RETURNING`; 2 on MySQL, which can't return what it deletes, or if there is no such session |
//! | `owned_by`, `list` | 1 a page |
//! | `reap` | 1 to find sessions, and a transaction of 5 for each 128 of them; 2 if there are none |
//! | `destroy_owned_by` | 6 for each 128 sessions, and 2 to find that there are no more |
//!
//! When there are many callers, operations of one kind that queue while others are in flight are
//! sent as one statement of up to 128 sessions, or for destroys one transaction of 5 round trips;
//! no operation waits for others to join it. The server computes every time
//! (`UTC_TIMESTAMP(6)`), whatever the time zone of its sessions.
//!
//! On MySQL the owner and age that a destroy answers are read just before the row is deleted: a
//! save in between may have changed them. The first destroy of a store there sends the MariaDB
//! statement, which MySQL refuses to prepare, and so takes one round trip more.
//!
//! # Repeats
//!
//! The store repeats a statement after a deadlock, a lock wait that timed out, a lost connection,
//! and an answer of a server that stops or is read-only, with growing random pauses: within the
//! [`timeout`](MysqlStoreBuilder::timeout), up to four times for what passes by itself and four
//! times on new connections. After a lost connection the first sending may have been done. A repeated save or create then answers [`Saved::Unknown`]
//! where it would answer [`Saved::Conflict`], and a repeated destroy or reap that finds no row
//! answers [`Ended::unknown`].
//!
//! [`Saved::Unknown`]: session_core::Saved::Unknown
//! [`Saved::Conflict`]: session_core::Saved::Conflict
//!
//! # Who removes expired rows
//!
//! [`reap`](SessionDirectory::reap), so run a [`Reaper`]. It reads the ids of some expired rows
//! without a lock, then locks those rows by primary key, passing over what others hold, checks
//! the deadlines again and deletes. Traffic and any number of reapers don't wait for each other.
//!
//! # Connections
//!
//! The store makes its connections itself, up to
//! [`connections`](MysqlStoreBuilder::connections), and keeps each for up to 30 minutes while there
//! is traffic. One that was idle for 30 s is closed by the next operation.
//!
//! * Character set, time zone, `sql_mode` (strict), `autocommit` and the like are set on each
//!   connection, so the server's own settings and `init_connect` change nothing, and a value that
//!   does not fit its column is an error and never cut off.
//! * Where the server, or the user's account, allows fewer connections (errors 1040, 1203, 1226),
//!   operations wait for those there are, in their turn. If it gives none at all, the answer is
//!   [`ErrorKind::Unavailable`] after four fifths of the [`timeout`](MysqlStoreBuilder::timeout).
//! * After an answer that says that the server is read-only, stops, or is not the one that the
//!   statement was prepared on (1290, 1792, 1836, 1053, 1047, 1243 and others), no connection is
//!   used again that was made before it. A load on a server that was demoted is answered by it
//!   until a write finds out, or 30 minutes have passed. Other operations that find no row send a
//!   `DELETE` that matches nothing on the same connection: a server that was demoted refuses it.
//! * After a call without an answer in time, its connection is closed, and so are those that were
//!   not used since it began. So too if callers give up earlier, the last of them half of the time
//!   after the first began, and none was answered in between.
//! * Where `max_prepared_stmt_count` leaves no room (1461), statements are not kept prepared for a
//!   minute, which costs one round trip for each.
//!
//! # Logging in
//!
//! MySQL's `caching_sha2_password` sends a password only over TLS (the default where the server
//! has it) or encrypted by RSA. The latter is left out, for the crate it takes has a known timing
//! leak (RUSTSEC-2023-0071): use TLS, or an account without a password on a loopback socket.
#![forbid(unsafe_code)]

mod backend;
mod bind;
mod builder;
mod command;
mod connector;
mod destroy;
mod directory;
mod error;
#[cfg(feature = "express")]
pub mod express;
mod location;
mod pool;
mod removal;
mod row;
mod save_many;
mod schema;
mod statement;
#[cfg_attr(
    not(feature = "express"),
    allow(dead_code, reason = "what the layout of Express asks of a table")
)]
mod table;

pub use backend::{MysqlBackend, MysqlStore};
pub use builder::MysqlStoreBuilder;
pub use connector::MysqlClient;
pub use schema::schema;
pub use session_core::{
    self, Cursor, EndReason, Ended, Error, ErrorKind, Event, Flash, Lifetime, Limits, Observer,
    OnReuse, Owner, Page, Reaper, Result, Session, SessionDirectory, SessionId, SessionInfo,
    SessionStore, SessionToken, Sessions, SessionsBuilder, Timeout, Ttl,
};
pub use sqlx;
