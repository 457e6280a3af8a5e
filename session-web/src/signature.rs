//! Signed tokens: made-up ones are told from ours without asking the store.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use session_sealed::{Key, KeyRing, Keys};
use sha2::Sha256;

/// Signs values for a cookie of one name.
#[derive(Clone, Debug)]
pub(crate) struct Signer {
    keys: Keys,
}

impl Signer {
    pub(crate) fn new(ring: &KeyRing) -> Self {
        let keys = ring.keys(b"session-web signed token v1");
        Self { keys }
    }

    /// `value` and its signature. The signature covers the cookie's name, so that one cookie's
    /// value is none of another's.
    pub(crate) fn sign(&self, name: &str, value: &str) -> String {
        let mac = mac(&self.keys.first().bytes, name, value).finalize();
        let signature = URL_SAFE_NO_PAD.encode(mac.into_bytes());
        format!("{value}.{signature}")
    }

    /// The value of `signed`, if one of the keys has signed it.
    pub(crate) fn verify<'v>(&self, name: &str, signed: &'v str) -> Option<&'v str> {
        let (value, signature) = signed.rsplit_once('.')?;
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        let signs = |key: &Key| {
            // Compared in constant time.
            mac(&key.bytes, name, value)
                .verify_slice(&signature)
                .is_ok()
        };
        self.keys.all().any(signs).then_some(value)
    }
}

fn mac(key: &[u8; 32], name: &str, value: &str) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(name.as_bytes());
    mac.update(b"=");
    mac.update(value.as_bytes());
    mac
}

#[cfg(test)]
mod tests {
    use super::*;
    use session_sealed::Secret;

    #[test]
    fn the_first_secret_signs_and_all_verify() {
        let (old, new) = (Secret::generate(), Secret::generate());
        let before = Signer::new(&KeyRing::new(old.clone()));
        let after = Signer::new(&KeyRing::new(new.clone()).with_previous(old));
        let signed = before.sign("id", "token");
        assert_eq!(after.verify("id", &signed), Some("token"));
        let signed = after.sign("id", "token");
        assert_eq!(before.verify("id", &signed), None, "the new secret signs");
        let alone = Signer::new(&KeyRing::new(new));
        assert_eq!(alone.verify("id", &signed), Some("token"));
    }

    #[test]
    fn what_was_not_signed_is_refused() {
        let signer = Signer::new(&KeyRing::new(Secret::generate()));
        let signed = signer.sign("id", "token");
        assert_eq!(signer.verify("other", &signed), None, "of another cookie");
        for length in 0..signed.len() {
            assert_eq!(
                signer.verify("id", &signed[..length]),
                None,
                "cut at {length}"
            );
        }
        for n in 0..signed.len() {
            let mut wrong = signed.clone().into_bytes();
            wrong[n] ^= 1;
            let wrong = String::from_utf8(wrong).expect("still ASCII");
            assert_eq!(signer.verify("id", &wrong), None, "changed at {n}");
        }
        assert_eq!(
            signer.verify("id", &format!("{signed}=")),
            None,
            "with padding"
        );
    }
}
