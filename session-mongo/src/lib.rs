//! Sessions in MongoDB (4.4 or later), alone or as a replica set.
//!
//! ```no_run
//! # async fn example() -> session_mongo::Result<()> {
//! use std::sync::Arc;
//! use session_mongo::{MongoStore, Sessions};
//!
//! let store = MongoStore::connect("mongodb://127.0.0.1/app").await?;
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
//! One document a session, in one collection:
//!
//! | field | what |
//! |---|---|
//! | `_id` | an ObjectId that never changes, so that a rename is one update |
//! | `sid` | the session's id; unique index |
//! | `data`, `stamp` | bytes |
//! | `owner` | text, or absent; sparse index |
//! | `idle`, `absolute` | milliseconds, or null for never |
//! | `born`, `deadline` | dates by the server's clock; the end of the year 9999 for never |
//! | `due` | a date less than a minute before `deadline`; TTL index. Most writes leave it alone |
//! | `claim`, `claimed` | set on an expired session while it is reaped |
//!
//! # Round trips
//!
//! One for each operation; a second one where a save, rename or create finds that it can't be
//! done, to say why. Once callers are many, those of a kind that wait go out together, up to 128
//! sessions in one command, and saves and touches as one statement of it, for the server takes as
//! long to plan a statement as to write a session; nobody waits for company ([`batch`]).
//!
//! Every time is the server's (`$$NOW`). Writes compute with it there; a load brings it along with
//! the session, and is nothing if the deadline is not later. For MongoDB's TTL thread removes
//! expired documents only about once a minute.
//!
//! # Durability
//!
//! Read and write concern are the caller's: those of the URL, or of the [`mongodb::Database`].
//! With `w=majority` (the server's default on most replica sets) a logout holds through a
//! failover; with `w=1` a failover may undo the last moments.
#![forbid(unsafe_code)]

mod builder;
mod carrier;
mod command;
#[cfg(feature = "express")]
pub mod crypto;
mod directory;
mod error;
#[cfg(feature = "express")]
pub mod express;
mod link;
mod raw;
mod schema;
mod store;

pub use builder::MongoStoreBuilder;
pub use mongodb;
pub use session_core;
pub use session_core::*;
pub use store::MongoStore;
