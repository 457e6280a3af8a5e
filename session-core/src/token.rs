//! The secret a client holds, and the name a store files its session under.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroize;

use crate::{Error, Result};

/// Characters of a token that route it to a Redis Cluster slot; see [`SessionToken::cycled`].
const TAG_CHARS: usize = 4;
/// Characters of an id made from a token: the tag, then 256 bits in base64.
const HASHED_ID_CHARS: usize = TAG_CHARS + 43;

/// The secret that a client presents: 192 bits from the operating system's generator, written as
/// 32 URL-safe characters.
///
/// It is zeroised on drop, compared in constant time, redacted in `Debug`, and it has neither
/// `Display` nor `Serialize`: the only way to its text is [`expose`](Self::expose). Stores never
/// see it; they file a session under its [`SessionId`].
///
/// The first four characters are the *routing tag*: [`cycled`](Self::cycled) keeps them, so the
/// old and the new id of a session live in one Redis Cluster slot and the rename is one atomic
/// script. The other 168 bits are the secret, above the 128 bits that OWASP ASVS 5.0 §7.2.3 asks.
#[derive(Clone)]
pub struct SessionToken {
    text: Text,
    /// Whether the session is filed under the text itself.
    plain: bool,
}

#[derive(Clone)]
enum Text {
    /// As this library makes them.
    Own([u8; SessionToken::CHARS]),
    /// As another framework has made it: UTF-8.
    Foreign(Box<[u8]>),
}

impl SessionToken {
    /// The length of a token in characters (and bytes: they are ASCII).
    pub const CHARS: usize = 32;

    /// A new random token.
    ///
    /// # Panics
    /// If the operating system's random generator fails; no session may be handed out then.
    #[must_use]
    pub fn generate() -> Self {
        let mut random = [0_u8; 24];
        fill_random(&mut random);
        let mut text = [0_u8; Self::CHARS];
        let written = URL_SAFE_NO_PAD.encode_slice(random, &mut text);
        debug_assert_eq!(written, Ok(Self::CHARS));
        random.zeroize();
        Self::own(text)
    }

    const fn own(text: [u8; Self::CHARS]) -> Self {
        Self {
            text: Text::Own(text),
            plain: false,
        }
    }

    /// A new random token with this one's routing tag, for a session that changes its id.
    ///
    /// # Panics
    /// As [`generate`](Self::generate).
    #[must_use]
    pub fn cycled(&self) -> Self {
        let mut next = Self::generate();
        if let Text::Own(text) = &mut next.text {
            text[..TAG_CHARS].copy_from_slice(&self.tag());
        }
        next.plain = self.plain;
        next
    }

    /// The token in `presented`, if that is shaped like one: 32 characters of the URL-safe base64
    /// alphabet. Anything else is `None` and costs no I/O. A token that parses is still only a
    /// claim: it becomes a session by being found in a store, and is never adopted.
    #[must_use]
    pub fn parse(presented: &str) -> Option<Self> {
        let bytes: [u8; Self::CHARS] = presented.as_bytes().try_into().ok()?;
        bytes.iter().all(is_url_safe).then(|| Self::own(bytes))
    }

    /// A token that another framework has made, of whatever shape: 1 to 255 bytes. Only for what
    /// was authenticated before, by a signature for instance: nothing else keeps made-up ones from
    /// being looked up.
    #[must_use]
    pub fn foreign(presented: &str) -> Option<Self> {
        let fits = (1..=SessionId::MAX_BYTES).contains(&presented.len());
        Self::parse(presented).or_else(|| {
            fits.then(|| Self {
                text: Text::Foreign(presented.as_bytes().into()),
                plain: false,
            })
        })
    }

    /// The same token, whose session is filed under the token itself and not under its hash: for
    /// layouts that other frameworks define. A [`Sessions`](crate::Sessions) does this by itself
    /// for a store that asks for it ([`Capabilities::plain_ids`](crate::Capabilities::plain_ids)).
    #[must_use]
    pub fn plain(mut self) -> Self {
        self.plain = true;
        self
    }

    /// The secret text, for the `Set-Cookie` header and nothing else.
    #[must_use]
    pub fn expose(&self) -> &str {
        std::str::from_utf8(self.bytes()).unwrap_or_default()
    }

