//! Tokens for a site's forms, against requests that other sites forge.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use subtle::ConstantTimeEq;

use crate::contract::token::fill_random;
use crate::manager::reserved::CSRF;
use crate::{Result, Session};

/// Bytes of a secret behind form tokens. A session has one, or as many as requests made its first
/// form at the same time.
const SECRET_BYTES: usize = 32;

impl Session {
    /// A token for the forms of this session's pages, against requests forged by other sites
    /// (OWASP Cross-Site Request Forgery Prevention Cheat Sheet, "Synchronizer Token Pattern").
    ///
    /// The secret behind it is kept in the session, under the reserved key `_csrf`, so it is a
    /// change to save the first time. What other code has put under that key is replaced. The text
    /// is another one each time, so that compressing a page does not betray it (BREACH). Tokens
    /// from before a [`sign_in`](Self::sign_in), [`cycle_id`](Self::cycle_id) or
    /// [`reauthenticated`](Self::reauthenticated) are refused after it: an attacker who planted the
    /// session may have read them. A renewal and a [`clear`](Self::clear) leave them valid.
    ///
    /// If two requests make the first tokens of a session at the same time, both tokens are good in
    /// a session that is in a store already. Otherwise one of them is: a session that is kept in
    /// its cookie is the one whose cookie the browser has got last, and two first visits without a
    /// cookie begin two sessions.
    ///
    /// # Errors
    /// Those of [`push`](Self::push), none of which is about what is stored.
    pub fn csrf_token(&self) -> Result<String> {
        let secret = self.csrf_secret()?;
        let mask = random();
        let masked: Vec<u8> = mask.iter().zip(secret).map(|(a, b)| a ^ b).collect();
        Ok(URL_SAFE_NO_PAD.encode([mask.as_slice(), &masked].concat()))
    }

    /// The hidden field that gives a form its token: `<input type="hidden" name="_csrf" value="…">`.
    /// The token needs no escaping.
    ///
    /// # Errors
    /// As [`csrf_token`](Self::csrf_token).
    pub fn csrf_input(&self) -> Result<String> {
        let (name, token) = (CSRF.name, self.csrf_token()?);
        Ok(format!(
            "<input type=\"hidden\" name=\"{name}\" value=\"{token}\">"
        ))
    }

    /// Whether `presented` is one of this session's [`csrf_token`](Self::csrf_token)s. Compared in
    /// constant time.
    #[must_use]
    pub fn is_csrf_token(&self, presented: &str) -> bool {
        let secrets = secrets_in(self.get(CSRF.name).unwrap_or_default());
        let Ok(bytes) = URL_SAFE_NO_PAD.decode(presented) else {
            return false;
        };
        let Some((mask, masked)) = bytes.split_at_checked(SECRET_BYTES) else {
            return false;
        };
        let unmasked: Vec<u8> = mask.iter().zip(masked).map(|(a, b)| a ^ b).collect();
        let is_by = |secret: &[u8; SECRET_BYTES]| bool::from(unmasked.ct_eq(secret));
        masked.len() == SECRET_BYTES && secrets.iter().any(is_by)
    }

    /// The secret, which is made now if there is none.
    fn csrf_secret(&self) -> Result<[u8; SECRET_BYTES]> {
        // What is no list of texts goes, and not what another request may have put in its place.
        let there = self.get_or_remove(CSRF.name).unwrap_or_default();
        if let Some(secret) = secrets_in(there).first() {
            return Ok(*secret);
        }
        let secret = random();
        let text = URL_SAFE_NO_PAD.encode(secret);
        // Another request may be doing the same: its secret and this one are then both kept.
        self.push_if_absent(CSRF.name, &text)?;
        let there = self.get(CSRF.name).unwrap_or_default();
        match secrets_in(there).first() {
            Some(first) => Ok(*first),
            // What was there is none of ours.
            None => self.push(CSRF.name, &text).map(|()| secret),
        }
    }
}

/// The secrets among `texts`, if there are any.
fn secrets_in(texts: Option<Vec<String>>) -> Vec<[u8; SECRET_BYTES]> {
    let secret = |text: String| URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok();
    let texts = texts.unwrap_or_default().into_iter();
    texts.filter_map(secret).collect()
}

fn random() -> [u8; SECRET_BYTES] {
    let mut bytes = [0; SECRET_BYTES];
    fill_random(&mut bytes);
    bytes
}
