//! Compression of session data: a [`CompressedStore`] around any store compresses what is larger
//! than a threshold with zstd, and reads what was stored before it.
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod builder;
mod codec;
mod store;

pub use builder::CompressedStoreBuilder;
pub use session_core;
pub use store::CompressedStore;

/// Compiles the example of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
