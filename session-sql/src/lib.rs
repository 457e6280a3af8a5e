//! What the session stores of SQL databases share, over [`sqlx`].
//!
//! Applications depend on a store: `session-mysql`, `session-postgres` or `session-sqlite`. This crate
//! is for the authors of such stores. A database is two traits:
//!
//! * [`Dialect`]: how its driver sends statements and reads rows, what its error codes mean
//!   ([`Cause`]), how it describes a table;
//! * [`SessionTable`]: the statements on the table of sessions with their binds, and the operations
//!   that are not the same in all databases. Where statements that write return rows, the module
//!   [`returning`] has those.
//!
//! [`SqlBackend`] makes a backend of them: pool, limits, repeats, errors, checks of the table and of
//! rights, the directory, paging and reaping are the same for all.
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod backend;
mod cause;
mod check;
mod claim;
mod client;
mod command;
mod connection;
mod connector;
mod dialect;
mod directory;
mod error;
#[cfg(feature = "express")]
pub mod express;
mod inspection;
mod one_server;
mod pool;
mod prepared;
pub mod record;
mod removal;
pub mod returning;
mod session_table;
mod url;

pub use sqlx;

pub use backend::{REPEATS, SqlBackend, in_order, policy, stamps};
pub use cause::Cause;
pub use check::{Column, Difference, Expected, Index, Table};
pub use claim::Claimed;
pub use client::{Access, SqlClient};
pub use command::Commands;
pub use connector::SqlConnector;
pub use dialect::{ConnectionOf, Destination, Dialect, Driven, Opened, OptionsOf, RowOf};
pub use directory::{clear, count, page};
pub use error::{Stage, Target, from_column};
pub use inspection::Told;
pub use pool::PooledConnection;
pub use prepared::{BatchStatement, Bound, MAX_BATCH, Padded, SIZES, Statement};
pub use removal::{Condition, Id, Removal};
pub use returning::Returning;
pub use session_table::SessionTable;
pub use url::{UrlRules, check_pem};
