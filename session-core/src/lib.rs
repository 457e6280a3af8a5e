//! The session store trait, the session record and the session manager: no I/O, no HTTP, no
//! database.
//!
//! * A store implements [`SessionStore`], and [`SessionDirectory`] for listing and reaping. A store
//!   around another one implements [`StoreWrapper`].
//! * An application holds [`Sessions`] (a store and rules) and opens a [`Session`] a request.
//! * A client holds a [`SessionToken`]; a store files the session under its [`SessionId`].
//! * A handler in a web application gets a [`Session`], by the extractor of the feature `axum` or from
//!   the [`SessionHandle`] that a middleware such as `session-web` puts into the request. What only
//!   web pages need ([`flash`](Session::flash), [`csrf_token`](Session::csrf_token)) are methods of the
//!   same type and no trait's, so a handler imports nothing else.
//!
//! | Cargo feature | what it adds |
//! |---|---|
//! | `http` | `error_response`: the response to a request that fails by an [`Error`] |
//! | `axum` | `Session` and `Option<Session>` as extractors, and [`Error`] as a response |
#![forbid(unsafe_code)]

pub mod backend;
mod backoff;
mod credential;
mod csrf;
mod data;
mod error;
#[cfg(feature = "http")]
mod error_response;
#[cfg(feature = "axum")]
mod extract;
mod finite;
mod flash;
mod handle;
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
mod reserved;
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
#[cfg(feature = "http")]
pub use error_response::error_response;
pub use flash::Flash;
pub use handle::{RequestSession, SessionHandle};
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
