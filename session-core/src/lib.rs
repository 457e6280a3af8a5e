//! The session store trait, the session record and the session manager: no I/O, no HTTP, no
//! database.
#![forbid(unsafe_code)]

mod deadline;
mod error;
mod lifetime;
mod owner;
mod record;
mod stamp;
mod store;
mod token;

pub use async_trait::async_trait;
pub use bytes::Bytes;

pub use deadline::within;
pub use error::{Error, ErrorKind, Result, RetryStatus, Source};
pub use lifetime::{Lifetime, Timeout, Ttl};
pub use owner::Owner;
pub use record::{Anchor, Draft, Ended, Record, Saved, SessionInfo};
pub use stamp::Stamp;
pub use store::{Capabilities, Cursor, Page, SessionDirectory, SessionStore};
pub use token::{SessionId, SessionToken};
