//! The name that a store files a session under.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

use crate::{Capabilities, Error, Result};

/// The name a store files a session under, from its creation to its end: 1 to 255 bytes, compared
/// byte for byte (no case folding, no trimming).
///
/// The id of a native session is the first 16 characters of its token. It opens nothing by itself
/// and may be printed, listed and logged. An id made by [`SessionId::plain`] is the client's secret
/// itself (layouts shared with other frameworks need that), so its `Debug` shows a digest only. So
/// does that of an id that was parsed, which may be either.
#[derive(Clone)]
pub struct SessionId {
    text: Arc<str>,
    kind: Kind,
    presented: Option<Arc<str>>,
}

/// What the text of an id is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A name, which opens nothing.
    Name,
    /// The client's secret itself.
    Secret,
    /// It was parsed, and has the form of a native session's id: a layout of plain ids may have such
    /// a secret.
    Unknown,
}

impl SessionId {
    /// The longest id, in bytes.
    pub const MAX_BYTES: usize = 255;

    /// An id as a store gave it back, known to be no secret.
    ///
    /// # Errors
    /// [`ErrorKind::TooLarge`](crate::ErrorKind::TooLarge) over 255 bytes,
    /// [`ErrorKind::Misconfigured`](crate::ErrorKind::Misconfigured) if empty.
    pub fn from_stored(text: &str) -> Result<Self> {
        Self::checked(text, Kind::Name)
    }

    /// An id that is the client's secret itself, for layouts that other frameworks define.
    ///
    /// # Errors
    /// As [`from_stored`](Self::from_stored).
    pub fn plain(secret: &str) -> Result<Self> {
        Self::checked(secret, Kind::Secret)
    }

    fn checked(text: &str, kind: Kind) -> Result<Self> {
        if text.is_empty() {
            return Err(Error::misconfigured("a session id must not be empty"));
        }
        Error::check_size("session id", text.len(), Self::MAX_BYTES)?;
        Ok(Self::of_kind(text, kind))
    }

    /// The id of a token, which is known to fit.
    pub(super) fn of_token(text: &str, is_secret: bool) -> Self {
        let kind = match is_secret {
            true => Kind::Secret,
            false => Kind::Name,
        };
        Self::of_kind(text, kind)
    }

    fn of_kind(text: &str, kind: Kind) -> Self {
        Self {
            text: text.into(),
            kind,
            presented: None,
        }
    }

    /// The same id, made from this text of another framework.
    pub(super) fn presented_as(mut self, text: &str) -> Self {
        self.presented = Some(text.into());
        self
    }

    /// The same id, of a session in a store of these capabilities. That tells of an id that was
    /// parsed whether it is a secret.
    pub(crate) fn in_store(&self, capabilities: &Capabilities) -> Self {
        let mut id = self.clone();
        if id.kind == Kind::Unknown && !capabilities.plain_ids {
            id.kind = Kind::Name;
        }
        id
    }

    /// The id's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether the id is the client's secret itself, see [`plain`](Self::plain), or may be one: it
    /// was parsed.
    #[must_use]
    pub const fn is_secret(&self) -> bool {
        !matches!(self.kind, Kind::Name)
    }

    /// The session id of another framework that this id was made from, if it was: a client's
    /// secret. For a store that looks for the session in that framework's layout too.
    #[must_use]
    pub fn presented(&self) -> Option<&str> {
        self.presented.as_deref()
    }
}

/// An id from a form or a command line, as [`as_str`](SessionId::as_str) has shown it. It is taken for
/// a secret, as by [`plain`](SessionId::plain). [`Sessions::destroy`](crate::Sessions::destroy)
/// shows observers and the log one that has the form of a native session's id, unless its store
/// files sessions under plain ids.
impl FromStr for SessionId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let is_native =
            text.len() == super::ID && text.bytes().all(|byte| super::is_url_safe(&byte));
        let kind = match is_native {
            true => Kind::Unknown,
            false => Kind::Secret,
        };
        Self::checked(text, kind)
    }
}

impl TryFrom<&str> for SessionId {
    type Error = Error;

    fn try_from(text: &str) -> Result<Self> {
        text.parse()
    }
}

impl TryFrom<String> for SessionId {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
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
        if !self.is_secret() {
            // A store may hold what no session id of this library is: line ends, terminal codes.
            return write!(f, "SessionId({})", self.text.escape_debug());
        }
        let digest = URL_SAFE_NO_PAD.encode(&Sha256::digest(self.text.as_bytes())[..9]);
        write!(f, "SessionId(sha256 {digest}…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_compared_byte_for_byte() {
        let id = |text| SessionId::from_stored(text).expect("valid");
        assert_ne!(id("a"), id("A"));
        assert_ne!(id("a"), id("a "));
        assert!(SessionId::from_stored("").is_err());
        assert!(SessionId::from_stored(&"x".repeat(256)).is_err());
    }

    #[test]
    fn an_id_is_read_from_a_form() {
        let token = super::super::SessionToken::generate();
        let id: SessionId = token.id().as_str().parse().expect("as it was shown");
        assert_eq!(id, token.id());
        assert_eq!(
            format!("{:?}", id.in_store(&Capabilities::new())),
            format!("{:?}", token.id())
        );
        let other = SessionId::try_from("an id of another framework").expect("it fits");
        assert!(other.is_secret() && !format!("{other:?}").contains("framework"));
        assert!(SessionId::try_from(String::new()).is_err());
    }

    /// Express' `genid` may make ids of any form.
    #[test]
    fn a_plain_id_with_the_form_of_a_native_one_is_not_shown_once_it_is_parsed() {
        let id: SessionId = "sixteen-chars_ok".parse().expect("it fits");
        let plain = Capabilities::new().with_plain_ids(true);
        for id in [&id, &id.in_store(&plain)] {
            assert!(
                id.is_secret() && !format!("{id:?}").contains("sixteen"),
                "{id:?}"
            );
        }
    }

    #[test]
    fn an_id_of_a_store_that_is_no_text_of_one_line_is_shown_escaped() {
        let id = SessionId::from_stored("a\nWARN b\u{1b}[2J\u{202e}\0").expect("valid");
        assert_eq!(
            format!("{id:?}"),
            "SessionId(a\\nWARN b\\u{1b}[2J\\u{202e}\\0)"
        );
    }

    #[test]
    fn an_id_that_is_a_secret_does_not_show() {
        let plain = SessionId::plain("a secret of the client").expect("valid");
        assert!(!format!("{plain:?}").contains("secret of"), "{plain:?}");
    }
}
