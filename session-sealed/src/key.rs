//! Secrets, their derived keys, and their rotation.

use std::fmt;

use hkdf::Hkdf;
use session_core::{Error, Result};
use sha2::{Digest, Sha256};
use zeroize::Zeroize;

/// A secret of the application. Keys are derived from it with HKDF-SHA256 (RFC 5869).
///
/// It has at least 32 bytes, which should be random: `openssl rand -base64 32`. It is zeroised on
/// drop and redacted in `Debug`.
#[derive(Clone)]
pub struct Secret(Vec<u8>);

impl Secret {
    /// The minimum length of a secret in bytes, which is the length of the derived keys.
    pub const MIN_BYTES: usize = 32;

    /// Creates a secret from these bytes. Text is used as it is, without decoding.
    ///
    /// # Errors
    /// [`ErrorKind::Misconfigured`](session_core::ErrorKind::Misconfigured) if there are under 32
    /// bytes.
    pub fn new(bytes: impl AsRef<[u8]>) -> Result<Self> {
        let bytes = bytes.as_ref();
        if bytes.len() < Self::MIN_BYTES {
            return Err(Error::misconfigured(format!(
                "a secret of {} bytes is too short: make one of at least {}, for instance with \
                 `openssl rand -base64 32`",
                bytes.len(),
                Self::MIN_BYTES
            )));
        }
        Ok(Self(bytes.to_vec()))
    }

    /// Creates a secret with the operating system's random generator. It is not stored: what it
    /// seals or signs can't be opened or verified after the process has ended.
    #[must_use]
    pub fn generate() -> Self {
        let mut bytes = vec![0; Self::MIN_BYTES];
        // Without a working generator nothing about sessions is safe.
        getrandom::fill(&mut bytes).expect("the operating system's random generator works");
        Self(bytes)
    }

    /// The key for `purpose`.
    fn key(&self, purpose: &[u8]) -> [u8; 32] {
        let mut key = [0; 32];
        Hkdf::<Sha256>::new(None, &self.0)
            .expand(purpose, &mut key)
            .expect("32 bytes are within HKDF's limit");
        key
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// The secrets in use. The first seals and signs; all of them open and verify.
///
/// To rotate, add a new secret at the front, and remove the last once everything that it has sealed
/// has expired.
#[derive(Clone)]
pub struct KeyRing {
    secrets: Vec<Secret>,
}

impl KeyRing {
    /// Creates a ring of one secret.
    #[must_use]
    pub fn new(secret: Secret) -> Self {
        Self {
            secrets: vec![secret],
        }
    }

    /// Creates a ring of these secrets. The first seals and signs.
    ///
    /// # Errors
    /// [`ErrorKind::Misconfigured`](session_core::ErrorKind::Misconfigured) if the list is empty.
    pub fn of(secrets: impl IntoIterator<Item = Secret>) -> Result<Self> {
        let secrets: Vec<Secret> = secrets.into_iter().collect();
        if secrets.is_empty() {
            return Err(Error::misconfigured(
                "the list of secrets is empty: give at least one, or disable signing",
            ));
        }
        Ok(Self { secrets })
    }

    /// Adds an older secret at the end, which only opens and verifies.
    #[must_use]
    pub fn with_previous(mut self, secret: Secret) -> Self {
        self.secrets.push(secret);
        self
    }

    /// Derives the keys for `purpose`, for code that seals or signs its own data. Keys for
    /// different purposes are independent.
    #[must_use]
    pub fn keys(&self, purpose: &[u8]) -> Keys {
        let keys = self.secrets.iter().map(|secret| {
            let key = secret.key(purpose);
            let hash = Sha256::digest(key);
            let mut id = [0; 4];
            id.copy_from_slice(&hash[..4]);
            Key { id, bytes: key }
        });
        Keys(keys.collect())
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyRing({} secrets)", self.secrets.len())
    }
}

/// The keys for one purpose, in the order of the ring's secrets.
#[derive(Clone)]
pub struct Keys(Vec<Key>);

/// A key. It is zeroised on drop and redacted in `Debug`.
#[derive(Clone)]
pub struct Key {
    /// The first 4 bytes of the key's SHA-256, which name the key in sealed data.
    pub id: [u8; 4],
    /// The key itself.
    pub bytes: [u8; 32],
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(…)")
    }
}

impl Drop for Key {
    fn drop(&mut self) {
        self.bytes.zeroize();
    }
}

impl Keys {
    /// Returns the key that seals and signs.
    #[must_use]
    pub fn first(&self) -> &Key {
        &self.0[0]
    }

    /// Returns the keys with this id: at most one, unless two ids happen to be equal.
    pub fn named(&self, id: [u8; 4]) -> impl Iterator<Item = &Key> {
        self.0.iter().filter(move |key| key.id == id)
    }

    /// Returns all keys in order.
    pub fn all(&self) -> impl Iterator<Item = &Key> {
        self.0.iter()
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keys({})", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_secrets_and_empty_rings_are_refused() {
        let error = Secret::new("keyboard cat").expect_err("12 bytes");
        assert!(error.to_string().contains("at least 32"), "{error}");
        let error = KeyRing::of([]).expect_err("none");
        assert!(error.to_string().contains("empty"), "{error}");
        Secret::new([7; 32]).expect("32 bytes");
    }

    #[test]
    fn keys_differ_by_secret_and_purpose() {
        let ring = KeyRing::new(Secret::generate()).with_previous(Secret::generate());
        let (a, b) = (ring.keys(b"a"), ring.keys(b"b"));
        let all: Vec<_> = a.all().chain(b.all()).map(|key| key.bytes).collect();
        for (n, key) in all.iter().enumerate() {
            assert!(!all[..n].contains(key), "keys are all different");
        }
    }

    #[test]
    fn debug_shows_no_secret() {
        let secret = Secret::new("correct horse battery staple, twice").expect("long");
        let shown = format!("{secret:?} {:?}", KeyRing::new(secret.clone()).keys(b"x"));
        assert!(
            !shown.contains("horse") && !shown.contains("99, 111"),
            "{shown}"
        );
    }
}
