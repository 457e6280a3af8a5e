//! How a token is written for the client.

use http::HeaderValue;
use session_core::{SessionToken, Unreadable};

use crate::cookie_header;
use crate::signature::Signer;

/// The most tokens of one request that are tried.
pub(crate) const MOST_TOKENS: usize = 4;

/// How a token is written for the client.
#[derive(Clone, Debug)]
pub(crate) enum TokenFormat {
    /// As it is: it says nothing but the session's id, which is no secret.
    Plain,
    /// With a signature, so that made-up ones are refused without asking the store.
    Signed(Signer),
    /// As express-session writes it.
    #[cfg(feature = "express")]
    Express(Box<crate::express::ExpressTokens>),
}

impl TokenFormat {
    pub(crate) const fn is_express(&self) -> bool {
        match self {
            Self::Plain | Self::Signed(_) => false,
            #[cfg(feature = "express")]
            Self::Express(_) => true,
        }
    }

    /// The text for a cookie, or another carrier, of this name.
    pub(crate) fn write(&self, name: &str, token: &SessionToken) -> String {
        match self {
            Self::Plain => token.expose().to_owned(),
            Self::Signed(signer) => signer.sign(name, token.expose()),
            #[cfg(feature = "express")]
            Self::Express(tokens) => tokens.write(token),
        }
    }

    /// The token in such a text: one of this library's, but in an Express app's cookie.
    pub(crate) fn read(&self, name: &str, text: &str) -> Option<SessionToken> {
        match self {
            Self::Plain => SessionToken::parse(text),
            Self::Signed(signer) => SessionToken::parse(signer.verify(name, text)?),
            #[cfg(feature = "express")]
            Self::Express(tokens) => tokens.read(text),
        }
    }

    /// The tokens in a request's cookies of this name, at most [`MOST_TOKENS`], in their order:
    /// browsers send the cookie of the longest path first. Express looks at the first cookie only,
    /// and so does who shares a cookie with it.
    ///
    /// Why others can't be read, if there are such, comes with them.
    pub(crate) fn find(
        &self,
        cookies: &[HeaderValue],
        name: &str,
    ) -> (Vec<SessionToken>, Option<Unreadable>) {
        let mut values = cookie_header::values(cookies, name).filter(|value| !value.is_empty());
        if self.is_express() {
            let first = cookie_header::first(cookies, name);
            let token = first.and_then(|text| self.read(name, text));
            let is_unreadable = token.is_none() && values.next().is_some();
            return (
                token.into_iter().collect(),
                is_unreadable.then_some(self.unreadable()),
            );
        }
        let (mut tokens, mut unreadable): (Vec<SessionToken>, _) = (Vec::new(), None);
        for value in values {
            let text = std::str::from_utf8(value).ok();
            match text.and_then(|text| self.read(name, text)) {
                Some(token) if tokens.contains(&token) => {}
                Some(_) if tokens.len() == MOST_TOKENS => break,
                Some(token) => tokens.push(token),
                None => unreadable = Some(self.unreadable()),
            }
        }
        (tokens, unreadable)
    }

    /// Why a text can't be read.
    pub(crate) const fn unreadable(&self) -> Unreadable {
        match self {
            Self::Plain => Unreadable::Malformed,
            _ => Unreadable::UnknownSecret,
        }
    }
}
