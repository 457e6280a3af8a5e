//! The format of sealed data.
//!
//! | bytes | what |
//! |---|---|
//! | 0 | version, 1 |
//! | 1–4 | the key's id |
//! | 5–28 | a random nonce of 192 bits, which is long enough not to repeat |
//! | the rest | ciphertext and tag |

use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305, XNonce};

use crate::key::{Key, KeyRing, Keys};

const VERSION: u8 = 1;
const HEAD: usize = 5;
const NONCE: usize = 24;
const TAG: usize = 16;

/// The number of bytes by which sealed data is longer than its content.
pub const OVERHEAD: usize = HEAD + NONCE + TAG;

/// Seals and opens data for one purpose. Sealed data is encrypted, authenticated, and bound to
/// associated data.
#[derive(Clone, Debug)]
pub struct Sealer {
    keys: Keys,
}

impl Sealer {
    /// Creates a sealer with the keys of `ring` for `purpose`.
    #[must_use]
    pub fn new(ring: &KeyRing, purpose: &[u8]) -> Self {
        let keys = ring.keys(purpose);
        Self { keys }
    }

    /// Seals `content`. It opens only with the same `associated_data`.
    #[must_use]
    pub fn seal(&self, associated_data: &[u8], content: &[u8]) -> Vec<u8> {
        let key = self.keys.first();
        let mut sealed = Vec::with_capacity(OVERHEAD + content.len());
        sealed.push(VERSION);
        sealed.extend(key.id);
        let mut nonce = [0; NONCE];
        // Without a working generator nothing about sessions is safe.
        getrandom::fill(&mut nonce).expect("the operating system's random generator works");
        let aad = [&sealed, associated_data].concat();
        let payload = Payload {
            msg: content,
            aad: &aad,
        };
        let ciphertext = cipher(key).encrypt(&XNonce::from(nonce), payload);
        sealed.extend(nonce);
        sealed.extend(ciphertext.expect("no session is as long as the cipher's limit"));
        sealed
    }

    /// Returns whether `sealed` names one of the keys. If not, it was sealed with another secret or
    /// is not sealed data.
    #[must_use]
    pub fn has_key_of(&self, sealed: &[u8]) -> bool {
        let Some((&[VERSION, id @ ..], _)) = sealed.split_first_chunk::<HEAD>() else {
            return false;
        };
        self.keys.named(id).next().is_some()
    }

    /// Opens `sealed` and returns its content; `None` if it was changed, or not sealed with one of
    /// the keys and with `associated_data`.
    #[must_use]
    pub fn open(&self, associated_data: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        let (head, rest) = sealed.split_at_checked(HEAD)?;
        let (nonce, ciphertext) = rest.split_at_checked(NONCE)?;
        let id: [u8; 4] = head[1..].try_into().ok()?;
        let nonce = XNonce::from(<[u8; NONCE]>::try_from(nonce).ok()?);
        if head[0] != VERSION {
            return None;
        }
        let aad = [head, associated_data].concat();
        let payload = || Payload {
            msg: ciphertext,
            aad: &aad,
        };
        let mut keys = self.keys.named(id);
        keys.find_map(|key| cipher(key).decrypt(&nonce, payload()).ok())
    }
}

fn cipher(key: &Key) -> XChaCha20Poly1305 {
    XChaCha20Poly1305::new(&key.bytes.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Secret;

    #[test]
    fn sealed_data_opens_with_its_associated_data_only() {
        let ring = KeyRing::new(Secret::generate());
        let sealer = Sealer::new(&ring, b"test");
        for content in [b"".as_slice(), b"{}", &[7; 100_000]] {
            let sealed = sealer.seal(b"here", content);
            assert_eq!(sealed.len(), content.len() + OVERHEAD);
            assert_eq!(sealer.open(b"here", &sealed).as_deref(), Some(content));
            assert_eq!(sealer.open(b"there", &sealed), None);
            let other = Sealer::new(&ring, b"another purpose");
            assert_eq!(other.open(b"here", &sealed), None);
        }
    }

    #[test]
    fn what_was_sealed_as_these_bytes_opens() {
        let ring = KeyRing::new(Secret::new([7; 32]).expect("32 bytes"));
        let sealer = Sealer::new(&ring, b"test");
        let golden: [&[u8]; 5] = [
            b"\x01",
            // The key's id, which follows from the secret and the purpose.
            b"\x5C\xB2\xA2\x69",
            // The nonce.
            b"\x44\xD0\x99\x6A\x66\x66\xCF\x28\x88\xA1\xF4\xE3\x06\x8C\xB3\x29\x38\xBA\x3E\x91\x9B\x61\xCD\x23",
            b"\x14\x20\xC1\x69\x03\xCF\x54\xE1\x6A\x81\x9E\x1B\x55\xAE\xFD\xA6\x02\xA9\xFA",
            b"\x7E\x84\x68\xB8\x03\xED\xF1\xB6\xA3\x0A\x89\xE5\x44\x42\x75\x31",
        ];
        let content = br#"{"name":"Napoleon"}"#;
        let opened = sealer.open(b"here", &golden.concat());
        assert_eq!(opened.as_deref(), Some(content.as_slice()));
        assert_eq!(
            sealer.seal(b"here", content)[..HEAD],
            golden.concat()[..HEAD]
        );
    }

    #[test]
    fn changed_or_truncated_data_does_not_open() {
        let sealer = Sealer::new(&KeyRing::new(Secret::generate()), b"test");
        let sealed = sealer.seal(b"here", b"content");
        for n in 0..sealed.len() {
            let mut wrong = sealed.clone();
            wrong[n] ^= 1;
            assert_eq!(sealer.open(b"here", &wrong), None, "changed at {n}");
            assert_eq!(sealer.open(b"here", &sealed[..n]), None, "cut at {n}");
        }
    }
}
