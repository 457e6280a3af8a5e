//! Local copies of sessions: a [`CachedStore`] around any store answers loads from memory for a
//! short time.
//!
//! A request that only reads its session then makes no round trip. The price is that a session that
//! another process has ended or changed may be served here as it was, for at most the lease that
//! the application chooses. Where the store tells of writes, as Redis and Valkey do, copies are
//! dropped within milliseconds as long as its connection lives; the lease holds in any case.
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod builder;
mod copies;
mod dropping;
mod kept;
mod listener;
mod shard;
mod store;

pub use builder::CachedStoreBuilder;
pub use session_core;
pub use store::CachedStore;

/// Compiles the example of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
