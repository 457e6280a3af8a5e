//! Session data encrypted at rest: a [`SealedStore`] around any store. Also the secrets from which
//! it and `session-web` derive their keys.
//!
//! The cipher is XChaCha20-Poly1305, with keys by HKDF-SHA256. Secrets rotate: the first one of a
//! [`KeyRing`] seals, all of them open.
#![forbid(unsafe_code)]

mod key;
mod place;
mod seal;
mod store;

pub use key::{Key, KeyRing, Keys, Secret};
pub use seal::{OVERHEAD, Sealer};
pub use session_core;
pub use store::SealedStore;
