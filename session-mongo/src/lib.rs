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
//! One document for each session, in one collection, by default `session_store`:
//!
//! | field | content |
//! |---|---|
//! | `_id` | the session's id: text |
//! | `v` | the version of this layout: 4 |
//! | `data`, `stamp` | bytes |
//! | `credential` | bytes; empty for none |
//! | `description` | bytes, or absent |
//! | `owner` | text, or absent; indexed together with `_id` |
//! | `idle`, `absolute` | milliseconds, or null for no limit |
//! | `born`, `deadline` | dates by the server's clock; the end of the year 9999 for never |
//! | `due` | a date less than a minute before `deadline`; TTL index. Most writes leave it alone |
//! | `claim`, `claimed` | set on an expired session while a reaper reports it: by which, and since when |
//!
//! There are three indexes: MongoDB's own on `_id`, one on `owner` and `_id` that holds only the
//! sessions that have an owner, and the TTL index on `due`.
//!
//! # Round trips
//!
//! | operation | round trips |
//! |---|---|
//! | load, destroy, count | 1 |
//! | save | 1; 2 if nothing was written, to find out why |
//! | create | 1; 3 if the id is taken, by a live session or an expired one |
//! | touch | 1; 2 in a batch |
//! | `list`, `owned_by` | 1 a page |
//! | `destroy_owned_by` | 1, and 1 for each session, up to 32 at a time |
//! | `reap` | 3 |
//! | `confirm_reaped` | 1 |
//! | `clear` | 2 for each 10,000 sessions |
//!
//! Operations of one kind that queue while others are in flight are sent as one batch of up to 128
//! sessions. The saves or touches of a batch are one statement of one command, because the server
//! takes as long to plan a statement as to write a session. A session's `_id` never changes, so a
//! load looks it up in one index, for which the server has a fast path.
//!
//! The server computes every time (`$$NOW`).
//!
//! # Repeats
//!
//! The store repeats a command once, within the [`timeout`](MongoStoreBuilder::timeout), if the
//! connection breaks before its answer arrives. A repeated save or create that finds another
//! version answers [`Saved::Unknown`]. On a replica set, the driver's retryable writes make the
//! repeat of a destroy or of a single create exact. On a standalone server, a repeated destroy that
//! finds no session answers [`Ended::unknown`].
//!
//! [`Saved::Unknown`]: session_core::Saved::Unknown
//!
//! # Expiry
//!
//! MongoDB's TTL thread removes expired sessions about once a minute; until then a load ignores
//! them. It reports none: to report them, set an [`expiry_grace`](MongoStoreBuilder::expiry_grace)
//! and run a [`Reaper`].
//!
//! # Notices
//!
//! While a stream [waits for the end of its session](session_core::Session::ended), the store reads
//! a change stream of the collection: deletes, and saves that restart a session's age, as a sign-in
//! does. It needs a replica set or a sharded cluster, and the right `changeStream` on the collection.
//! On a standalone server, and without the right, streams close within the lease. Nothing is written
//! for it.
//!
//! # Connections
//!
//! Reads go to the primary, whatever read preference the URL or the [`mongodb::Database`] has. A
//! store that was made by [`MongoStore::connect`] replaces its client if the address leads to
//! another server, or if the runtime that it was made in has ended. When its last clone is dropped,
//! the connections are closed at once.
//!
//! # Durability
//!
//! The write concern is that of the URL or of the [`mongodb::Database`]. With `w=majority` (the
//! server's default on most replica sets) a logout survives a failover; with `w=1` a failover may
//! undo the most recent writes. The store refuses concerns with which a load may miss an
//! acknowledged write: `w=0`, `journal=false`, `readConcernLevel=available` and `snapshot`, and
//! `majority` without `w=majority`.
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod backend;
mod builder;
mod check;
mod client;
mod command;
mod connector;
#[cfg(feature = "express")]
pub mod crypto;
mod directory;
mod error;
#[cfg(feature = "express")]
pub mod express;
mod inspection;
mod migrate;
mod notices;
mod record;
mod schema;
mod statement;
mod url;

pub use mongodb;
pub use session_core::{
    self, Cursor, Description, EndId, EndKind, EndReason, Ended, Error, ErrorKind, Event, Flash,
    Lifetime, Limits, Observer, OnReuse, Owner, Page, Reaper, Result, Session, SessionDirectory,
    SessionEnd, SessionId, SessionInfo, SessionStore, SessionToken, Sessions, SessionsBuilder,
    Timeout, Ttl,
};

pub use backend::{MongoBackend, MongoStore};
pub use builder::MongoStoreBuilder;
pub use client::MongoClient;

/// Compiles the example of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