    /// The id that this token's session is filed under: the routing tag and the token's SHA-256 in
    /// URL-safe base64, 47 characters. A stolen store therefore holds no usable cookie. For a
    /// [`plain`](Self::plain) one, the token itself.
    #[must_use]
    pub fn id(&self) -> SessionId {
        if self.plain {
            return SessionId {
                text: self.expose().into(),
                hashed: false,
            };
        }
        let mut text = [0_u8; HASHED_ID_CHARS];
        text[..TAG_CHARS].copy_from_slice(&self.tag());
        text[TAG_CHARS..].copy_from_slice(&hash(self.bytes()));
        SessionId {
            text: std::str::from_utf8(&text).unwrap_or_default().into(),
            hashed: true,
        }
    }

    /// The routing tag. A foreign token that does not begin with one has that of its hash.
    fn tag(&self) -> [u8; TAG_CHARS] {
        let bytes = self.bytes();
        let begins = bytes
            .first_chunk()
            .filter(|tag| tag.iter().all(is_url_safe));
        let hashed = || hash(bytes).first_chunk().copied().unwrap_or_default();
        begins.copied().unwrap_or_else(hashed)
    }

    fn bytes(&self) -> &[u8] {
        match &self.text {
            Text::Own(text) => text,
            Text::Foreign(text) => text,
        }
    }
}

/// The SHA-256 of `bytes` in URL-safe base64.
fn hash(bytes: &[u8]) -> [u8; HASHED_ID_CHARS - TAG_CHARS] {
    let mut text = [0_u8; HASHED_ID_CHARS - TAG_CHARS];
    let written = URL_SAFE_NO_PAD.encode_slice(Sha256::digest(bytes), &mut text);
    debug_assert_eq!(written, Ok(HASHED_ID_CHARS - TAG_CHARS));
    text
}

fn is_url_safe(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')
}

impl Drop for SessionToken {
    fn drop(&mut self) {
        match &mut self.text {
            Text::Own(text) => text.zeroize(),
            Text::Foreign(text) => text.zeroize(),
        }
    }
}

impl PartialEq for SessionToken {
    fn eq(&self, other: &Self) -> bool {
        self.bytes().ct_eq(other.bytes()).into()
    }
}

impl Eq for SessionToken {}

impl fmt::Debug for SessionToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionToken(redacted)")
    }
}

/// The name a store files a session under: 1 to 255 bytes, compared byte for byte (no case
/// folding, no trimming).
///
/// An id made by [`SessionToken::id`] is a hash and may be printed, listed and logged. An id made
/// by [`SessionId::plain`] is the client's secret itself (layouts shared with other frameworks
/// need that), so its `Debug` shows a digest only.
#[derive(Clone)]
pub struct SessionId {
    text: Arc<str>,
    hashed: bool,
}

impl SessionId {
    /// The longest id, in bytes.
    pub const MAX_BYTES: usize = 255;

    /// An id as a store gave it back, known to be no secret.
    ///
    /// # Errors
    /// [`Error::TooLarge`] over 255 bytes, [`Error::Misconfigured`] if empty.
    pub fn from_stored(text: &str) -> Result<Self> {
        Self::checked(text, true)
    }

    /// An id that is the client's secret itself, for layouts that other frameworks define.
    ///
    /// # Errors
    /// As [`from_stored`](Self::from_stored).
    pub fn plain(secret: &str) -> Result<Self> {
        Self::checked(secret, false)
    }

    fn checked(text: &str, hashed: bool) -> Result<Self> {
        if text.is_empty() {
            return Err(Error::misconfigured("a session id must not be empty"));
        }
        Error::check_size("session id", text.len(), Self::MAX_BYTES)?;
        Ok(Self {
            text: text.into(),
            hashed,
        })
    }

    /// The id's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether the id is the client's secret itself; see [`plain`](Self::plain).
    #[must_use]
    pub const fn is_secret(&self) -> bool {
        !self.hashed
    }

    /// The part of the id that ids of one session have in common: the first four characters of
    /// an id made from a token, the whole of any other. Stores that spread keys over nodes must
    /// route by this alone, so that [`rename`](crate::SessionStore::rename) stays on one node.
    #[must_use]
    pub fn routing_tag(&self) -> &str {
        if self.is_split() {
            &self.text[..TAG_CHARS]
        } else {
            &self.text
        }
    }

    /// What follows the [`routing_tag`](Self::routing_tag); empty if the tag is the whole id.
    #[must_use]
    pub fn after_tag(&self) -> &str {
        &self.text[self.routing_tag().len()..]
    }

    fn is_split(&self) -> bool {
        self.text.len() == HASHED_ID_CHARS && self.text.is_ascii()
    }
}

