//! The two encryptions of `connect-mongo`, for sessions that are shared with an Express app.
//!
//! | `connect-mongo` | here |
//! |---|---|
//! | `cryptoAdapter: createWebCryptoAdapter({…})` | [`WebCrypto`] |
//! | `crypto: {…}`, `cryptoAdapter: createKrupteinAdapter({…})` | [`Kruptein`] |
//!
//! Use them only for sessions that are shared with Express. They do not bind a session to its id,
//! so an attacker who can write to the database can replace one session by another, and they take
//! only one secret at a time. `session-sealed` has neither weakness and is faster.

mod der;
mod encoding;
mod kruptein;
#[cfg(test)]
mod tests;
mod webcrypto;

use std::fmt;

use async_trait::async_trait;
use session_core::{Error, Result};
use zeroize::{Zeroize, Zeroizing};

pub use encoding::Encoding;
pub use kruptein::Kruptein;
pub use webcrypto::{Algorithm, WebCrypto};

/// Encrypts the JSON of sessions, and decrypts it.
#[async_trait]
pub trait Crypto: fmt::Debug + Send + Sync + 'static {
    /// Encrypts `text`. The result is stored.
    ///
    /// # Errors
    /// [`ErrorKind::TooLarge`](session_core::ErrorKind::TooLarge) for a text beyond the cipher's
    /// limit.
    async fn encrypt(&self, text: &str) -> Result<String>;

    /// Decrypts a text that was [encrypted](Self::encrypt) here or by Express.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`](session_core::ErrorKind::Corrupt) if it was not encrypted, has
    /// another secret, or was changed.
    async fn decrypt(&self, text: &str) -> Result<String>;
}

/// A key of AES-256.
struct Key([u8; 32]);

impl Drop for Key {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// A secret as the npm packages take it: any bytes, not empty.
fn secret(bytes: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
    if bytes.is_empty() {
        return Err(Error::misconfigured(
            "the secret for encrypted sessions is empty: use the secret of the Express app",
        ));
    }
    Ok(Zeroizing::new(bytes.to_vec()))
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    // Without random numbers no session is safe.
    getrandom::fill(&mut bytes).expect("the operating system's random generator works");
    bytes
}

/// Runs `work`, which computes for milliseconds, on a thread for blocking work.
async fn compute<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Error::unavailable("derive a key", error))
}

fn corrupt() -> Error {
    Error::corrupt("it does not decrypt: it was changed, or encrypted with other options")
}

fn too_large(size: usize) -> Error {
    // The limit of AES-GCM: 2^36 - 32 bytes.
    let limit = usize::try_from((1_u64 << 36) - 32).unwrap_or(usize::MAX);
    Error::too_large("record", size, limit)
}
