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
//! | `axum` | `Session` and [`Owner`] as extractors, each as an `Option` too, and [`Error`] as a response |
//! | `actix` | `Session` and [`Owner`] as extractors of actix-web, and [`Error`] as a `ResponseError` |
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod backend;
mod backoff;
mod contract;
mod error;
#[cfg(feature = "http")]
mod error_response;
#[cfg(feature = "axum")]
mod extract;
#[cfg(feature = "actix")]
mod extract_actix;
mod manager;
mod time_limit;

pub use async_trait::async_trait;
pub use bytes::Bytes;

pub use contract::{
    Anchor, Capabilities, Credential, Cursor, Description, Draft, Ended, Finding, Inspect,
    Inspection, Invalidation, InvalidationStream, Lifetime, Notice, NoticeStream, Owner, Page,
    Past, Record, Saved, SessionDirectory, SessionId, SessionInfo, SessionStore, SessionToken,
    Severity, Stamp, StoreWrapper, Timeout, TokenChange, Ttl, Version, shared,
};
pub use error::{Cause, Error, ErrorKind, Result, RetryStatus, Source};
#[cfg(feature = "http")]
pub use error_response::error_response;
pub use manager::{
    Data, EndId, EndKind, EndReason, Event, Flash, Limits, LogObserver, Observer, OnReuse,
    PresentedToken, Reaper, Refusal, RequestSession, Session, SessionEnd, SessionHandle,
    SessionStream, Sessions, SessionsBuilder, Unreadable,
};

/// Compiles the example of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
