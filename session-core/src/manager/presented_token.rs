//! What a client has presented for a session, in the forms that applications have it in.

use std::borrow::Cow;
use std::fmt;

use crate::SessionToken;

/// What a client has presented: a [`SessionToken`], the text of one, or nothing.
///
/// [`Sessions::open`](crate::Sessions::open) and its siblings take whatever converts into this:
/// `&SessionToken` and `SessionToken`, `&str`, `&String` and `String`, and an `Option` of any of
/// them.
///
/// ```
/// # async fn handle(sessions: session_core::Sessions) -> session_core::Result<()> {
/// # let cookie: Option<String> = None;
/// let session = sessions.open(cookie.as_deref()).await?;
/// # Ok(()) }
/// ```
///
/// A text is parsed as [`SessionToken::parse`] does; where the store files sessions under plain ids
/// ([`Capabilities::plain_ids`](crate::Capabilities::plain_ids)), it is a [`SessionToken::plain`].
/// One that is no token opens nothing, and is shown nowhere: observers are notified of
/// [`Unreadable::Malformed`](crate::Unreadable::Malformed) under the name `token`. An empty text is
/// nothing. A text is what the token was before any signature or encoding: check and remove those
/// first.
#[derive(Clone)]
pub struct PresentedToken<'a>(Form<'a>);

#[derive(Clone)]
enum Form<'a> {
    Nothing,
    Token(Cow<'a, SessionToken>),
    Text(Cow<'a, str>),
}

/// The text is not of the form of a token.
pub(crate) struct Malformed;

impl<'a> PresentedToken<'a> {
    /// The token; `None` if nothing was presented. `plain_ids` says whether a text is a plain id.
    pub(crate) fn read(
        self,
        plain_ids: impl FnOnce() -> bool,
    ) -> Result<Option<Cow<'a, SessionToken>>, Malformed> {
        let text = match self.0 {
            Form::Nothing => return Ok(None),
            Form::Token(token) => return Ok(Some(token)),
            Form::Text(text) if text.is_empty() => return Ok(None),
            Form::Text(text) => text,
        };
        let token = match plain_ids() {
            true => SessionToken::plain(&text),
            false => SessionToken::parse(&text),
        };
        token.map(|token| Some(Cow::Owned(token))).ok_or(Malformed)
    }
}

impl<'a> From<&'a SessionToken> for PresentedToken<'a> {
    fn from(token: &'a SessionToken) -> Self {
        Self(Form::Token(Cow::Borrowed(token)))
    }
}

impl From<SessionToken> for PresentedToken<'_> {
    fn from(token: SessionToken) -> Self {
        Self(Form::Token(Cow::Owned(token)))
    }
}

impl<'a> From<&'a str> for PresentedToken<'a> {
    fn from(text: &'a str) -> Self {
        Self(Form::Text(Cow::Borrowed(text)))
    }
}

impl<'a> From<&'a String> for PresentedToken<'a> {
    fn from(text: &'a String) -> Self {
        text.as_str().into()
    }
}

impl From<String> for PresentedToken<'_> {
    fn from(text: String) -> Self {
        Self(Form::Text(Cow::Owned(text)))
    }
}

impl<'a, T: Into<PresentedToken<'a>>> From<Option<T>> for PresentedToken<'a> {
    fn from(presented: Option<T>) -> Self {
        presented.map_or(Self(Form::Nothing), Into::into)
    }
}

impl fmt::Debug for PresentedToken<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PresentedToken(redacted)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<'a>(
        presented: impl Into<PresentedToken<'a>>,
        plain_ids: bool,
    ) -> Result<Option<Cow<'a, SessionToken>>, Malformed> {
        presented.into().read(|| plain_ids)
    }

    #[test]
    fn a_text_is_a_plain_id_where_those_are_the_tokens() {
        let token = read("an Express id", true).ok().flatten().expect("it fits");
        assert_eq!((token.expose(), token.is_plain()), ("an Express id", true));
        assert!(read("an Express id", false).is_err());
        assert!(read("x".repeat(256), true).is_err());
        let native = SessionToken::generate();
        let token = read(native.expose(), false).ok().flatten();
        assert!(token.is_some_and(|token| token.is_native() && *token == native));
    }

    #[test]
    fn nothing_is_no_token() {
        for plain_ids in [false, true] {
            assert!(matches!(read("", plain_ids), Ok(None)));
            assert!(matches!(read(None::<String>, plain_ids), Ok(None)));
        }
    }

    #[test]
    fn what_was_presented_does_not_show() {
        let shown = format!("{:?}", PresentedToken::from("a secret"));
        assert!(!shown.contains("secret"), "{shown}");
    }
}
