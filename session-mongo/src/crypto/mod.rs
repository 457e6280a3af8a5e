//! The two encryptions of `connect-mongo`, so that sessions which an Express application has
//! encrypted can be read here, and the other way round.
//!
//! | `connect-mongo` | here |
//! |---|---|
//! | `cryptoAdapter: createWebCryptoAdapter({…})` | [`WebCrypto`] |
//! | `crypto: {…}`, `cryptoAdapter: createKrupteinAdapter({…})` | [`Kruptein`] |
//!
//! Use them for what is shared with Express, and only that. They bind no session to its id, so
//! whoever can write to the database can put one session in the place of another, and neither
//! knows more than one secret at a time; `session-sealed` does both, and is quicker.

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
    /// What to store for this text.
    ///
    /// # Errors
    /// [`ErrorKind::TooLarge`] for a text beyond the cipher's limit.
    async fn encrypt(&self, text: &str) -> Result<String>;

    /// The text that was [encrypted](Self::encrypt), here or by Express.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] if it was not, or with another secret, or has been changed.
    async fn decrypt(&self, text: &str) -> Result<String>;
}

/// A key of AES-256.
struct Key([u8; 32]);

impl Drop for Key {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// A secret as the npm packages take it: any text or bytes but none.
fn secret(bytes: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
    if bytes.is_empty() {
        return Err(Error::misconfigured(
            "the secret for encrypted sessions is empty: give the one of the Express application",
        ));
    }
    Ok(Zeroizing::new(bytes.to_vec()))
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    // Without a working generator nothing about sessions is safe.
    getrandom::fill(&mut bytes).expect("the operating system's random generator works");
    bytes
}

/// Runs what takes milliseconds of computing where it keeps nobody waiting.
async fn compute<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Error::unavailable("derive a key", error))
}

fn corrupt() -> Error {
    Error::corrupt("it does not decrypt: it was changed, or encrypted in another way")
}

fn too_large(size: usize) -> Error {
    // What AES-GCM can take in one piece: 2^36 - 32 bytes.
    let limit = usize::try_from((1_u64 << 36) - 32).unwrap_or(usize::MAX);
    Error::too_large("record", size, limit)
}
