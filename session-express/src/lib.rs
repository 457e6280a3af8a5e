//! Sessions shared with an Express app: the same cookie, the same records, one sign-in for both.
//!
//! ```
//! use session_express::Express;
//!
//! // In the Express app: session({ secret: 'keyboard cat', cookie: { maxAge: 3600000 } })
//! let express = Express::new("keyboard cat").max_age(std::time::Duration::from_secs(3_600));
//! ```
//!
//! The modules `session_redis::express`, `session_mongo::express`, `session_mysql::express` and
//! `session_postgres::express` (Cargo feature `express`) read and write the records of connect-redis,
//! connect-mongo, express-mysql-session and connect-pg-simple.
//! `SessionLayer::express_compatible` of `session-web` reads and writes the cookie.
//! [docs/express.md][manual] is the guide.
//!
//! # What is in a record
//!
//! A record is one JSON object: `cookie`, as express-session stores it, and the session's
//! variables. A write keeps unknown members as they were. A [`Session`](session_core::Session)
//! shows the variables only.
//!
//! The owner, the absolute limit and the time when the session began have no field in Express. They
//! are stored under one more key, [`EXTRA_KEY`], if they are used. Express treats that key as a
//! variable of the app. Its value is authenticated with Express' secret: a value that the app's own
//! code stores there sets no owner and makes the record corrupt, and so does removing the secret
//! while its records live.
//!
//! # Compare and set, by the value
//!
//! The format has no field for a stamp. So a record's stamp is a hash of its contents, and a write
//! names the stored value that it replaces, which the database compares. The hash omits
//! `cookie.expires`, which every touch changes.
//!
//! # Plain ids
//!
//! The client's token is the id of the record, and the format has no field for a credential. So a
//! new token is a new id: in these layouts, and only here, a session's id changes. [`ExpressStore`]
//! documents the consequences. [`MovingStore`] moves sessions to a native store, where ids never
//! change.
//!
#![doc = concat!("[manual]: ", env!("CARGO_PKG_REPOSITORY"), "/blob/main/docs/express.md")]
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod backend;
mod connect_sess;
mod cookie_session;
mod cookie_text;
mod directory;
mod expiry;
mod extra;
mod key_value;
mod layout;
mod moving;
mod options;
mod parsed;
mod record;
mod secret;
mod sent_writes;
mod signature;
mod store;
mod tombstone;

pub use connect_sess::ConnectSess;
pub use cookie_session::{CookieSession, KeygripHash};
pub use extra::EXTRA_KEY;
pub use key_value::{Configured, Found, KeyValue, Listed, Renamed};
pub use moving::MovingStore;
pub use options::{CookieOptions, Express, Priority, SameSite};
pub use parsed::{check_parsed, check_record};
pub use session_core;
pub use store::{ExpressLayout, ExpressStore};

/// Compiles the example of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
