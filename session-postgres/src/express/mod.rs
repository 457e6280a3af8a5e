//! Sessions in the layout of connect-pg-simple, shared with an Express app.
//!
//! ```no_run
//! # async fn example() -> session_postgres::Result<()> {
//! use session_postgres::express::{Express, ExpressStore};
//!
//! // session({ secret: 'keyboard cat', store: new PgStore({ pool, tableName: 'visits' }) })
//! let express = Express::new("keyboard cat");
//! let store = ExpressStore::builder(express)
//!     .table("visits")
//!     .connect("postgres://app@127.0.0.1/app")
//!     .await?;
//! # Ok(()) }
//! ```
//!
//! One row for each session: its token (`sid`), the session's JSON (`sess`) and its expiry (`expire`),
//! rounded up to the second, as that package does. The store reads what connect-pg-simple writes, and
//! connect-pg-simple reads what the store writes.
//!
//! # The time zone
//!
//! In connect-pg-simple's table `expire` has no time zone, so PostgreSQL takes it for a time in the zone
//! of the connection that reads or writes it. Express' connections have the zone that is set for their
//! role, their database or the server. The store uses the same, whatever the zone of its own
//! connections is: at connecting it looks up the setting of its role and database
//! (`pg_db_role_setting`). If there is none, it uses the server's `log_timezone`, because clients can't
//! see the server's `timezone`; `initdb` sets both alike. Set
//! [`time_zone`](ExpressStoreBuilder::time_zone) if the app's differs: `SHOW timezone`, sent by the app,
//! tells it. With a wrong one, sessions end hours too early or too late.
//!
//! When clocks are set back in autumn, a session whose end falls into the repeated hour ends in its
//! second run, in Express too. None of this concerns a column of type `timestamptz`.
//!
//! # Types of columns
//!
//! `json` keeps the text as it was written. A column of type `jsonb` stores the parsed value: saving a
//! value that it would change or refuse fails with an error that names the session key
//! ([`ErrorKind::Value`](session_core::ErrorKind::Value)): a NUL in a text, half a surrogate pair, `-0`
//! and `-0.0`, a duplicate key in an object, numbers beyond a double that are not whole, more than 1,000
//! levels. The encoding of the database must be `UTF8`.
//!
//! One round trip for each operation, and two for a touch; [`session_express::ExpressStore`] lists the
//! exceptions. `reap` removes expired rows, skips those that another connection has locked, and reports
//! none; an Express app also removes them.

mod builder;
mod format;
mod json;
mod schema;
mod table;

use session_sql::express::SqlKeyValue;

pub use builder::ExpressStoreBuilder;
pub use session_express::{self, Express, ExpressLayout, MovingStore};
pub use table::ConnectPgSimple;

/// A store of sessions in the layout of connect-pg-simple.
pub type ExpressStore = session_express::ExpressStore<SqlKeyValue<ConnectPgSimple>>;
