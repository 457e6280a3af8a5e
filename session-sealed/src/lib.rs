//! Encryption of session data at rest: a [`SealedStore`] around any store, and the secrets from
//! which it and `session-web` derive their keys.
//!
//! The cipher is XChaCha20-Poly1305; keys are derived with HKDF-SHA256. Secrets can be rotated: the
//! first secret of a [`KeyRing`] seals, all of them open.
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod associated_data;
mod key;
mod seal;
mod store;

pub use key::{Key, KeyRing, Keys, Secret};
pub use seal::{OVERHEAD, Sealer};
pub use session_core;
pub use store::SealedStore;

/// Compiles the example of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
