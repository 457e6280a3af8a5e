//! Session data encrypted at rest, in any store: [`SealedStore`] around it; and the secrets that
//! this and `session-web` derive their keys from.
//!
//! XChaCha20-Poly1305 with keys by HKDF-SHA256. Secrets rotate: of a [`KeyRing`] the first seals,
//! all open.
#![forbid(unsafe_code)]

mod key;
mod seal;
mod store;

pub use key::{Key, KeyRing, Keys, Secret};
pub use seal::{OVERHEAD, Sealer};
pub use session_core;
pub use store::SealedStore;
