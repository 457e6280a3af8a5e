//! What a handler gets: a session, with what web pages need besides.

use std::ops::Deref;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use session_core::Result;
use subtle::ConstantTimeEq;

/// The key under which messages for the next page are kept.
const FLASH: &str = "_flash";
/// The key under which the secret against forged requests is kept. A session's manager drops what
/// is under it with each new token but a renewed one: whoever has planted a session on a visitor
/// may have read its form tokens.
const CSRF: &str = "_csrf";
/// Bytes of that secret.
const CSRF_BYTES: usize = 32;

/// This request's session: a [`session_core::Session`], and what web pages need besides.
///
/// Changes are saved by the layer, before the first byte of the response.
#[derive(Clone, Debug)]
pub struct Session(session_core::Session);

impl Deref for Session {
    type Target = session_core::Session;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl From<session_core::Session> for Session {
    fn from(session: session_core::Session) -> Self {
        Self(session)
    }
}

/// A message for the next page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flash {
    /// What kind it is, such as `error`: the page decides what that looks like.
    pub kind: String,
    /// The message. It is text: the page must escape it.
    pub text: String,
}

impl Session {
    /// Leaves a message for the next page that asks for them.
    ///
    /// # Errors
    /// None but those of reading what other code has put under the key `_flash`.
    pub fn flash(&self, kind: impl Into<String>, text: impl Into<String>) -> Result<()> {
        let mut flashes: Vec<Flash> = self.get(FLASH)?.unwrap_or_default();
        flashes.push(Flash {
            kind: kind.into(),
            text: text.into(),
        });
        self.insert(FLASH, flashes)
    }

    /// Takes the messages that were left.
    ///
    /// # Errors
    /// As [`flash`](Self::flash).
    pub fn take_flashes(&self) -> Result<Vec<Flash>> {
        if !self.contains_key(FLASH) {
            return Ok(Vec::new());
        }
        Ok(self.take(FLASH)?.unwrap_or_default())
    }

    /// A token for the forms of this session's pages, against requests forged by other sites
    /// (OWASP Cross-Site Request Forgery Prevention Cheat Sheet, "Synchronizer Token Pattern").
    ///
    /// The secret behind it is kept in the session, so it is a change to save the first time. The
    /// text is another one each time, so that compressing a page does not betray it (BREACH). Tokens
    /// from before a sign-in, [`cycle_id`](session_core::Session::cycle_id) or
    /// [`reauthenticated`](session_core::Session::reauthenticated) are refused after it; a renewal
    /// leaves them valid.
    ///
    /// # Errors
    /// Those of reading what other code has put under the key `_csrf`.
    pub fn csrf_token(&self) -> Result<String> {
        let secret = match self.csrf_secret()? {
            Some(secret) => secret,
            None => {
                let secret = random();
                self.insert(CSRF, URL_SAFE_NO_PAD.encode(secret))?;
                secret
            }
        };
        let mask = random();
        let masked: Vec<u8> = mask.iter().zip(secret).map(|(a, b)| a ^ b).collect();
        Ok(URL_SAFE_NO_PAD.encode([mask.as_slice(), &masked].concat()))
    }

    /// Whether `presented` is one of this session's [`csrf_token`](Self::csrf_token)s. Compared in
    /// constant time.
    #[must_use]
    pub fn is_csrf_token(&self, presented: &str) -> bool {
        let Ok(Some(secret)) = self.csrf_secret() else {
            return false;
        };
        let Ok(bytes) = URL_SAFE_NO_PAD.decode(presented) else {
            return false;
        };
        let Some((mask, masked)) = bytes.split_at_checked(CSRF_BYTES) else {
            return false;
        };
        let unmasked: Vec<u8> = mask.iter().zip(masked).map(|(a, b)| a ^ b).collect();
        masked.len() == CSRF_BYTES && bool::from(unmasked.ct_eq(&secret))
    }

    fn csrf_secret(&self) -> Result<Option<[u8; CSRF_BYTES]>> {
        let secret: Option<String> = self.get(CSRF)?;
        Ok(secret
            .and_then(|text| URL_SAFE_NO_PAD.decode(text).ok())
            .and_then(|bytes| bytes.try_into().ok()))
    }
}

fn random() -> [u8; CSRF_BYTES] {
    let mut bytes = [0; CSRF_BYTES];
    // Without a working generator nothing about sessions is safe.
    getrandom::fill(&mut bytes).expect("the operating system's random generator works");
    bytes
}
