//! One sealed piece of data.
//!
//! | bytes | what |
//! |---|---|
//! | 0 | version, 1 |
//! | 1–4 | which key |
//! | 5–28 | a random nonce: XChaCha20-Poly1305 takes 192 bits, so random ones don't meet |
//! | the rest | ciphertext and tag |

use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305, XNonce};

use crate::key::{Key, KeyRing, Keys};

const VERSION: u8 = 1;
const HEAD: usize = 5;
const NONCE: usize = 24;
const TAG: usize = 16;

/// How many bytes longer than its content something sealed is.
pub const OVERHEAD: usize = HEAD + NONCE + TAG;

/// Seals and opens data for one purpose: encrypted, authenticated, and bound to a place.
#[derive(Clone, Debug)]
pub struct Sealer {
    keys: Keys,
}

impl Sealer {
    /// A sealer with the keys of `ring` for `purpose`.
    #[must_use]
    pub fn new(ring: &KeyRing, purpose: &[u8]) -> Self {
        let keys = ring.keys(purpose);
        Self { keys }
    }

    /// `content`, sealed for `place`: it opens nowhere else.
    #[must_use]
    pub fn seal(&self, place: &[u8], content: &[u8]) -> Vec<u8> {
        let key = self.keys.first();
        let mut sealed = Vec::with_capacity(OVERHEAD + content.len());
        sealed.push(VERSION);
        sealed.extend(key.id);
        let mut nonce = [0; NONCE];
        // Without a working generator nothing about sessions is safe.
        getrandom::fill(&mut nonce).expect("the operating system's random generator works");
        let aad = [&sealed, place].concat();
        let payload = Payload {
            msg: content,
            aad: &aad,
        };
        let ciphertext = cipher(key).encrypt(&XNonce::from(nonce), payload);
        sealed.extend(nonce);
        sealed.extend(ciphertext.expect("no session is as long as the cipher's limit"));
        sealed
    }

    /// Whether `sealed` names one of the keys, or else was made with another secret, if it was sealed
    /// at all.
    #[must_use]
    pub fn has_key_of(&self, sealed: &[u8]) -> bool {
        let Some((&[VERSION, id @ ..], _)) = sealed.split_first_chunk::<HEAD>() else {
            return false;
        };
        self.keys.named(id).next().is_some()
    }

    /// What is in `sealed`; `None` if it was not sealed with one of the keys, for this place.
    #[must_use]
    pub fn open(&self, place: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        let (head, rest) = sealed.split_at_checked(HEAD)?;
        let (nonce, ciphertext) = rest.split_at_checked(NONCE)?;
        let id: [u8; 4] = head[1..].try_into().ok()?;
        let nonce = XNonce::from(<[u8; NONCE]>::try_from(nonce).ok()?);
        if head[0] != VERSION {
            return None;
        }
        let aad = [head, place].concat();
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
    fn what_was_sealed_opens_in_its_place_and_nowhere_else() {
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
    fn anything_changed_opens_nothing() {
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
