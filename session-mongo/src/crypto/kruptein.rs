//! The `crypto` option of connect-mongo, which is the package kruptein, 3.0.8.
//!
//! The stored text encodes a DER sequence of six strings. The key is PBKDF2-HMAC-SHA512 of the
//! secret and the salt. The plaintext is the session's JSON, written as a JSON string.

use std::fmt;

use aes::Aes256;
use aes_gcm::aead::consts::U12;
use aes_gcm::aead::{Aead, Payload};
use aes_gcm::{AesGcm, KeyInit};
use async_trait::async_trait;
use hmac::{Hmac, Mac};
use pbkdf2::pbkdf2_hmac;
use session_core::Result;
use sha2::Sha512;
use zeroize::Zeroizing;

use super::{Crypto, Encoding, Key, compute, corrupt, der, random, secret, too_large};

const ROUNDS: u32 = 15_000;
const SALT: usize = 128;
const IV: usize = 12;
const TAG: usize = 16;
const AAD: usize = 64;

/// The encryption of connect-mongo's option `crypto`, with its defaults: AES-256-GCM and SHA-512.
/// The options `key_size`, `iv_size` and `at_size` have no effect in kruptein either.
///
/// Every record has its own key. Deriving it takes about 10 ms at each read and write, on tokio's
/// threads for blocking work. The secret is zeroised on drop and redacted in `Debug`.
#[derive(Clone)]
#[must_use]
pub struct Kruptein {
    secret: Zeroizing<Vec<u8>>,
    pub(super) encoding: Encoding,
}

impl Kruptein {
    /// Takes connect-mongo's `crypto.secret`.
    ///
    /// # Errors
    /// [`ErrorKind::Misconfigured`](session_core::ErrorKind::Misconfigured) if it is empty.
    pub fn new(secret: impl AsRef<str>) -> Result<Self> {
        Ok(Self {
            secret: self::secret(secret.as_ref().as_bytes())?,
            encoding: Encoding::default(),
        })
    }

    /// Sets the encoding of the text. connect-mongo: `crypto.encodeas`; default base64.
    pub fn encoding(mut self, encoding: Encoding) -> Self {
        self.encoding = encoding;
        self
    }

    fn key(&self, salt: &[u8]) -> Key {
        let mut key = Key([0; 32]);
        pbkdf2_hmac::<Sha512>(&self.secret, salt, ROUNDS, &mut key.0);
        key
    }

    pub(super) fn seal(&self, text: &[u8]) -> Option<String> {
        let (salt, iv, aad) = (random::<SALT>(), random::<IV>(), random::<AAD>());
        let key = self.key(&salt);
        let payload = Payload {
            msg: text,
            aad: &aad,
        };
        let encrypted = cipher(&key).encrypt(&iv.into(), payload).ok()?;
        let (encrypted, tag) = encrypted.split_last_chunk::<TAG>()?;
        let ct = self.encoding.encode(encrypted);
        let mac = mac(&key, ct.as_bytes()).finalize().into_bytes();
        let mac = self.encoding.encode(&mac);
        let aad = self.encoding.encode(&aad);
        let sequence = der::encode(&[
            ct.as_bytes(),
            mac.as_bytes(),
            &iv,
            &salt,
            tag,
            aad.as_bytes(),
        ]);
        Some(self.encoding.encode(&sequence))
    }

    pub(super) fn open(&self, text: &str) -> Option<Vec<u8>> {
        let sequence = self.encoding.decode(text)?;
        let [ct, hmac, iv, salt, tag, aad] = der::decode(&sequence)?;
        let iv: &[u8; IV] = iv.try_into().ok()?;
        let tag: &[u8; TAG] = tag.try_into().ok()?;
        let encrypted = self.encoding.decode(ct)?;
        let (hmac, aad) = (self.encoding.decode(hmac)?, self.encoding.decode(aad)?);
        // Deriving the key is slow, so it comes after the cheap checks.
        let key = self.key(salt);
        mac(&key, ct).verify_slice(&hmac).ok()?;
        let payload = Payload {
            msg: &[&encrypted, tag.as_slice()].concat(),
            aad: &aad,
        };
        cipher(&key).decrypt(iv.into(), payload).ok()
    }
}

fn cipher(key: &Key) -> AesGcm<Aes256, U12> {
    AesGcm::new(&key.0.into())
}

fn mac(key: &Key, text: &[u8]) -> Hmac<Sha512> {
    let mac = <Hmac<Sha512> as KeyInit>::new_from_slice(&key.0);
    mac.expect("HMAC takes keys of any length")
        .chain_update(text)
}

#[async_trait]
impl Crypto for Kruptein {
    async fn encrypt(&self, text: &str) -> Result<String> {
        // kruptein converts its argument to JSON, and the argument is JSON already.
        let quoted = Zeroizing::new(serde_json::Value::from(text).to_string());
        let (crypto, size) = (self.clone(), quoted.len());
        let sealed = compute(move || crypto.seal(quoted.as_bytes())).await?;
        sealed.ok_or_else(|| too_large(size))
    }

    async fn decrypt(&self, text: &str) -> Result<String> {
        let (crypto, text) = (self.clone(), text.to_owned());
        let opened = compute(move || crypto.open(&text)).await?;
        let opened = String::from_utf8(opened.ok_or_else(corrupt)?).map_err(|_| corrupt())?;
        // With `stringify: false`, older versions passed an object, which is in JSON once.
        Ok(serde_json::from_str(&opened).unwrap_or(opened))
    }
}

impl fmt::Debug for Kruptein {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kruptein")
            .field("encoding", &self.encoding)
            .finish_non_exhaustive()
    }
}
