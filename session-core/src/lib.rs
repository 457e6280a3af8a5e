//! The session store trait, the session record and the session manager: no I/O, no HTTP, no
//! database.
//!
//! * A store implements [`SessionStore`], and [`SessionDirectory`] for listing and reaping. A store
//!   around another one implements [`StoreWrapper`].
//! * An application holds [`Sessions`] (a store and rules) and opens a [`Session`] a request.
//! * A client holds a [`SessionToken`]; a store files the session under its [`SessionId`].
#![forbid(unsafe_code)]

pub mod backend;
mod backoff;
mod credential;
mod data;
mod error;
mod finite;
mod identity;
mod judged_token;
mod lifecycle;
mod lifetime;
mod limits;
mod observer;
mod ordered_map;
mod owner;
mod patch;
mod presented_token;
mod reaper;
mod record;
mod reuse;
mod same;
mod session;
mod sessions;
mod stamp;
mod store;
mod token;
mod unsaved;
mod value;
mod variables;
mod wrapper;
mod write;

pub use async_trait::async_trait;
pub use bytes::Bytes;

pub use credential::Credential;
pub use data::Data;
pub use error::{Cause, Error, ErrorKind, Result, RetryStatus, Source};
pub use lifetime::{Lifetime, Timeout, Ttl};
pub use limits::Limits;
pub use observer::{EndReason, Event, LogObserver, Observer, Refusal, Unreadable};
pub use owner::Owner;
pub use presented_token::PresentedToken;
pub use reaper::Reaper;
pub use record::{Anchor, Draft, Ended, Record, Saved, SessionInfo, TokenChange, Version};
pub use reuse::OnReuse;
pub use session::Session;
pub use sessions::{SessionStream, Sessions, SessionsBuilder};
pub use stamp::Stamp;
pub use store::{Capabilities, Cursor, Page, SessionDirectory, SessionStore, shared};
pub use token::{SessionId, SessionToken};
pub use wrapper::StoreWrapper;
