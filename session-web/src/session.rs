//! What a handler gets: a session, with what web pages need besides.

use std::fmt;
use std::ops::Deref;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use session_core::Result;
use subtle::ConstantTimeEq;

/// The key under which messages for the next page are kept.
const FLASH: &str = "_flash";
/// The key under which the secrets against forged requests are kept: one, or as many as requests
/// made their first form at the same time. A session's manager drops what is under it with each new
/// token but a renewed one: whoever has planted a session on a visitor may have read its form
/// tokens.
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
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flash {
    /// What kind it is, such as `error`: the page decides what that looks like.
    pub kind: String,
    /// The message. It is text: the page must escape it.
    pub text: String,
}

/// Shows the kind and the size of the text, which is for its reader.
impl fmt::Debug for Flash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flash")
            .field("kind", &self.kind)
            .field("text", &format_args!("{} bytes", self.text.len()))
            .finish()
    }
}

impl Session {
    /// Leaves a message for the next page that asks for them. Messages that requests leave at the
    /// same time are all kept.
    ///
    /// # Errors
    /// None but those of reading what other code has put under the key `_flash`.
    pub fn flash(&self, kind: impl Into<String>, text: impl Into<String>) -> Result<()> {
        let (kind, text) = (kind.into(), text.into());
        self.push(FLASH, Flash { kind, text })
    }

    /// Takes the messages that were left. One that another request leaves meanwhile stays for the
    /// next page.
    ///
    /// # Errors
    /// As [`flash`](Self::flash).
    pub fn take_flashes(&self) -> Result<Vec<Flash>> {
        self.drain(FLASH)
    }

    /// A token for the forms of this session's pages, against requests forged by other sites
    /// (OWASP Cross-Site Request Forgery Prevention Cheat Sheet, "Synchronizer Token Pattern").
    ///
    /// The secret behind it is kept in the session, under the key `_csrf`, so it is a change to save
    /// the first time. What other code has put under that key is replaced. The text is another one
    /// each time, so that compressing a page does not betray it (BREACH). Tokens from before a
    /// sign-in, [`cycle_id`](session_core::Session::cycle_id) or
    /// [`reauthenticated`](session_core::Session::reauthenticated) are refused after it; a renewal
    /// leaves them valid.
    ///
    /// If two requests make the first tokens of a session at the same time, both tokens are good in
    /// a session that is in a store already. Otherwise one of them is: a session that is kept in its
    /// cookie is the one whose cookie the browser has got last, and two first visits without a
    /// cookie begin two sessions.
    ///
    /// # Errors
    /// Those of [`push`](session_core::Session::push), none of which is about what is stored.
    pub fn csrf_token(&self) -> Result<String> {
        let secret = self.csrf_secret()?;
        let mask = random();
        let masked: Vec<u8> = mask.iter().zip(secret).map(|(a, b)| a ^ b).collect();
        Ok(URL_SAFE_NO_PAD.encode([mask.as_slice(), &masked].concat()))
    }

    /// Whether `presented` is one of this session's [`csrf_token`](Self::csrf_token)s. Compared in
    /// constant time.
    #[must_use]
    pub fn is_csrf_token(&self, presented: &str) -> bool {
        let secrets = csrf_secrets(self.get(CSRF).unwrap_or_default());
        let Ok(bytes) = URL_SAFE_NO_PAD.decode(presented) else {
            return false;
        };
        let Some((mask, masked)) = bytes.split_at_checked(CSRF_BYTES) else {
            return false;
        };
        let unmasked: Vec<u8> = mask.iter().zip(masked).map(|(a, b)| a ^ b).collect();
        let is_by = |secret: &[u8; CSRF_BYTES]| bool::from(unmasked.ct_eq(secret));
        masked.len() == CSRF_BYTES && secrets.iter().any(is_by)
    }

    /// The secret, which is made now if there is none.
    fn csrf_secret(&self) -> Result<[u8; CSRF_BYTES]> {
        // What is no list of texts goes, and not what another request may have put in its place.
        let there = self.get_or_remove(CSRF).unwrap_or_default();
        if let Some(secret) = csrf_secrets(there).first() {
            return Ok(*secret);
        }
        let secret = random();
        let text = URL_SAFE_NO_PAD.encode(secret);
        // Another request may be doing the same: its secret and this one are then both kept.
        self.push_if_absent(CSRF, &text)?;
        let there = self.get(CSRF).unwrap_or_default();
        match csrf_secrets(there).first() {
            Some(first) => Ok(*first),
            // What was there is none of ours.
            None => self.push(CSRF, &text).map(|()| secret),
        }
    }
}

/// The secrets among `texts`, if there are any.
fn csrf_secrets(texts: Option<Vec<String>>) -> Vec<[u8; CSRF_BYTES]> {
    let secret = |text: String| URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok();
    let texts = texts.unwrap_or_default().into_iter();
    texts.filter_map(secret).collect()
}

fn random() -> [u8; CSRF_BYTES] {
    let mut bytes = [0; CSRF_BYTES];
    // Without a working generator nothing about sessions is safe.
    getrandom::fill(&mut bytes).expect("the operating system's random generator works");
    bytes
}
