//! Sessions in MongoDB (4.4 or later), alone or as a replica set.
//!
//! ```no_run
//! # async fn example() -> session_mongo::Result<()> {
//! use session_mongo::{MongoStore, Sessions};
//!
//! let store = MongoStore::connect("mongodb://127.0.0.1/app").await?;
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
//! One document per session, in one collection:
//!
//! | field | what |
//! |---|---|
//! | `_id` | the session's id: text |
//! | `v` | the version of this layout: 3 |
//! | `data`, `stamp` | bytes |
//! | `credential` | bytes; empty for none |
//! | `owner` | text, or absent; indexed together with `_id` |
//! | `idle`, `absolute` | milliseconds, or null for never |
//! | `born`, `deadline` | dates by the server's clock; the end of the year 9999 for never |
//! | `due` | a date less than a minute before `deadline`; TTL index. Most writes leave it alone |
//! | `claim`, `claimed` | set on an expired session while it is reaped |
//!
//! There are three indexes: MongoDB's own on `_id`, one on `owner` and `_id` that holds only the
//! sessions that have an owner, and the TTL index on `due`.
//!
//! # Round trips
//!
//! | operation | round trips |
//! |---|---|
//! | load, destroy, count | one |
//! | save | one; a second one if it can't be done, to say why |
//! | create | one; two more if another session has this id or an expired one is in the way |
//! | touch | one; two if it is sent in a batch |
//! | list, `owned_by` | one per page |
//! | `destroy_owned_by` | one, and one per session, 32 at once |
//! | reap | four per batch |
//! | clear | two per 10,000 sessions |
//!
//! Operations that queue while others of their kind are in flight are sent as one batch of up to
//! 128 sessions. Saves and touches are then one statement of one command, because the
//! server takes as long to plan a statement as to write a session. A session's id never changes,
//! and neither does its `_id`: a load is a lookup in one index, for which the server has a short
//! way of its own.
//!
//! A command whose answer is lost with its connection is sent once more within the time limit. A
//! save or create that then finds another version answers [`Saved::Unknown`]. On a replica set,
//! the driver's retryable writes make the repeat of a destroy or of a single create exact. On a
//! standalone server, a destroy that was sent twice and finds nothing answers [`Ended::unknown`].
//!
//! [`Saved::Unknown`]: session_core::Saved::Unknown
//!
//! Every time is the server's (`$$NOW`). Writes compute with it there; a load brings it along with
//! the session, and finds nothing if the deadline is not later, because MongoDB's TTL thread
//! removes expired documents only about once a minute.
//!
//! # Connections
//!
//! Reads go to the primary, whatever read preference the URL or the [`mongodb::Database`] has. A
//! store that was made by [`MongoStore::connect`] replaces its client if the address leads to
//! another server, or if the runtime has ended that it was made in; when the last clone of the
//! store is dropped, its connections are closed at once.
//!
//! # Durability
//!
//! Write concern is the caller's: that of the URL, or of the [`mongodb::Database`]. With
//! `w=majority` (the server's default on most replica sets) a logout holds through a failover; with
//! `w=1` a failover may undo the last moments. Concerns by which a load may miss a write that was
//! answered are refused: `w=0`, `journal=false`, `readConcernLevel=available` and `snapshot`, and
//! `majority` without `w=majority`.
#![forbid(unsafe_code)]

mod backend;
mod builder;
mod check;
mod command;
mod connector;
#[cfg(feature = "express")]
pub mod crypto;
mod directory;
mod error;
#[cfg(feature = "express")]
pub mod express;
mod found;
mod migrate;
mod options;
mod schema;
mod statement;

pub use mongodb;
pub use session_core::{
    self, Cursor, EndReason, Ended, Error, ErrorKind, Event, Flash, Lifetime, Limits, Observer,
    OnReuse, Owner, Page, Reaper, Result, Session, SessionDirectory, SessionId, SessionInfo,
    SessionStore, SessionToken, Sessions, SessionsBuilder, Timeout, Ttl,
};

pub use backend::{MongoBackend, MongoStore};
pub use builder::MongoStoreBuilder;
pub use connector::MongoClient;
