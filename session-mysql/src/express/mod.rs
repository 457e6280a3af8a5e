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
//! One row a session: its token, when it ends in Unix seconds (rounded to the nearest, as that
//! package does), and the session's JSON, as text or in a column of type `JSON`. What
//! express-mysql-session writes is read, and the other way round.
//!
//! Where the column of the data has not every character (`latin1`, `utf8mb3`), JSON is written in
//! ASCII, with `\u00e9` for `é`. A record that is larger than the column holds is
//! [`TooLarge`](session_core::ErrorKind::TooLarge).
//!
//! A column of MySQL's type `JSON` keeps what the server has understood and no text. A value that it
//! would change is refused when it is saved, by the name of its variable
//! ([`ErrorKind::Value`](session_core::ErrorKind::Value)): whole numbers beyond 64 bits, numbers beyond a
//! double, half surrogate pairs, a key twice in an object, and more than 99 levels.
//!
//! One round trip for each operation, and two for a touch; [`session_express::ExpressStore`] names
//! the exceptions. `reap` removes expired rows a few at a time, by primary key, and reports none; so
//! does an Express app.

mod builder;
mod json;
mod key_value;
mod schema;
mod table;

pub use builder::ExpressStoreBuilder;
pub use key_value::ExpressMysqlSession;
pub use session_express::{self, Express, ExpressLayout, MovingStore};

/// Sessions in the layout of express-mysql-session.
pub type ExpressStore = session_express::ExpressStore<ExpressMysqlSession>;
