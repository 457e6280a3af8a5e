//! The cookies of the package cookie-session: one with the session itself, one with its signature.

use base64::Engine;
use base64::engine::general_purpose::{GeneralPurpose, STANDARD, URL_SAFE_NO_PAD};
use base64::engine::{DecodePaddingMode, GeneralPurposeConfig};
use bytes::Bytes;
use hmac::{EagerHash, Hmac, KeyInit, Mac};
use session_core::{Error, Result};
use sha1::Sha1;
use sha2::Sha256;
use subtle::ConstantTimeEq;

use crate::cookie_text;
use crate::secret::Secrets;

/// Node accepts both alphabets, with or without padding.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// The hash that Keygrip signs with. Express: the second argument of `new Keygrip(keys, …)`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KeygripHash {
    /// The default of cookie-session.
    #[default]
    Sha1,
    /// `'sha256'`.
    Sha256,
}

/// Reads and writes the cookies of cookie-session: `session`, base64 of JSON, and `session.sig`.
///
/// The client can read the cookies, and they contain no expiry time.
#[derive(Clone, Debug)]
pub struct CookieSession {
    name: String,
    keys: Secrets,
    hash: KeygripHash,
}

impl CookieSession {
    /// Creates the format of the cookies `session` and `session.sig` that are signed with `key`.
    /// Express: `keys` with one element, or `secret`.
    #[must_use]
    pub fn new(key: impl AsRef<[u8]>) -> Self {
        Self {
            name: "session".to_owned(),
            keys: Secrets::new(key),
            hash: KeygripHash::default(),
        }
    }

    /// Adds an older key, which only verifies. Express: a further element of `keys`.
    #[must_use]
    pub fn with_previous(mut self, key: impl AsRef<[u8]>) -> Self {
        self.keys.push(key);
        self
    }

    /// Sets the cookie's name. Express: `name`.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Sets the hash that Keygrip signs with.
    #[must_use]
    pub fn hash(mut self, hash: KeygripHash) -> Self {
        self.hash = hash;
        self
    }

    /// Returns the name of the cookie with the session.
    #[must_use]
    pub fn cookie_name(&self) -> &str {
        &self.name
    }

    /// Returns the name of the cookie with the signature.
    #[must_use]
    pub fn signature_name(&self) -> String {
        format!("{}.sig", self.name)
    }

    /// Checks the options: refuses an empty key and a name that is invalid in a cookie.
    ///
    /// # Errors
    /// [`ErrorKind::Misconfigured`](session_core::ErrorKind::Misconfigured), which says what to
    /// change.
    pub fn check(&self) -> Result<()> {
        if self.keys.any_empty() {
            return Err(Error::misconfigured(
                "a key is empty, so every client could sign: remove it",
            ));
        }
        cookie_text::check_name(&self.name)
    }

    /// Returns the cookie's value for a session of this JSON, and the signature.
    #[must_use]
    pub fn write(&self, json: &[u8]) -> (String, String) {
        let value = STANDARD.encode(json);
        let signature = self.sign(self.keys.first(), &value);
        (value, signature)
    }

    /// Returns the JSON of the session in a cookie, if one of the keys has signed it.
    #[must_use]
    pub fn read(&self, value: &str, signature: &str) -> Option<Bytes> {
        let signs = |key| self.sign(key, value).as_bytes().ct_eq(signature.as_bytes());
        if !self.keys.iter().any(|key| bool::from(signs(key))) {
            return None;
        }
        let standard: String = value
            .chars()
            .map(|c| match c {
                '-' => '+',
                '_' => '/',
                c => c,
            })
            .collect();
        LENIENT.decode(standard).ok().map(Bytes::from)
    }

    /// The signature covers the name too, so that it is not valid for another cookie.
    fn sign(&self, key: &[u8], value: &str) -> String {
        let pair = format!("{}={value}", self.name);
        match self.hash {
            KeygripHash::Sha1 => mac::<Sha1>(key, &pair),
            KeygripHash::Sha256 => mac::<Sha256>(key, &pair),
        }
    }
}

fn mac<H: EagerHash>(key: &[u8], text: &str) -> String {
    let mut mac = Hmac::<H>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(text.as_bytes());
    URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALUE: &str = "eyJtZXNzYWdlIjoiaGkifQ==";
    const JSON: &[u8] = br#"{"message":"hi"}"#;

    #[test]
    fn cookies_are_those_of_cookie_session() {
        let cookies = CookieSession::new("a").with_previous("b");
        let signature = "vdp2-kj-91tgzbWcV1QzofT3hu0".to_owned();
        assert_eq!(cookies.write(JSON), (VALUE.to_owned(), signature.clone()));
        assert_eq!(cookies.read(VALUE, &signature).as_deref(), Some(JSON));
        let old = "SiRRAEncekXEzVdvey_7SkWaMM4";
        assert_eq!(cookies.read(VALUE, old).as_deref(), Some(JSON), "rotated");
        assert_eq!(CookieSession::new("a").read(VALUE, old), None);
        let sha256 = CookieSession::new("a").hash(KeygripHash::Sha256);
        let signature = "_UwaZiOI1-I5sK8OaL8rQMEejOUYnZVwRGjiOHWYYP4";
        assert_eq!(sha256.read(VALUE, signature).as_deref(), Some(JSON));
    }

    #[test]
    fn a_value_not_signed_under_this_name_is_refused() {
        let cookies = CookieSession::new("a");
        let (value, signature) = cookies.write(JSON);
        assert_eq!(cookies.clone().name("other").read(&value, &signature), None);
        assert_eq!(cookies.read(&value, ""), None);
        assert_eq!(cookies.read(&value, &signature[1..]), None);
        assert_eq!(cookies.read(&value[1..], &signature), None);
        let (odd, signature) = ("!!!", cookies.sign(b"a", "!!!"));
        assert_eq!(cookies.read(odd, &signature), None, "no base64");
    }

    #[test]
    fn every_spelling_of_base64_that_node_reads_is_read() {
        let cookies = CookieSession::new("a");
        for value in ["eyJhIjoi77-_In0", "eyJhIjoi77+/In0=", "eyJhIjoi77+_In0="] {
            let signature = cookies.sign(b"a", value);
            let json = cookies.read(value, &signature).expect("base64");
            assert_eq!(json, "{\"a\":\"\u{ffff}\"}".as_bytes(), "{value}");
        }
    }
}