impl PartialEq for SessionId {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for SessionId {}

impl PartialOrd for SessionId {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for SessionId {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.text.cmp(&other.text)
    }
}

impl Hash for SessionId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.hashed {
            return write!(f, "SessionId({})", self.text);
        }
        let digest = URL_SAFE_NO_PAD.encode(&Sha256::digest(self.text.as_bytes())[..9]);
        write!(f, "SessionId(plain, sha256 {digest}…)")
    }
}

/// Fills `bytes` from the operating system's generator.
pub(crate) fn fill_random(bytes: &mut [u8]) {
    getrandom::fill(bytes).expect("the operating system's random generator failed");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_32_url_safe_characters_and_never_the_same() {
        let (a, b) = (SessionToken::generate(), SessionToken::generate());
        assert_ne!(a, b);
        assert_eq!(SessionToken::parse(a.expose()), Some(a));
    }

    #[test]
    fn the_id_is_the_tag_and_the_hash() {
        let token = SessionToken::parse("abcdefghijklmnopqrstuvwxyz012345").expect("shaped");
        // printf abcdefghijklmnopqrstuvwxyz012345 | openssl dgst -sha256 -binary | base64
        assert_eq!(
            token.id().as_str(),
            "abcdZTuxJF6Cj82k-lP81aPe9b12VOZR9UtBMrc9dOZENcQ"
        );
        assert_eq!(token.id().routing_tag(), "abcd");
        assert_eq!(token.id().after_tag().len(), 43);
    }

    #[test]
    fn a_cycled_token_keeps_the_tag_and_nothing_else() {
        let old = SessionToken::generate();
        let new = old.cycled();
        assert_eq!(old.expose()[..TAG_CHARS], new.expose()[..TAG_CHARS]);
        assert_ne!(old.expose()[TAG_CHARS..], new.expose()[TAG_CHARS..]);
        assert_eq!(old.id().routing_tag(), new.id().routing_tag());
    }

    #[test]
    fn what_is_not_shaped_like_a_token_is_refused() {
        for presented in [
            "",
            "short",
            "abcdefghijklmnopqrstuvwxyz01234",
            "abcdefghijklmnopqrstuvwxyz0123456",
            "abcdefghijklmnopqrstuvwxyz01234=",
            "abcdefghijklmnopqrstuvwxyz0123 5",
            "äbcdefghijklmnopqrstuvwxyz01234",
        ] {
            assert_eq!(SessionToken::parse(presented), None, "{presented:?}");
        }
    }

    #[test]
    fn tokens_of_others_have_ids_of_their_own_and_keep_their_tag() {
        let uuid = "1b4e28ba-2fa1-11d2-883f-0016d3cca427";
        for text in [uuid, "%", "a", "äpfel", &"x".repeat(255)] {
            let token = SessionToken::foreign(text).expect("any text");
            assert_eq!(token.expose(), text);
            assert_eq!(token.id().as_str().len(), HASHED_ID_CHARS);
            assert_eq!(token.id().routing_tag(), token.cycled().id().routing_tag());
            let plain = token.clone().plain();
            assert_eq!(plain.id().as_str(), text);
            assert!(plain.id().is_secret() && plain.cycled().id().is_secret());
            assert_eq!(token, plain, "a token is its text");
        }
        assert_eq!(SessionToken::foreign(""), None);
        assert_eq!(SessionToken::foreign(&"x".repeat(256)), None);
        let own = SessionToken::generate();
        let foreign = SessionToken::foreign(own.expose()).expect("any text");
        assert_eq!(foreign.id(), own.id(), "one token, whoever reads it");
    }

    #[test]
    fn secrets_do_not_show() {
        let token = SessionToken::generate();
        assert!(!format!("{token:?}").contains(token.expose()));
        let plain = SessionId::plain(token.expose()).expect("valid");
        assert!(!format!("{plain:?}").contains(token.expose()));
        let id = token.id();
        assert!(format!("{id:?}").contains(id.as_str()));
        assert!(!id.as_str().contains(&token.expose()[TAG_CHARS..]));
    }

    #[test]
    fn ids_are_compared_byte_for_byte() {
        let id = |text| SessionId::from_stored(text).expect("valid");
        assert_ne!(id("a"), id("A"));
        assert_ne!(id("a"), id("a "));
        assert!(SessionId::from_stored("").is_err());
        assert!(SessionId::from_stored(&"x".repeat(256)).is_err());
    }
}
