//! Sessions in the layout of express-mysql-session, shared with an Express app.
//!
//! ```no_run
//! # async fn example() -> session_mysql::Result<()> {
//! use session_mysql::express::{Express, ExpressStore};
//!
//! // session({ secret: 'keyboard cat', store: new MySQLStore({ …, schema: { tableName: 'visits' } }) })
//! let express = Express::new("keyboard cat");
//! let store = ExpressStore::builder(express)
//!     .table("visits")
//!     .connect("mysql://app@127.0.0.1/app")
//!     .await?;
//! # Ok(()) }
//! ```
//!
//! One row for each session: its token, its expiry in Unix seconds (rounded to the nearest, as that
//! package does), and the session's JSON, as text or in a column of type `JSON`. The store reads
//! what express-mysql-session writes, and express-mysql-session reads what the store writes.
//!
//! If the character set of the data column does not have all characters (`latin1`, `utf8mb3`), JSON
//! is written in ASCII, with `\u00e9` for `é`. Saving a record that is larger than the column fails
//! with [`TooLarge`](session_core::ErrorKind::TooLarge).
//!
//! A column of MySQL's type `JSON` stores the parsed value, not the text. Saving a value that the
//! column would change fails with an error that names the session key
//! ([`ErrorKind::Value`](session_core::ErrorKind::Value)): integers beyond 64 bits, numbers beyond
//! a double, half surrogate pairs, a duplicate key in an object, more than 99 levels.
//!
//! One round trip for each operation, and two for a touch; [`session_express::ExpressStore`] lists
//! the exceptions. `reap` removes expired rows by primary key and reports none; an Express app also
//! removes them.

mod builder;
mod format;
mod json;
mod schema;
mod table;

use session_sql::express::SqlKeyValue;

pub use builder::ExpressStoreBuilder;
pub use session_express::{self, Express, ExpressLayout, MovingStore};
pub use table::ExpressMysqlSession;

/// A store of sessions in the layout of express-mysql-session.
pub type ExpressStore = session_express::ExpressStore<SqlKeyValue<ExpressMysqlSession>>;
