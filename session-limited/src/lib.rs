//! A limit on loads that find nothing: a [`LimitedStore`] around any store keeps a flood of made-up
//! tokens from reaching the database, while the sessions that this process has served go on.
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod bucket;
mod builder;
mod known;
mod store;
mod warning;

pub use builder::LimitedStoreBuilder;
pub use session_core;
pub use store::LimitedStore;

/// Compiles the example of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
